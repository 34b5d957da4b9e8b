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


class FrameReader:
    """Reads messages, and finds the next one again after bytes that belong to none.

    It reads the descriptor itself: a thread that waits inside of Python's own buffered standard
    input would make the interpreter fail when it ends.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        """Takes the bytes from `read`, which gives at most so many and none at the end."""
        self._read = read
        self._buffer = bytearray()

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
        length: int | None = None
        while (line := self._line()) is not None:
            if (match := _LENGTH.search(line)) is not None:
                length = int(match.group(1))
                if match.start() > 0:
                    logger.warning("skipped %d bytes before a message's header", match.start())
                if length > MAX_BODY:
                    logger.warning("ignored a message of %d bytes", length)
                    length = None
            elif not line.strip():
                if length is not None:
                    return self._take(length)
            elif _HEADER.match(line) is None:
                logger.warning("skipped %d bytes that belong to no message", len(line))
        return None

    def _line(self) -> bytes | None:
        """Bytes up to a line end, or a bounded piece of a longer line."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched >= _MAX_LINE:
                # keep what may be the beginning of a header
                return self._cut(searched - 64)
            if not self._fill():
                return None
        return self._cut(end + 1)

    def _take(self, length: int) -> bytes | None:
        while len(self._buffer) < length:
            if not self._fill():
                return None
        return self._cut(length)

    def _cut(self, size: int) -> bytes:
        piece = bytes(self._buffer[:size])
        del self._buffer[:size]
        return piece

    def _fill(self) -> bool:
        data = self._read(65536)
        self._buffer += data
        return bool(data)
