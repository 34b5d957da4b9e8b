"""Long runs of characters, found without going through a text one by one."""

from __future__ import annotations

from collections.abc import Iterator


class Run:
    """Knows where a text has a run of so many of some characters."""

    def __init__(self, characters: bytes, length: int) -> None:
        """Takes characters of ASCII; neither a question mark nor a line feed is one."""
        self._table = bytes(code in characters for code in range(256))
        self._run = bytes([1]) * length

    def within(self, text: str) -> bool:
        """Whether `text` has one; what is not ASCII ends it."""
        return self._run in self._marked(text)

    def lines(self, text: str) -> Iterator[tuple[int, int]]:
        """Where the lines of `text` that have one begin and end, without their line feeds."""
        marked = self._marked(text)
        found = marked.find(self._run)
        while found >= 0:
            start, end = text.rfind("\n", 0, found) + 1, text.find("\n", found)
            end = len(text) if end < 0 else end
            yield start, end
            found = marked.find(self._run, end)

    def _marked(self, text: str) -> bytes:
        """One byte for each character, 1 for those that make a run."""
        return text.encode("ascii", "replace").translate(self._table)


def has_longer_line(text: str, longest: int) -> bool:
    """Whether a line has more than `longest` characters.

    Each step looks from the far end of a window for the last line feed in it and begins the next
    window there, so that only the stretch between the two is read.
    """
    start = 0
    while len(text) - start > longest:
        start = text.rfind("\n", start, start + longest + 1) + 1
        if not start:
            return True
    return False
