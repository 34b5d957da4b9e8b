"""Cursors: each lies where its kind says, on real files and on made ones."""

from __future__ import annotations

import hashlib
import io
import json
import sysconfig
import tokenize
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parrotlet_training.corpus.build import build_corpus
from parrotlet_training.corpus.document import Document
from parrotlet_training.corpus.holdout import is_held_out
from parrotlet_training.corpus.recipe import CorpusRecipe
from parrotlet_training.corpus.shards import ShardWriter
from parrotlet_training.corpus.sources import Folder
from parrotlet_training.evaluate.cursors import (
    CURSORS,
    INSIDE_LINE,
    KINDS,
    LINE_START,
    MAX_PER_FILE,
    Cursor,
    CursorError,
    code_lines,
    draw,
    load,
    make,
    texts,
    write,
)

STDLIB = Path(sysconfig.get_path("stdlib"))
HELD_OUT = list(islice(filter(is_held_out, map("someone/project-{}".format, range(1000))), 3))
MODULES = ("bisect", "heapq", "shlex", "string", "textwrap", "queue", "sched", "colorsys")


def write_corpus(folder, documents):
    """A hold-out of (repository, path, text)."""
    with ShardWriter(folder, "holdout") as writer:
        for repository, path, text in documents:
            writer.add(Document(text, path, repository, "c0ffee", "MIT", "git"))
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Three repositories, of one, two and five files of the standard library."""
    names = iter(MODULES)
    documents = [
        (repository, f"{name}.py", (STDLIB / f"{name}.py").read_text())
        for repository, number in zip(HELD_OUT, (1, 2, 5), strict=True)
        for name in islice(names, number)
    ]
    return write_corpus(tmp_path_factory.mktemp("corpus") / "holdout", documents)


def check(cursor, text):
    """What a kind promises, told by other means than the code under test: text and tokens."""
    begin = text.rfind("\n", 0, cursor.offset) + 1
    before = text[begin : cursor.offset]
    assert not text[cursor.offset].isspace()
    assert text[cursor.offset] != "#"
    assert (before.strip() == "") == (cursor.kind == LINE_START)
    row, column = text.count("\n", 0, cursor.offset) + 1, cursor.offset - begin
    around = [
        token
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.start <= (row, column) < token.end
        and token.type not in (tokenize.INDENT, tokenize.NEWLINE, tokenize.NL)
    ]
    assert around
    assert all(token.type != tokenize.COMMENT for token in around)
    if cursor.kind == LINE_START:
        assert (row, column) in [token.start for token in around]
    else:
        assert all(token.start[0] == token.end[0] for token in around)
    head = text[begin + len(before) - len(before.lstrip()) :]
    assert not head.startswith(("#", '"""', "'''", "__author__", "__license__"))


def test_drawn_cursors_lie_where_their_kind_says(corpus):
    cursors = draw(corpus, per_kind=20)
    joined = texts(corpus, cursors)
    assert joined.summary() == "all 40 cursors found"
    for cursor, text in joined.places:
        assert hashlib.sha256(text.encode()).hexdigest() == cursor.sha256
        check(cursor, text)


def test_cursors_are_spread_evenly_over_repositories_then_files(corpus):
    cursors = draw(corpus, per_kind=12)
    for kind in KINDS:
        own = [cursor for cursor in cursors if cursor.kind == kind]
        assert Counter(cursor.repository for cursor in own) == dict.fromkeys(HELD_OUT, 4)
        files = Counter((cursor.repository, cursor.path) for cursor in own)
        assert sorted(files.values()) == [1, 1, 1, 1, 2, 2, 4]
    many = draw(corpus, per_kind=1000)
    assert len(many) == len(KINDS) * MAX_PER_FILE * len(MODULES)
    assert len(set(many)) == len(many)


def test_the_draw_depends_on_the_documents_and_the_seed_alone(corpus, tmp_path):
    rows = [(c.repository, c.path, t) for c, t in texts(corpus, draw(corpus, 1000)).places]
    turned = write_corpus(tmp_path / "turned", sorted(set(rows), reverse=True))
    assert draw(turned, 12) == draw(corpus, 12)
    assert draw(corpus, 12, seed=1) != draw(corpus, 12)


STATEMENTS = st.sampled_from(
    [
        "value = 1\n",
        "def f(a, b=2):\n    return a + b  # sum\n",
        '"""A note."""\n',
        "class A:\n    '''Doc\n    string.'''\n\n    x: int = 3\n",
        "# a comment\n",
        "text = '''\n  inside\n'''.strip()\n",
        "if value:\n\tprint(f'{value!r:>10} {value}')\n",
        "call(\n    one,\n\n    # note\n    two,\n)\n",
        "total = 1 + \\\n    2\n",
        "__author__ = 'someone'\n",
        "näme = 'ß→𝒳'\n",
        "\n",
        "   \n",
        "a = 1; b = 2\n",
        "\x0cfeed = 0\n",
    ]
)


@settings(deadline=None)
@given(st.lists(STATEMENTS, max_size=25).map("".join))
def test_every_place_in_a_made_file_holds_its_promise(text):
    lines = code_lines(text)
    if lines is None:
        return
    for start, inside in lines:
        check(Cursor("", "", "", LINE_START, start, ""), text)
        for offset in inside:
            check(Cursor("", "", "", INSIDE_LINE, offset, ""), text)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_looked_at_without_failing(text):
    for start, inside in code_lines(text) or []:
        assert 0 <= start < len(text)
        assert all(start < offset < len(text) for offset in inside)


def test_which_places_of_a_file_are_code():
    text = (
        "#!/usr/bin/python\n# Copyright\n'''Licence\ntext.'''\n__license__ = 'MIT'\n"
        "import os\n\n\ndef go(at):\n    '''Doc.'''\n    x = '''\n    y = 1\n'''\n"
        "    return os  # why\n\n\ngo(1)\n"
    )
    lines = code_lines(text)
    firsts = [text[start:].split("\n")[0] for start, _ in lines]
    assert firsts == ["import os", "def go(at):", "x = '''", "return os  # why", "go(1)"]
    assert "".join(text[at] for at in lines[3][1]) == "eturnos"
    assert "".join(text[at] for at in lines[2][1]) == "="


@pytest.mark.parametrize(
    "text",
    [
        "TABLE = [\n" + "    [1, 2, 3, 4, 'a', 'b'],\n" * 50 + "]\n",
        "def f(:\n    pass\n" * 5,
        "x = 1\ny = 2\n",
        "# only\n" * 20,
        "x = 1\n" * 9 + "if x:\n\ty = 1\n        z = 2\n",
        "",
    ],
)
def test_files_that_are_no_place_for_cursors(text):
    assert code_lines(text) is None


def test_input_of_tests_is_left_out(tmp_path):
    code = (STDLIB / "heapq.py").read_text()
    other = (STDLIB / "shlex.py").read_text()
    documents = [(HELD_OUT[0], "tests/data/odd.py", code), (HELD_OUT[0], "data/even.py", other)]
    cursors = draw(write_corpus(tmp_path / "corpus", documents))
    assert {cursor.path for cursor in cursors} == {"data/even.py"}


def test_written_cursors_load_as_they_were(corpus, tmp_path):
    cursors = draw(corpus, 12)
    lines = make(corpus, tmp_path / "list.jsonl", 12)
    assert lines[:3] == [
        "12 cursors of kind line_start",
        "12 cursors of kind inside_line",
        "in 7 files of 3 repositories",
    ]
    assert load(tmp_path / "list.jsonl") == cursors
    again = (tmp_path / "list.jsonl").read_bytes()
    write(list(reversed(cursors)), tmp_path / "list.jsonl")
    assert (tmp_path / "list.jsonl").read_bytes() == again
    words = {line.strip() for line in (STDLIB / "heapq.py").read_text().splitlines()}
    assert not any(word in again.decode() for word in words if len(word) > 20)


def test_missing_and_changed_documents_are_counted(corpus, tmp_path):
    cursors = draw(corpus, 1000)
    documents = sorted({(c.repository, c.path, t) for c, t in texts(corpus, cursors).places})
    (repository, path, text), *rest = documents[1:]
    changed = write_corpus(tmp_path / "later", [(repository, path, f"{text}#\n"), *rest])
    joined = texts(changed, cursors)
    each = len(KINDS) * MAX_PER_FILE
    assert (joined.missing, joined.changed) == (each, each)
    assert joined.summary() == (
        "48 of 64 cursors found; 8 in documents that the corpus lacks, "
        "8 in documents that have changed"
    )


GOOD = {
    "repository": HELD_OUT[0],
    "commit": "c0ffee",
    "path": "a.py",
    "sha256": "0" * 64,
    "line_start": [1],
    "inside_line": [3],
}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: "),
        ("[]", "has the keys"),
        (json.dumps({**GOOD, "text": "x"}), "has the keys"),
        (json.dumps({**GOOD, "sha256": "0"}), "is no SHA-256"),
        (json.dumps({**GOOD, "path": 1}), "are texts"),
        (json.dumps({**GOOD, "line_start": [-1]}), "0 or more"),
        (json.dumps({**GOOD, "line_start": [True]}), "0 or more"),
        (json.dumps({**GOOD, "line_start": [1, 1]}), "names a place twice"),
        (json.dumps({**GOOD, "line_start": [], "inside_line": []}), "names no cursor"),
        (json.dumps({**GOOD, "repository": "python/cpython"}), "is not held out"),
        ("", "names no cursor"),
    ],
)
def test_a_damaged_list_is_said_in_one_line(tmp_path, line, message):
    file = tmp_path / "list.jsonl"
    file.write_text(line + "\n" if line else "")
    with pytest.raises(CursorError, match=message) as caught:
        load(file)
    assert "\n" not in str(caught.value)
    assert not is_held_out("python/cpython")


def test_what_is_no_hold_out_is_said(tmp_path):
    with pytest.raises(CursorError, match="corpus build --holdout"):
        draw(tmp_path)
    with pytest.raises(CursorError, match="give 1 or more"):
        draw(tmp_path, 0)
    mine = write_corpus(tmp_path / "mine", [("python/cpython", "a.py", "x = 1\n")])
    with pytest.raises(CursorError, match="is not of the hold-out"):
        draw(mine)
    (mine / "data" / "holdout-00000.parquet").write_bytes(b"PAR1")
    with pytest.raises(CursorError, match="cannot be read"):
        draw(mine)


def test_a_built_hold_out_gives_cursors(tmp_path):
    project = tmp_path / HELD_OUT[0].replace("/", "-")
    project.mkdir()
    (project / "heapq.py").write_text((STDLIB / "heapq.py").read_text())
    source = Folder(project, repository=HELD_OUT[0])
    build_corpus([source], tmp_path / "out", CorpusRecipe(holdout=True), progress=False)
    assert len(draw(tmp_path / "out")) == len(KINDS) * MAX_PER_FILE


def test_the_committed_list_is_whole():
    cursors = load(CURSORS)
    kinds = Counter(cursor.kind for cursor in cursors)
    assert kinds == dict.fromkeys(KINDS, 1000)
    assert len({cursor.repository for cursor in cursors}) >= 8
    assert CURSORS.stat().st_size < 500_000
