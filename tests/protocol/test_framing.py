"""Messages are found among any bytes, however they arrive in pieces."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parrotlet_server.lsp.framing import MAX_BODY, FrameReader


def frame(body):
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def bodies(data, sizes=()):
    """All messages of `data`, which arrives in pieces of `sizes`, the rest at once."""
    stream, sizes = io.BytesIO(data), list(sizes)
    reader = FrameReader(lambda size: stream.read(min(size, sizes.pop(0)) if sizes else size))
    return list(iter(reader.next, None))


@given(st.lists(st.binary(max_size=50), max_size=5), st.lists(st.integers(1, 20), max_size=40))
def test_messages_arrive_whole_in_any_pieces(contents, sizes):
    assert bodies(b"".join(map(frame, contents)), sizes) == contents


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length: 2\r\n\r\n",
        b"content-length:2\r\n\r\n",
        b"Content-Length: 2\n\n",
        b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: 2\r\n\r\n",
        b"Content-Length: 2\r\nContent-Type: application/vscode-jsonrpc; charset=utf-8\r\n\r\n",
    ],
)
def test_headers_are_read_as_others_write_them(header):
    assert bodies(header + b"{}" + frame(b"next")) == [b"{}", b"next"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"garbage",
        b"garbage\r\n",
        b"\r\n\r\n\r\n",
        b"\n",
        b"Content-Length: x\r\n\r\n",
        b"Content-Length: -1\r\n\r\n",
        b"Content-Length: \r\n\r\n",
        b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1),
        b"Content-Length: 99999999999999999999\r\n\r\n",
        b"\x00\xff" * 20_000,
        b"\x00\xff" * 20_000 + b"\n",
        b"Content-Length: 5\r\n\r\n{{{{{",
    ],
)
def test_the_next_message_is_found_after_garbage(garbage):
    assert bodies(frame(b"first") + garbage + frame(b"last"))[-1] == b"last"


@given(st.binary(max_size=200))
def test_garbage_ends(garbage):
    bodies(garbage)


def test_a_cut_message_is_none():
    assert bodies(b"Content-Length: 10\r\n\r\n{}") == []
    assert bodies(b"Content-Len") == []
    assert bodies(b"") == []
