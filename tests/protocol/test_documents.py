"""Incremental sync: after any edits the server's text is the editor's, in each encoding."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lsprotocol import types

from parrotlet_server.lsp.documents import Document, Documents, relative_path
from parrotlet_server.lsp.lines import split_lines

from ..support.plain_text import PlainText

ENCODINGS = ("utf-8", "utf-16", "utf-32")

# what editors send: every kind of line end, characters that Python's splitlines takes for one,
# and characters of 1 to 4 bytes; the halves of a pair are drawn where columns count them
ALPHABET = ["a", "b", " ", "\n", "\r", "\r\n", "\f", "\v", "\x85", "\u2028", "é", "한", "😀", "\t"]
texts = st.lists(st.sampled_from(ALPHABET), max_size=12).map("".join)
halved = st.lists(st.sampled_from([*ALPHABET, "\ud83d", "\ude00"]), max_size=12).map("".join)
places = st.tuples(st.integers(0, 8), st.integers(0, 14))


def partial(start, end, text):
    return types.TextDocumentContentChangePartial(
        range=types.Range(types.Position(*start), types.Position(*end)), text=text
    )


def check(encoding, text, edits, cursor):
    document = Document("file:///a.py", "python", text, encoding)
    editor = PlainText(text, encoding)
    for start, end, inserted in edits:
        first, last = sorted([start, end])
        document.apply(partial(first, last, inserted))
        editor.edit(first, last, inserted)
        assert document.text == editor.text
        # a wrong cut of the lines would show only in a later edit
        assert document._lines == split_lines(editor.text)
    place = document.place(types.Position(*cursor), types.Position(*cursor))
    at = editor.offset(*cursor)
    whole = place.prefix + place.suffix
    for part, expected in ((place.prefix, editor.units[:at]), (place.suffix, editor.units[at:])):
        plain = re.sub(r"\r\n?", "\n", editor.decode(expected))
        assert part == re.sub("[\ud800-\udfff]", "\ufffd", plain)
    whole.encode()  # never a lone surrogate
    # the position that is told to the editor is the same place, if spelt differently
    assert editor.offset(place.start.line, place.start.character) == at


EDITS = st.lists(st.tuples(places, places, texts), max_size=6)


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(text=texts, edits=EDITS, cursor=places)
@settings(max_examples=200, deadline=None)
@example(text="a\rb", edits=[((1, 0), (1, 0), "\n")], cursor=(1, 0))
@example(text="a\nb", edits=[((0, 1), (0, 1), "\r")], cursor=(1, 0))
@example(text="a\n", edits=[((1, 0), (1, 0), "b")], cursor=(1, 1))
@example(text="a", edits=[((0, 9), (9, 9), "b\n")], cursor=(9, 9))
@example(text="a\fb\nc", edits=[((1, 0), (1, 1), "d")], cursor=(0, 2))
def test_edits(encoding, text, edits, cursor):
    check(encoding, text, edits, cursor)


@given(text=halved, edits=st.lists(st.tuples(places, places, halved), max_size=6), cursor=places)
@settings(max_examples=200, deadline=None)
@example(text="😀", edits=[((0, 1), (0, 2), "")], cursor=(0, 1))
@example(text="", edits=[((0, 0), (0, 0), "\ud83d"), ((0, 1), (0, 1), "\ude00")], cursor=(0, 2))
def test_edits_of_half_characters(text, edits, cursor):
    check("utf-16", text, edits, cursor)


def test_a_change_without_a_range_replaces_the_text():
    document = Document("file:///a.py", "python", "a\nb", "utf-16")
    document.apply(types.TextDocumentContentChangeWholeDocument("c"))
    assert document.text == "c"


def test_a_reversed_range_is_turned_round():
    document = Document("file:///a.py", "python", "abcd", "utf-16")
    document.apply(partial((0, 3), (0, 1), "-"))
    assert document.text == "a-d"


def test_a_place_stays_where_it_was():
    document = Document("file:///a.py", "python", 'x = f("é")', "utf-16")
    place = document.place(types.Position(0, 6), types.Position(0, 6))
    document.apply(types.TextDocumentContentChangeWholeDocument(""))
    assert place.extended(1, 4) == types.Range(types.Position(0, 5), types.Position(0, 10))


@pytest.mark.parametrize(
    ("encoding", "start", "end"), [("utf-8", 5, 11), ("utf-16", 3, 7), ("utf-32", 2, 5)]
)
def test_overwritten_characters_are_counted_in_columns(encoding, start, end):
    document = Document("file:///a.py", "python", "a😀(😀)b\n", encoding)
    place = document.place(types.Position(0, start), types.Position(0, start))
    covered = place.extended(0, 3)
    assert (covered.start.character, covered.end.character) == (start, end)


@pytest.mark.parametrize(
    ("text", "line", "newline"),
    [
        ("a\r\nb", 0, "\r\n"),
        ("a\r\nb", 1, "\r\n"),
        ("a\nb", 1, "\n"),
        ("a\rb", 1, "\r"),
        ("a", 0, "\n"),
        ("", 0, "\n"),
    ],
)
def test_line_ends_are_those_nearby(text, line, newline):
    document = Document("file:///a.py", "python", text, "utf-16")
    assert document.place(types.Position(line, 0), types.Position(line, 0)).newline == newline


@pytest.mark.parametrize(
    ("uri", "language", "python"),
    [
        ("file:///a.py", "python", True),
        ("file:///a.pyi", "plaintext", True),
        ("file:///a.txt", "plaintext", False),
        ("file:///a", "python", True),
        ("untitled:Untitled-1", "python", True),
        ("untitled:Untitled-1", "rust", False),
        ("vscode-notebook-cell:/a.ipynb#W0", "python", True),
    ],
)
def test_what_counts_as_python(uri, language, python):
    assert Document(uri, language, "", "utf-16").is_python is python


def test_documents_that_are_not_open_are_passed_over():
    documents = Documents()
    documents.change("file:///a.py", [types.TextDocumentContentChangeWholeDocument("x")])
    documents.close("file:///a.py")
    assert documents.get("file:///a.py") is None


@pytest.mark.parametrize(
    ("uri", "folders", "path"),
    [
        ("file:///w/pkg/a.py", ["file:///w"], "pkg/a.py"),
        ("file:///w/pkg/a.py", ["file:///w/", "file:///w/pkg"], "a.py"),
        ("file:///w/a%20b.py", ["file:///w"], "a b.py"),
        ("file:///wide/a.py", ["file:///w"], "a.py"),
        ("file:///c%3A/w/a.py", ["file:///c:/w"], "a.py"),
        ("file:///elsewhere/a.py", [], "a.py"),
        ("file:///w/a.py", [""], "a.py"),
        ("untitled:Untitled-1", ["file:///w"], None),
        ("file://[w/a.py", ["file:///w"], None),
        ("file:///w/a.py", ["file://["], "a.py"),
    ],
)
def test_paths_are_those_inside_the_workspace(uri, folders, path):
    assert relative_path(uri, folders) == path
