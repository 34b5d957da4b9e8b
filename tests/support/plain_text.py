"""A text as an editor holds it, the plain way: an array of what columns count. Slow and obvious."""

from __future__ import annotations

CR, LF = 13, 10


class PlainText:
    """The text of an editor whose positions count bytes, 16-bit units or code points."""

    def __init__(self, text, encoding):
        self.encoding = encoding
        self.units = self.encode(text)

    def encode(self, text):
        if self.encoding == "utf-8":
            return list(text.encode("utf-8", "surrogatepass"))
        if self.encoding == "utf-32":
            return [ord(sign) for sign in text]
        data = text.encode("utf-16-le", "surrogatepass")
        return [int.from_bytes(data[at : at + 2], "little") for at in range(0, len(data), 2)]

    def decode(self, units):
        if self.encoding == "utf-8":
            return bytes(units).decode("utf-8", "surrogatepass")
        if self.encoding == "utf-32":
            return "".join(map(chr, units))
        data = b"".join(unit.to_bytes(2, "little") for unit in units)
        return data.decode("utf-16-le", "surrogatepass")

    @property
    def text(self):
        return self.decode(self.units)

    def offset(self, line, character):
        """Walks unit by unit; CR and LF have the same value in each encoding."""
        at = 0
        for _ in range(line):
            while at < len(self.units) and self.units[at] not in (LF, CR):
                at += 1
            if at == len(self.units):
                return at
            at += 2 if self.units[at : at + 2] == [CR, LF] else 1
        while character and at < len(self.units) and self.units[at] not in (LF, CR):
            at += 1
            character -= 1
        while self.encoding == "utf-8" and at < len(self.units) and self.units[at] & 0xC0 == 0x80:
            at -= 1
        return at

    def position(self, offset):
        """The line and column of an offset that does not cut a line end."""
        line = start = at = 0
        while at < offset:
            if self.units[at] in (LF, CR):
                at += 2 if self.units[at : at + 2] == [CR, LF] else 1
                line, start = line + 1, at
            else:
                at += 1
        assert at == offset, "inside of a line end"
        return line, offset - start

    def edit(self, first, last, text):
        start, end = sorted([self.offset(*first), self.offset(*last)])
        self.units[start:end] = self.encode(text)


class Editor(PlainText):
    """An editor with an undo stack: each edit is what a ``didChange`` tells."""

    def __init__(self, text, encoding):
        super().__init__(text, encoding)
        self._undo = []

    def replace(self, first, last, text):
        """Edits the text; gives the change as (start, end, text)."""
        before = self.units
        start, end = sorted([self.offset(*first), self.offset(*last)])
        self.units = before[:start] + self.encode(text) + before[end:]
        self._undo.append(before)
        return (*sorted([first, last]), text)

    def replace_all(self, text):
        """Puts another text in place of the whole one; gives the change."""
        self._undo.append(self.units)
        self.units = self.encode(text)
        return text

    def undo(self):
        """Takes the last edit back; gives the smallest change that does so, or None."""
        if not self._undo:
            return None
        old, new = self._undo.pop(), self.units
        shorter = min(len(old), len(new))
        left = next((i for i in range(shorter) if old[i] != new[i]), shorter)
        right = next(
            (i for i in range(shorter - left) if old[-1 - i] != new[-1 - i]), shorter - left
        )
        # no end may cut a character or a line end, of either text
        while self._cuts(old, left) or self._cuts(new, left):
            left -= 1
        while self._cuts(old, len(old) - right) or self._cuts(new, len(new) - right):
            right -= 1
        first, last = self.position(left), self.position(len(new) - right)
        self.units = old
        return first, last, self.decode(old[left : len(old) - right])

    def _cuts(self, units, at):
        """Whether a cut before the unit `at` has a part of something on each side."""
        if not 0 < at < len(units):
            return False
        if units[at - 1 : at + 1] == [CR, LF]:
            return True
        if self.encoding == "utf-8":
            return units[at] & 0xC0 == 0x80
        return (
            self.encoding == "utf-16"
            and 0xD800 <= units[at - 1] < 0xDC00
            and 0xDC00 <= units[at] < 0xE000
        )
