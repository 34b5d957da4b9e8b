"""Messages out of a stream of bytes: a header with ``Content-Length``, an empty line, a body."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable

logger = logging.getLogger(__name__)

MAX_BODY = 256 * 1024 * 1024
"""Most bytes of a body: a longer one is taken for a damaged header."""

_MAX_LINE = 4096
_LENGTH = re.compile(rb"content-length:[ \t]*(\d{1,12})[ \t]*\r?\n?\Z", re.IGNORECASE)
_HEADER = re.compile(rb"[A-Za-z-]+:[^\r\n]*\r?\n\Z")


class Frames:
    """Messages out of bytes that come in pieces; finds the next one after bytes of none.

    Attributes:
        most: bytes of a body; a longer one is taken for a damaged header.
    """

    def __init__(self, most: int = MAX_BODY) -> None:
        """Holds nothing yet."""
        self.most = most
        self._buffer = bytearray()
        self._searched = 0
        self._length: int | None = None  # that a header has told
        self._awaited: int | None = None  # of the body that comes next

    def feed(self, data: bytes) -> None:
        """Takes the next bytes."""
        self._buffer += data

    def next(self) -> bytes | None:
        """The next message's body, or None until more bytes have come."""
        while self._awaited is None:
            if (line := self._line()) is None:
                return None
            self._header(line)
        if len(self._buffer) < self._awaited:
            return None
        size, self._awaited = self._awaited, None
        return self._cut(size)

    def _header(self, line: bytes) -> None:
        if (match := _LENGTH.search(line)) is not None:
            self._length = int(match.group(1))
            if match.start() > 0:
                logger.warning("skipped %d bytes before a message's header", match.start())
            if self._length > self.most:
                logger.warning("ignored a message of %d bytes", self._length)
                self._length = None
        elif not line.strip():
            self._awaited, self._length = self._length, None
        elif _HEADER.match(line) is None:
            logger.warning("skipped %d bytes that belong to no message", len(line))

    def _line(self) -> bytes | None:
        """Bytes up to a line end, or a bounded piece of a longer line."""
        end = self._buffer.find(b"\n", self._searched)
        if end >= 0:
            return self._cut(end + 1)
        self._searched = len(self._buffer)
        if self._searched >= _MAX_LINE:
            # keep what may be the beginning of a header
            return self._cut(self._searched - 64)
        return None

    def _cut(self, size: int) -> bytes:
        self._searched = 0
        piece = bytes(self._buffer[:size])
        del self._buffer[:size]
        return piece


class FrameReader:
    """Reads messages from where reading waits.

    It reads the descriptor itself: a thread that waits inside of Python's own buffered standard
    input would make the interpreter fail when it ends.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        """Takes the bytes from `read`, which gives at most so many and none at the end."""
        self._read = read
        self._frames = Frames()

    @classmethod
    def of_descriptor(cls, descriptor: int) -> FrameReader:
        """Reads a file descriptor, such as a pipe's."""

        def read(size: int) -> bytes:
            try:
                return os.read(descriptor, size)
            except OSError:  # the other end is gone
                return b""

        return cls(read)

    def next(self) -> bytes | None:
        """The next message's body, or None at the end of the stream."""
        while (body := self._frames.next()) is None:
            if not (data := self._read(65536)):
                return None
            self._frames.feed(data)
        return body
