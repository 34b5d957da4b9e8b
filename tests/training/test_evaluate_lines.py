"""Lines: the served engine asked at real places of real files."""

from __future__ import annotations

import json
import random
from itertools import chain, islice

import pytest
from tests.support.tiny_model import DOCUMENTS, SHAPES, tiny_bundle, tiny_checkpoint

from parrotlet_server.bundle import BundleError, open_bundle
from parrotlet_server.cli import main
from parrotlet_server.engine import Engine
from parrotlet_training.corpus.document import Document
from parrotlet_training.corpus.holdout import is_held_out
from parrotlet_training.corpus.shards import ShardWriter
from parrotlet_training.evaluate.cursors import KINDS, LINE_START, code_lines, make
from parrotlet_training.evaluate.errors import EvaluationError
from parrotlet_training.evaluate.lines import compare, has_novel_word, line_score
from parrotlet_training.evaluate.places import draw_places, folder_places, held_out_places


@pytest.fixture(scope="module")
def engine():
    return Engine.load(str(tiny_bundle()), 1)


@pytest.fixture
def folder(tmp_path):
    """The files that the tiny model knows, and some that are to be left out."""
    for name, text in DOCUMENTS.items():
        (tmp_path / "code" / "deep").mkdir(parents=True, exist_ok=True)
        (tmp_path / "code" / "deep" / name).write_text(text)
    for place in (".hidden", "venv"):
        (tmp_path / "code" / place).mkdir()
        (tmp_path / "code" / place / "x.py").write_text(SHAPES)
    (tmp_path / "code" / "broken.py").write_text("def f(:\n")
    (tmp_path / "code" / "latin.py").write_bytes(SHAPES.encode() + b"# \xff\n")
    return tmp_path / "code"


def test_a_model_completes_the_lines_that_it_knows(engine):
    places = [one.place for one in draw_places(DOCUMENTS.items(), 24)]
    done = []
    score = line_score(engine, places, progress=done.append)
    assert done == list(range(1, len(places) + 1))
    assert score.exact.value > 0.5
    assert score.similarity.value >= score.exact.value
    assert score.exact.low < score.exact.value < score.exact.high or score.exact.value == 1
    for (path, text, offset), item in zip(places, score.items, strict=True):
        assert (item.path, item.offset) == (path, offset)
        assert item.wanted == text[offset:].split("\n")[0].rstrip() != ""
        assert item.exact == (item.similarity == 1)
        assert item.seconds > 0
    assert sum(item.exact for item in score.items) == round(score.exact.value * len(places))


def test_the_rest_of_the_line_is_not_given_away(engine):
    """Two texts that differ only right of the cursor, on its line, get the same suggestion."""
    text = "def area(side):\n    return side * side\n"
    offset = text.index("side * side")
    other = text[:offset] + "number + 1 - 7\n"
    first, second = line_score(engine, [("a.py", text, offset), ("a.py", other, offset)]).items
    assert first.suggested == second.suggested
    assert first.wanted != second.wanted


def test_edit_similarity_is_levenshteins(engine):
    def distance(a: str, b: str) -> int:
        row = list(range(len(b) + 1))
        for i, sign in enumerate(a, 1):
            row[0], before = i, row[0]
            for j, other in enumerate(b, 1):
                before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (sign != other))
        return row[-1]

    choose = random.Random(0)
    places = []
    for path, text in DOCUMENTS.items():
        places += [(path, text, choose.randrange(len(text))) for _ in range(3)]
    for item in line_score(engine, places).items:
        longest = max(len(item.wanted), len(item.suggested))
        expected = 1 - distance(item.wanted, item.suggested) / longest if longest else 1.0
        assert item.similarity == pytest.approx(expected)


def test_models_are_named_in_several_ways(engine):
    places = [("shapes.py", SHAPES, SHAPES.index("turn side"))]
    want = line_score(engine, places).items[0].suggested
    for model in (open_bundle(tiny_bundle()), tiny_bundle(), str(tiny_bundle())):
        assert line_score(model, places).items[0].suggested == want
    with pytest.raises(BundleError, match="no model"):
        line_score("nowhere/at/all", places)


def test_wrong_places_are_refused(engine):
    with pytest.raises(ValueError, match="no offset 9"):
        line_score(engine, [("a.py", "x", 9)])
    with pytest.raises(ValueError, match="1 places, but 2 groups"):
        line_score(engine, [("a.py", "x", 0)], groups=["a", "b"])


def test_two_scores_are_compared_in_pairs(engine):
    places = [one.place for one in draw_places(DOCUMENTS.items(), 10)]
    before = line_score(engine, [(f"no/{path}", text, offset) for path, text, offset in places])
    after = line_score(engine, places)
    with pytest.raises(ValueError, match="same places"):
        compare(before, after)
    same = line_score(engine, places)
    exact, similar = compare(after, same)
    assert (exact.value, similar.value) == (0, 0)
    assert exact.n == len(places)


def test_places_are_drawn_evenly_and_alike():
    files = [*DOCUMENTS.items(), ("broken.py", "def f(:")]
    drawn = draw_places(files, 21, seed=3)
    assert drawn == draw_places(files[::-1], 21, seed=3)
    assert drawn != draw_places(files, 21, seed=4)
    by_kind = {kind: [one for one in drawn if one.kind == kind] for kind in KINDS}
    assert sorted(map(len, by_kind.values())) == [10, 11]
    for kind, ones in by_kind.items():
        assert max(sum(one.path == path for one in ones) for path in DOCUMENTS) <= 3
        for one in ones:
            lines = code_lines(one.text) or []
            starts, inside = zip(*lines, strict=True)
            assert one.offset in (starts if kind == LINE_START else chain(*inside))


def test_a_folders_own_code_is_drawn_from(folder, tmp_path):
    paths = {one.path for one in folder_places(folder, 100)}
    assert paths == {f"deep/{name}" for name in DOCUMENTS}
    (tmp_path / "empty").mkdir()
    for place, said in ((tmp_path / "empty", "no Python code"), (tmp_path / "none", "no folder")):
        with pytest.raises(EvaluationError, match=said):
            folder_places(place, 10)


def test_the_command_on_a_folder(folder, tmp_path, capsys):
    results = tmp_path / "lines.json"
    words = ["evaluate", "lines", "--folder", folder, "--model", tiny_checkpoint(), "--limit", 8]
    assert main([*map(str, words), "--threads", "1", "--json", str(results)]) == 0
    out = capsys.readouterr().out
    values = json.loads(results.read_text())
    assert [figure["n"] for figure in values["figures"]][:6] == [8, 8, 4, 4, 4, 4]
    assert values["figures"][-1]["name"] == "parseable as written"
    assert sum(values["mistakes"].values()) == sum(not item["exact"] for item in values["items"])
    assert values["figures"][0]["interval"].endswith("over files")
    assert values["latency_ms"]["median"] <= values["latency_ms"]["p95"]
    assert len(values["items"]) == 8
    assert values["options"]["recall"] == "workspace"
    assert "line start: exact match" in out
    assert "95th percentile" in out


def test_the_command_on_the_hold_out(tmp_path, capsys):
    corpus = tmp_path / "corpus"
    held_out = list(islice(filter(is_held_out, map("someone/project-{}".format, range(1000))), 3))
    with ShardWriter(corpus, "holdout") as writer:
        for at, (path, text) in enumerate(DOCUMENTS.items()):
            writer.add(Document(text, path, held_out[at % 3], "c0ffee", "MIT", "git"))
    make(corpus, tmp_path / "cursors.jsonl", 20)
    places, said = held_out_places(corpus, tmp_path / "cursors.jsonl", 7)
    assert [sum(one.kind == kind for one in places) for kind in KINDS] == [3, 4]
    assert said.startswith("all ")
    words = ["evaluate", "lines", "--corpus", corpus, "--cursors", tmp_path / "cursors.jsonl"]
    words += ["--limit", 6, "--model", tiny_bundle(), "--markdown", tmp_path / "table.md"]
    assert main(list(map(str, words))) == 0
    assert "cursors found" in capsys.readouterr().out
    table = (tmp_path / "table.md").read_text()
    assert "| inside line: edit similarity |" in table
    # the committed cursors are not of this corpus
    assert main(["evaluate", "lines", "--corpus", str(corpus)]) == 1
    err = capsys.readouterr().err
    assert "0 of" in err
    assert err.count("\n") == 1


def test_other_files_of_the_folder_have_a_say_and_the_file_itself_is_none(tmp_path):
    """What is asked for stands in other files, or only in the file itself."""
    lines = [f"quern_{at} = grind(maize_{at * 7 % 10}, coarse={at})" for at in range(30)]
    found = {}
    for copies in (0, 9):
        folder, results = tmp_path / str(copies), tmp_path / "lines.json"
        folder.mkdir()
        for number in range(copies + 1):
            (folder / f"m{number}.py").write_text(f"x = {number}\n" + "\n".join(lines) + "\n")
        for recall in ("workspace", "off"):
            words = ["--folder", folder, "--model", tiny_bundle(), "--limit", 12]
            words += ["--recall", recall, "--json", results]
            assert main(["evaluate", "lines", *map(str, words)]) == 0
            (_, similarity, *_) = json.loads(results.read_text())["figures"]
            found[copies, recall] = similarity["value"]
    assert found[9, "workspace"] > found[9, "off"] + 0.3
    assert found[0, "workspace"] < found[9, "workspace"] - 0.3


@pytest.mark.parametrize(
    ("text", "novel"),
    [
        ("a = 1\nb = |a|\n", False),
        ("a = 1\nb = |c|\n", True),
        ("a = 1\nb = |c|\nc = 2\n", False),
        ("a = 1\nb = |None if a else len(a)|\n", False),
        ("area = 1\nb = ar|ea|\n", False),
        ("area = 1\nb = ar|eas|\n", True),
        ("a = 1\nb = |12 + 3|\n", False),
    ],
)
def test_words_that_stand_nowhere_else(text, novel):
    before, inside, after = text.split("|")
    whole = before + inside + after
    assert has_novel_word(whole, len(before), len(before + inside)) is novel
