"""Where the cursor stands: its line, what is around it, and whether a block is to be written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from .scan import CLOSER, Region, Scanner, indentation, region, without_comment
from .types import Request

NEAR = 8_000
"""Characters each side of the cursor that are looked at; more cannot enter a prompt either."""

FAR = 400_000
"""Characters before the cursor that are looked at for the quotes that it may stand between."""

_CLOSERS = re.compile(r"""[\s)\]}"'`,:;]*""")


@dataclass(frozen=True)
class Opened:
    """A block or a bracket that the text before the cursor opens and nothing fills yet.

    Attributes:
        indentation: columns of the line that opens it; its content is indented deeper.
        closer: the bracket that ends it; "" for a block.
    """

    indentation: int
    closer: str


@dataclass(frozen=True)
class Place:
    """The surroundings of a cursor, bounded whatever the size of the file.

    Attributes:
        line: the cursor's line, up to it.
        tail: the cursor's line, after it.
        above: up to `NEAR` characters before the line, in lines, the nearest last.
        below: up to `NEAR` characters after the line, in lines.
        region: what the cursor stands in.
    """

    line: str
    tail: str
    above: list[str]
    below: list[str]
    region: Region = "code"

    @classmethod
    def of(cls, request: Request) -> Place:
        """The place that `request` names."""
        before = request.prefix[-NEAR:].replace("\r\n", "\n").split("\n")
        after = request.suffix[:NEAR].replace("\r\n", "\n").split("\n")
        where = region(request.prefix[-FAR:])
        return cls(before[-1], after[0].rstrip("\r"), before[:-1], after[1:], where)

    @property
    def is_blank(self) -> bool:
        """Whether nothing but indentation stands before the cursor on its line."""
        return not self.line.strip()

    @cached_property
    def is_indented(self) -> bool:
        """Whether the line begins at the cursor: it stands where a block above may go on.

        Not so at the left edge, where nobody may have thought of it yet, nor between two blocks'
        columns, on the way to one.
        """
        if not self.is_blank or not self.line or self.region != "code" or self.opened is not None:
            return False
        column, nearest = indentation(self.line), NEAR
        for line in reversed(self.above):
            if nearest <= column:
                break
            if without_comment(line):
                nearest = min(nearest, indentation(line))
        return nearest == column

    @property
    def can_insert(self) -> bool:
        """Whether only what a suggestion can bring itself stands after the cursor on its line."""
        return only_closers(self.tail)

    @cached_property
    def next_line(self) -> str:
        """The nearest line below that is not blank; "" if there is none."""
        return next((line for line in self.below if line.strip()), "")

    @cached_property
    def opened(self) -> Opened | None:
        """The unfilled block or bracket whose content is to be written here, if there is one."""
        if self.tail.strip():
            return None
        lines = [*self.above, self.line] if not self.is_blank else list(self.above)
        if self.is_blank:
            lines = _before_notes(lines)
        if not lines:
            return None
        code = without_comment(lines[-1])
        scanner = Scanner()
        outside = scanner.feed(code)
        if scanner.quote:
            return None
        closer = ""
        if code.endswith(tuple(CLOSER)):
            closer = CLOSER[code[-1]]
        elif not code.endswith(":") or scanner.brackets:
            return None
        first = _statement_start(lines, len(outside))
        if self.next_line and indentation(self.next_line) > indentation(first):
            return None  # it has content already
        return Opened(indentation(first), closer)


def only_closers(tail: str) -> bool:
    """Whether `tail` holds nothing but brackets, quotes and signs that end something."""
    return _CLOSERS.fullmatch(tail) is not None


def skipped(request: Request, place: Place) -> str | None:
    """Why nothing is to be suggested at `place`, that of `request`; None if something may be."""
    if not place.can_insert:
        return "text right of the cursor"
    if request.comments and request.strings:
        return None  # spares a look at all text before the cursor
    match place.region:
        case "comment" if not request.comments:
            return "inside a comment"
        case "string" if not request.strings:
            return "inside a string"
    return None


def _before_notes(lines: list[str]) -> list[str]:
    """`lines` without what stands at their end between a block's header and its first statement.

    That is blank lines, comments and, after a header, a docstring.
    """
    end = _last_code(lines, len(lines))
    if end and (quote := next((q for q in _QUOTES if lines[end - 1].rstrip().endswith(q)), "")):
        start = end - 1
        # a docstring of one line has both quotes on it
        if lines[start].count(quote) < 2:
            start = max(0, start - 1)
            while start > 0 and quote not in lines[start]:
                start -= 1
        header = _last_code(lines, start)
        opens = start > 0 and _DOCSTRING.match(lines[start]) is not None
        if opens and header and without_comment(lines[header - 1]).endswith(":"):
            return lines[:header]
    return lines[:end]


_QUOTES = ('"""', "'''")
_DOCSTRING = re.compile(r"""\s*[rR]?(?:\"""|''')""")


def _last_code(lines: list[str], end: int) -> int:
    """The number of leading lines up to the last before `end` that is neither blank nor comment."""
    while end and (not (line := lines[end - 1].strip()) or line.startswith("#")):
        end -= 1
    return end


def _statement_start(lines: list[str], closed: int) -> str:
    """The line where the statement that ends with ``lines[-1]`` starts.

    `closed` is the number of brackets that the last line closes for earlier lines.
    """
    at = len(lines) - 1
    while closed > 0 and at > 0:
        at -= 1
        scanner = Scanner()
        closed += len(scanner.feed(without_comment(lines[at]))) - len(scanner.brackets)
    return lines[at]
