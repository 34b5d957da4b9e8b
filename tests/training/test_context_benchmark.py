"""`parrotlet bench context`: its measurements on a model that knows its files by heart."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from parrotlet_server.cli import main
from parrotlet_server.engine import Engine
from parrotlet_training.benchmarks.context import VARIANTS, Bench, Place, Table, report

from ..support.tiny_model import CONTEXT_LENGTH, DOCUMENTS, tiny_bundle

ALONE, WORKSPACE = VARIANTS["none"], VARIANTS["workspace"]
FILES = {f"pkg/{path}": text for path, text in DOCUMENTS.items()} | {"pkg/__init__.py": ""}
TEXT = "from .inventory import Inventory\n\n\n" + DOCUMENTS["shapes.py"]


@pytest.fixture(scope="module")
def bench():
    return Bench(Engine.load(str(tiny_bundle()), 1), 64, 3)


def place(text, offset, path="pkg/new.py"):
    return Place("owner/name", path, text, offset, FILES)


def test_what_is_known_by_heart_costs_few_bits(bench):
    text = DOCUMENTS["shapes.py"]
    known = bench.ask(place(text, text.index("side * side"), "shapes.py"), ALONE)
    assert known.exact
    assert known.similarity == 1
    assert not known.shown
    odd = text.replace("side * side", "zebra // 31")
    unknown = bench.ask(place(odd, odd.index("zebra // 31"), "shapes.py"), ALONE)
    assert not unknown.exact
    assert unknown.bits / unknown.size > 4 * known.bits / known.size
    assert math.isfinite(unknown.bits)


def test_bits_are_of_the_rest_of_the_line_and_of_what_is_taken_back(bench):
    text = DOCUMENTS["shapes.py"]
    offset = text.index("e * side") + len("e * s")  # inside a word
    answer = bench.ask(place(text, offset, "shapes.py"), ALONE)
    assert answer.size >= len("ide\n")
    assert answer.bits > 0


def test_text_of_other_files_comes_in(bench):
    at = TEXT.index("return side") + 7
    plain = bench.ask(place(TEXT, at), ALONE)
    told = bench.ask(place(TEXT, at), VARIANTS["imports"])
    assert told.shown
    assert plain.prompt_tokens < told.prompt_tokens <= plain.prompt_tokens + 64
    like = bench.ask(place(TEXT, at), VARIANTS["similar"])
    assert like.prompt_tokens >= plain.prompt_tokens


def test_parts_of_the_files_own_prompt_are_left_out(bench):
    at = TEXT.index("return side") + 7
    plain = bench.ask(place(TEXT, at), ALONE)
    for part in ("suffix", "path"):
        less = bench.ask(place(TEXT, at), VARIANTS[f"without {part}"])
        assert less.prompt_tokens < plain.prompt_tokens
        assert less.bits != plain.bits
    # this model has learnt no levels
    same = bench.ask(place(TEXT, at), VARIANTS["without quality"])
    assert (same.bits, same.prompt_tokens) == (plain.bits, plain.prompt_tokens)


def test_the_beginning_of_a_long_file_is_told(bench):
    top = "import zebra\n\n\ndef graze(field, hours: int) -> int:\n    return hours\n\n\n"
    filling = "\n\n".join(DOCUMENTS.values()) * 8
    text = top + filling + "def last(side):\n    return side\n"
    at = len(text) - len("side\n")
    long = place(text, at)
    assert bench._top(long.request).startswith("import zebra\n")
    told = bench.ask(long, VARIANTS["own top"])
    assert told.shown
    assert told.prompt_tokens <= CONTEXT_LENGTH
    assert not bench.ask(place(TEXT, TEXT.index("return side") + 7), VARIANTS["own top"]).shown


def test_the_true_line_is_not_looked_at(bench):
    """Of two places that differ in the line to be guessed alone, the same text is chosen."""
    one = TEXT.index("return side") + 7
    other = TEXT.replace("return side * side", "return Inventory().items")
    told = [bench.ask(place(text, one), VARIANTS["both"]) for text in (TEXT, other)]
    assert told[0].prompt_tokens == told[1].prompt_tokens


def test_it_reports(bench):
    table = Table()
    for number in range(3):
        at = TEXT.index("return") + 7 + number
        table.groups.append(f"owner/{number}")
        for name, parts in VARIANTS.items():
            table.answers[name].append(bench.ask(place(TEXT, at), parts))
    lines = list(report(table))
    assert lines[0].startswith("3 places of 3 repositories; the file alone: ")
    assert [line[:18].strip() for line in lines[1:]] == [*list(VARIANTS)[1:], *VARIANTS]
    assert "shown at 3 places" in lines[-1]


def test_other_files_n_grams_have_a_say_and_the_files_own_do_not_count_as_theirs(bench):
    text = "def weigh(load):\n    return crane_of(load, safely=True)\n"
    asked = place(text, text.index("load, safely"), "pkg/crane.py")
    alone = bench.ask(asked, ALONE)
    files = asked.files | {"pkg/crane.py": text}
    own = bench.ask(replace(asked, repository="own/one", files=files), WORKSPACE)
    others = asked.files.keys() - {"pkg/crane.py"}
    without = bench.ask(
        replace(asked, repository="own/two", files={p: files[p] for p in others}), WORKSPACE
    )
    known = bench.ask(
        replace(asked, repository="other/one", files=files | {"a.py": text}), WORKSPACE
    )
    assert known.bits < 0.5 * alone.bits
    assert own.bits == without.bits


def test_bad_input_gives_one_line(tmp_path, capsys):
    assert main(["bench", "context", "--holdout", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("parrotlet: ")
    assert error.count("\n") == 1
    assert main(["bench", "context", "--tokens", "0"]) == 1
    assert "--tokens is 1 or more" in capsys.readouterr().err
