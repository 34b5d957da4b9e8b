"""Decontamination against small evaluation sets of our own, in the forms of the known ones."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parrotlet_training.corpus.decontamination import (
    DecontaminationError,
    Decontaminator,
    read_texts,
)

PROMPT = '''from typing import List


def heavier_than_neighbours(weights: List[int]) -> List[int]:
    """Return the places of those weights that are heavier than both of
    their neighbours; the first and the last never are.
    >>> heavier_than_neighbours([1, 3, 2])
    [1]
    """
'''
SOLUTION = """    found = []
    for place in range(1, len(weights) - 1):
        if weights[place] > max(weights[place - 1], weights[place + 1]):
            found.append(place)
    return found
"""
HUMAN = {"task_id": "Tests/7", "prompt": PROMPT, "canonical_solution": SOLUTION}
MBPP = {
    "task_id": 3,
    "text": "Write a function to swap the first and the last letter of every word of a sentence.",
    "code": "def swap_ends(sentence):\r\n  words = sentence.split()\r\n  swapped = [word[-1] + "
    "word[1:-1] + word[0] for word in words if len(word) > 1]\r\n  return ' '.join(swapped)",
}
INNOCENT = "def add(a, b):\n    return a + b\n"


def lines(*entries: object) -> str:
    return "".join(json.dumps(entry) + "\n" for entry in entries)


@pytest.fixture
def decontaminator(tmp_path: Path) -> Decontaminator:
    (tmp_path / "human.jsonl.gz").write_bytes(gzip.compress(lines(HUMAN).encode()))
    (tmp_path / "mbpp.jsonl").write_text(lines(MBPP))
    return Decontaminator.load([tmp_path / "human.jsonl.gz", tmp_path / "mbpp.jsonl"])


@pytest.mark.parametrize(
    ("text", "task"),
    [
        (PROMPT + SOLUTION, "Tests/7"),
        (f"class A:\n    def other(self, weights):\n{SOLUTION.replace('    ', chr(9))}", "Tests/7"),
        ('x = 1\n"""Return the places of those weights that are\nheavier than both of their\n'
         'neighbours; the first and the last never are."""\n', "Tests/7"),
        (SOLUTION.replace(" ", "").replace("forplacein", "for place in ")
         .replace("returnfound", "return found").replace("ifw", "if w"), "Tests/7"),
        (f"# {MBPP['text']}\n", "mbpp/3"),
        ("def f(sentence):\n" + MBPP["code"].split("\r\n", 1)[1].replace("\r\n", "\n"), "mbpp/3"),
        (INNOCENT, None),
        (SOLUTION.replace("found", "result"), None),
        (MBPP["text"][:40], None),
        (f"{PROMPT[4:60]}\nneighbours never heavier both weights places\n", None),
        ("", None),
    ],
)  # fmt: skip
def test_what_holds_a_docstring_or_solution_is_found(decontaminator, text, task):
    assert decontaminator.found(text) == task
    assert decontaminator.found(f"import os\n\n\n{text}\n{INNOCENT * 20}") == task


def test_short_solutions_do_not_count(tmp_path):
    entry = {
        **HUMAN,
        "prompt": PROMPT.replace("weights", "mass"),
        "canonical_solution": "    return a + b\n",
    }
    (tmp_path / "set.jsonl").write_text(lines(entry))
    loaded = Decontaminator.load([tmp_path / "set.jsonl"])
    assert loaded.found(INNOCENT) is None
    assert loaded.too_short == 1
    assert Decontaminator.load([tmp_path / "set.jsonl"], 4, 3).found(INNOCENT) == "Tests/7"


def test_infilling_tasks_are_put_together(tmp_path):
    entry = {
        "task_id": "Infilling/1",
        "prompt": PROMPT + SOLUTION[:60],
        "canonical_solution": SOLUTION[60:90],
        "suffix": SOLUTION[90:],
    }
    (tmp_path / "infilling.jsonl").write_text(lines(entry) + "\n")
    loaded = Decontaminator.load([tmp_path / "infilling.jsonl"])
    assert loaded.found("def f(weights):\n" + SOLUTION) == "Infilling/1"


def test_own_sets_as_python_and_as_text(tmp_path):
    (tmp_path / "own.py").write_text(PROMPT + SOLUTION)
    (tmp_path / "own.txt").write_text(f"short\n{MBPP['text']}\n")
    loaded = Decontaminator.load([tmp_path / "own.py", tmp_path / "own.txt"])
    assert loaded.found(f"def f(weights):\n{SOLUTION}") == "own.py"
    assert loaded.found(f"# {MBPP['text']}") == "own.txt:2"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("absent.jsonl", None, "cannot read"),
        ("bad.jsonl.gz", b"not gzip", "cannot read"),
        ("bad.jsonl", b"{", "line 1: not JSON"),
        ("list.jsonl", b"[1]\n", "line 1: not an object"),
        ("other.jsonl", b'{"question": "?"}\n', "neither prompt and canonical_solution"),
        ("set.parquet", b"PAR1", "is no evaluation set"),
        ("latin.txt", "é".encode("latin-1"), "cannot read"),
    ],
)
def test_bad_sets_are_refused_clearly(tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DecontaminationError, match=says):
        Decontaminator.load([tmp_path / name])


def test_a_solution_that_is_no_python_counts_whole(tmp_path):
    (tmp_path / "set.py").write_text("def broken(:\n    a b c d e f g h i j k l m n o p\n")
    ((task, text),) = read_texts(tmp_path / "set.py")
    assert task == "set.py"
    assert "broken" in text


WORDS = st.sampled_from(["alpha", "beta", "gamma", "delta", "x", "y", "(", ")", ",", "=", "\n"])


@given(st.lists(WORDS, max_size=40), st.lists(WORDS, min_size=1, max_size=8))
def test_finding_is_exact(document, needle):
    """The index by words finds what looking through all tokens finds."""
    loaded = Decontaminator([("task", " ".join(needle))], minimum_tokens=1, minimum_words=1)
    tokens = [t for t in document if t != "\n"]
    wanted = [t for t in needle if t != "\n"]
    words = [t for t in wanted if t.isalpha()]
    there = any(tokens[i : i + len(wanted)] == wanted for i in range(len(tokens)))
    assert (loaded.found(" ".join(document)) == "task") == (bool(words) and there)
