"""Long sessions of editing: after each notification the server's text is the editor's."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lsprotocol import types

from parrotlet_server.lsp.documents import Documents, plain
from parrotlet_server.lsp.lines import split_lines

from ..support.lsp_client import at, client
from ..support.plain_text import Editor
from ..support.tiny_model import DOCUMENTS

URI = "file:///a.py"
ENCODINGS = ("utf-8", "utf-16", "utf-32")
SESSIONS, NOTIFICATIONS = 75, 30
"""Of each encoding: at least one edit in each notification, so more than 10,000 in all."""

# every kind of line end, what Python's splitlines takes for one, combining marks, joiners, marks
# of direction, characters of 1 to 4 bytes, and code as it is typed
PIECES = [
    *("\n", "\r\n", "\r", "\f", "\v", "\x1c", "\x85", "\u2028", "\u2029", "\t", "    ", "\0"),
    *("e\u0301", "\u0308", "\u200d", "\u202e", "\ufeff", "é", "ß", "한", "😀"),
    *("👩\u200d💻", "\U0010ffff"),
    *("def f(x):\n    return x", "x = 1\r\n", "(", ")", '"', "'''", "# ", "a", "_", "\\"),
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=5).map("".join)
# a place is a line and a column, taken modulo somewhat more than there are
PLACES = st.tuples(st.integers(0, 60), st.integers(0, 60))
EDITS = st.one_of(
    st.tuples(st.just("insert"), PLACES, TEXTS),
    st.tuples(st.just("replace"), PLACES, PLACES, TEXTS),
    st.tuples(st.just("undo")),
    st.tuples(st.just("whole"), TEXTS),
)
SESSION = st.lists(
    st.lists(EDITS, min_size=1, max_size=4), min_size=NOTIFICATIONS, max_size=NOTIFICATIONS
)


def carry_out(editor, edit):
    """Does what `edit` says in the editor; gives the change that it tells, or None."""

    def place(drawn):
        lines = split_lines(editor.text)
        line = drawn[0] % (len(lines) + 1)
        length = len(editor.encode(lines[line])) if line < len(lines) else 0
        return line, drawn[1] % (length + 3)

    kind, *rest = edit
    if kind == "undo":
        return editor.undo()
    if kind == "whole":
        return editor.replace_all(rest[0])
    first = place(rest[0])
    last = place(rest[1]) if kind == "replace" else first
    return editor.replace(first, last, rest[-1])


def event(change):
    """A change as the protocol's types have it."""
    if isinstance(change, str):
        return types.TextDocumentContentChangeWholeDocument(change)
    start, end, text = change
    return types.TextDocumentContentChangePartial(
        types.Range(types.Position(*start), types.Position(*end)), text
    )


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_sessions_of_editing(encoding, record_property):
    edits = 0

    @given(text=TEXTS, session=SESSION, cursor=PLACES)
    @settings(
        max_examples=SESSIONS,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    def run(text, session, cursor):
        nonlocal edits
        documents = Documents()
        documents.encoding = encoding
        documents.open(types.TextDocumentItem(URI, "python", 1, text))
        editor = Editor(text, encoding)
        for notification in session:
            changes = [carry_out(editor, edit) for edit in notification]
            changes = [event(change) for change in changes if change is not None]
            documents.change(URI, changes)
            edits += len(changes)
            document = documents.get(URI)
            assert document.text == editor.text
            # lines that are cut wrongly show only in a later edit
            assert document._lines == split_lines(editor.text)
            place = document.place(types.Position(*cursor), types.Position(*cursor))
            at = editor.offset(*cursor)
            assert place.prefix == plain(editor.decode(editor.units[:at]))
            assert place.suffix == plain(editor.decode(editor.units[at:]))

    run()
    record_property("edits", edits)
    print(f"{edits:,} edits with positions in {encoding}")
    assert 3 * edits > 10_000


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_session_with_a_real_server(model, suggest, encoding):
    """After some hundred edits anywhere, what the server suggests is what fits the editor's text.

    The suggestion follows from the text before the cursor and the one below it, through a cache
    that compares all of both. The file that the model knows is put together by these edits.
    """
    draw = random.Random(encoding)
    known = DOCUMENTS["shapes.py"]
    with client("--model", model, settings={"debounce": 0}) as session:
        result = session.start(capabilities={"general": {"positionEncodings": [encoding]}})
        assert result["capabilities"]["positionEncoding"] == encoding
        session.open(URI, "")
        editor = Editor("", encoding)
        edits = shown = 0
        for number in range(40):
            # what the model knows, with noise above and below it
            cut = draw.randrange(known.index("def square"), len(known))
            noise = ["".join(draw.choices(PIECES, k=3)) for _ in range(4)]
            above, below = noise[0] + "\n", "\n" + noise[1]
            text = above + known[:cut] + below
            changes = [
                editor.replace_all(text)
                if number % 10 == 0
                else editor.replace((0, 0), (10**6, 0), text),
                editor.replace((0, draw.randrange(3)), (0, 4), noise[2]),
                editor.replace((10**6, 0), (10**6, 0), noise[3]),
            ]
            # two are taken back at the most, so that what the model knows stays
            changes += [editor.undo() for _ in range(draw.randrange(3))]
            edits += len(changes)
            session.change(URI, *changes, version=number + 2)
            end = editor.text.index(known[:cut]) + cut
            cursor = editor.position(len(editor.encode(editor.text[:end])))
            # as one who types: one who asks may get a second choice where the first is no good
            params = {**at(URI, *cursor), "context": {"triggerKind": 2}}
            items = session.call("textDocument/inlineCompletion", params)
            expected = suggest(plain(editor.text[:end]), plain(editor.text[end:]))
            assert [item["insertText"] for item in items or []] == (
                [expected.text] if expected else []
            )
            shown += expected is not None
        print(f"{edits} edits over stdio in {encoding}, {shown} suggestions compared")
        assert shown > 10
        assert session.shut_down() == 0
        assert "Traceback" not in session.stderr()
