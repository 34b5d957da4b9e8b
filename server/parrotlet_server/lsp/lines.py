"""Lines of text and places in them, as the protocol counts.

A line ends in ``\\n``, ``\\r\\n`` or ``\\r`` and in nothing else: `str.splitlines` would also cut
at form feeds and other separators, which editors keep inside a line.
"""

from __future__ import annotations

import re
from typing import Literal

Encoding = Literal["utf-8", "utf-16", "utf-32"]
"""What a column counts: bytes, 16-bit units or code points."""

_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_CODEC: dict[Encoding, str] = {"utf-8": "utf-8", "utf-16": "utf-16-le"}


def split_lines(text: str) -> list[str]:
    """Cuts `text` into lines, each with its line end but the last, which may be empty."""
    lines = _LINE.findall(text)
    lines.append(text[sum(map(len, lines)) :])
    return lines


def line_end(line: str) -> str:
    """The characters that end `line`: ``\\n``, ``\\r\\n``, ``\\r`` or nothing."""
    if line.endswith("\r\n"):
        return "\r\n"
    return line[-1] if line.endswith(("\n", "\r")) else ""


def split_at(line: str, column: int, encoding: Encoding) -> tuple[str, str]:
    """Cuts `line` at a column of the protocol.

    A column past the end of the line stands before its line end. In UTF-8, one inside a character
    stands before it; in UTF-16, one between the halves of a pair cuts the pair.
    """
    content = line[: len(line) - len(line_end(line))]
    ending = line[len(content) :]
    if encoding == "utf-32" or content.isascii():
        return content[:column], content[column:] + ending
    codec = _CODEC[encoding]
    data = content.encode(codec, "surrogatepass")
    cut = min(column, len(data)) * (2 if encoding == "utf-16" else 1)
    while encoding == "utf-8" and 0 < cut < len(data) and data[cut] & 0xC0 == 0x80:
        cut -= 1
    before, after = (part.decode(codec, "surrogatepass") for part in (data[:cut], data[cut:]))
    return before, after + ending


def width(text: str, encoding: Encoding) -> int:
    """Number of columns that `text`, without line ends, takes."""
    if encoding == "utf-32" or text.isascii():
        return len(text)
    size = len(text.encode(_CODEC[encoding], "surrogatepass"))
    return size // 2 if encoding == "utf-16" else size


def join_pairs(text: str) -> str:
    """Joins surrogates that stand next to each other into the character that they spell."""
    if not _has_surrogates(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def without_surrogates(text: str) -> str:
    """Puts U+FFFD for each lone surrogate, which no encoding of text can carry."""
    return _SURROGATE.sub("\ufffd", text) if _has_surrogates(text) else text


def _has_surrogates(text: str) -> bool:
    """Far quicker than a regular expression, for texts that are seen at each key."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
