"""Typing is replayed through a real server; the accounts add up."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parrotlet_server.cli import main
from parrotlet_training.benchmarks.replay import (
    GLANCE,
    LEAST_SPARED,
    ReplayError,
    editor,
    is_worth_it,
    next_key,
    passages,
    same_start,
    thresholds,
    weight,
)
from parrotlet_training.evaluate.cursors import INSIDE_LINE, LINE_START
from parrotlet_training.evaluate.places import DrawnPlace

from ..support.tiny_model import DOCUMENTS, tiny_bundle

TEXT = "def f(a):\n    b = a\n\n    return b\n\n\nf(1)\n"
typed = st.text(st.sampled_from("ab \n\t("), max_size=40)


@given(typed)
def test_each_key_writes_something_that_counts_once(text):
    left, keys = text, 0
    while left:
        key = next_key(left)
        assert key
        assert left.startswith(key)
        left = left[len(key) :]
        keys += 1
    assert keys == weight(text)


@given(typed, typed)
def test_what_is_taken_is_right_and_spares_keys(suggestion, wanted):
    right = is_worth_it(suggestion, wanted)
    assert suggestion[:right] == wanted[:right]
    if right:
        assert right >= min(GLANCE, len(suggestion))
        deleted = len(suggestion) - right
        assert weight(wanted[:right]) - 1 - deleted >= LEAST_SPARED
    assert same_start(suggestion, wanted) >= right


@pytest.mark.parametrize(
    ("suggestion", "wanted", "taken"),
    [
        ("return b", "return b\n", 8),
        ("return bad", "return b\n", 8),
        ("return nothing at all", "return b\n", 0),  # more to delete than it spares
        ("ret", "ret", 3),
        ("re", "re", 0),  # a key for two
        ("xeturn b", "return b", 0),
        ("b = a\n        ", "b = a\n        c", 14),  # the indentation counts for nothing
    ],
)
def test_a_user_takes_what_is_worth_it(suggestion, wanted, taken):
    assert is_worth_it(suggestion, wanted) == taken


def place(offset, kind=LINE_START, path="a.py", text=TEXT):
    return DrawnPlace(kind, "me/mine", path, text, offset)


def test_passages_are_cut_at_lines():
    at = TEXT.index("b = a")
    (found,) = passages([place(at)], 5, 3)
    assert (found.above, found.lines, found.below) == (
        "def f(a):\n    ",
        "b = a\n\n    return b",
        "\n\n\nf(1)\n",
    )
    # no blank lines at the end, and no further than the file goes
    assert passages([place(at)], 5, 2)[0].lines == "b = a"
    last = passages([place(TEXT.index("f(1)"))], 5, 9)[0]
    assert (last.lines, last.below) == ("f(1)", "\n")


def test_one_passage_a_file_and_only_from_line_starts():
    at = TEXT.index("b = a")
    places = [place(at + 1, INSIDE_LINE), place(at), place(0), place(at, path="b.py")]
    assert [found.path for found in passages(places, 5, 3)] == ["a.py", "b.py"]
    many = [place(0, path=f"{number}.py") for number in range(10)]
    assert len(passages(many, 4, 3)) == 4
    assert passages([place(0, text=TEXT * 5000)], 5, 3) == []


def test_thresholds():
    assert thresholds("all,-1, -0.5") == [None, -1.0, -0.5]
    for wrong in ("", "some", "1", "nan", "-inf"):
        with pytest.raises(ReplayError, match="--scores"):
            thresholds(wrong)


@pytest.fixture
def folder(tmp_path):
    for name, text in DOCUMENTS.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_known_files_are_typed_with_few_keys(folder, tmp_path, capsys):
    out = tmp_path / "out.json"
    words = ("--folder", folder, "--model", tiny_bundle(), "--passages", "3", "--lines", "6")
    words += ("--scores", "all,0", "--json", out)
    assert main(["bench", "typing", *map(str, words)]) == 0
    shown, hidden = json.loads(out.read_text())
    assert len(shown["passages"]) == 3
    for passage in shown["passages"] + hidden["passages"]:
        # every character was typed or came with a suggestion
        typed = passage["keys"] - passage["taken"] - passage["wasted"]
        assert typed + passage["kept"] == passage["characters"]
        assert passage["taken"] <= passage["shown"]
        assert passage["right"] + passage["misleading"] <= passage["shown"]
    # it knows these files by heart
    assert shown["figures"]["keys spared"]["value"] > 0.3
    # no suggestion is that sure
    assert sum(passage["shown"] for passage in hidden["passages"]) == 0
    assert hidden["figures"]["keys spared"]["value"] == 0
    assert "| keys spared |" in capsys.readouterr().out


def test_a_files_own_text_does_not_come_from_the_workspace(tmp_path, capsys):
    """What is typed stands in the workspace's file already, and nowhere else."""
    folder, out = tmp_path / "work", tmp_path / "out.json"
    folder.mkdir()
    lines = [f"quern_{at} = grind(maize_{at * 7 % 10}, coarse={at})" for at in range(10)]
    (folder / "mill.py").write_text("import os\n\n" + "\n".join(lines) + "\n")
    (folder / "other.py").write_text("x = 1\n")
    spared = []
    for copies, words in ((0, ["--alone"]), (0, []), (9, [])):
        for number in range(copies):
            (folder / f"z{number}.py").write_text("\n".join(lines) + "\n")
        words += ["--folder", str(folder), "--model", str(tiny_bundle()), "--passages", "1"]
        assert main(["bench", "typing", *words, "--scores", "all", "--json", str(out)]) == 0
        (policy,) = json.loads(out.read_text())
        spared.append(policy["figures"]["keys spared"]["value"])
    alone, among_others, with_copies = spared
    assert among_others == pytest.approx(alone, abs=0.05)
    assert with_copies > alone + 0.15


def test_other_files_of_the_folder_may_be_open(tmp_path):
    """Passages of theirs then stand in the prompt; those of other folders do not."""
    text = "def weigh(load, crane, rope):\n    return crane.lift(load, rope)\n"
    (tmp_path / "pkg").mkdir()
    for name in ("pkg/one.py", "pkg/two.py", "three.py"):
        (tmp_path / name).write_text(text)

    async def prompts(others):
        read = []
        async with editor(str(tiny_bundle()), None, tmp_path, others) as session:
            for path in ("pkg/mine.py", "mine.py"):
                session.open(path, text[:-6], "\n")
                most = 0
                for key in "abcdef":  # a key does not wait for long until they are read
                    session.write(key)
                    await session.ask()
                    most = max(most, (await session.statistics()).last.promptTokens)
                    await asyncio.sleep(0.2)
                read.append(most)
                session.close()
        return read

    few, many = (asyncio.run(prompts(others)) for others in (0, 6))
    assert few[0] + 30 < many[0]
    assert few[1] + 30 < many[1] < many[0]  # those that were closed are gone


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--open", "-1"), "--open is 0 or more"),
        (("--open", "2", "--alone"), "--open is 0 or more"),
        (("--folder", "nowhere"), "there is no folder nowhere"),
        (("--scores", "2"), "--scores: '2' is neither"),
        (("--holdout", "nowhere"), "nowhere"),
        (("--folder", ".", "--model", "nowhere"), "no model nowhere"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(folder, monkeypatch, capsys, words, message):
    monkeypatch.chdir(folder)
    assert main(["bench", "typing", *words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("parrotlet: ")
    assert message in line
