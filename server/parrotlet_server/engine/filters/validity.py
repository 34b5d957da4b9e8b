"""A suggestion does not make the text worse Python than it was.

The text is parsed by tree-sitter, which knows newer syntax than the Python that runs here and goes
on behind errors: a file that is being written is nearly always broken somewhere. Only a window
around the cursor is parsed, and what matters is whether errors come in with the suggestion: those
that stand before the cursor on its line are not its own.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from ..place import Place
from ..scan import Scanner

if TYPE_CHECKING:
    from tree_sitter import Parser

WINDOW = 2_000
"""Characters above the cursor that are parsed."""

BELOW = 400
"""Characters below it, so that what a suggestion leaves open is seen to swallow them."""

_WAYS_ON = (
    ("x", ""),
    ("", ""),
    ("x", ": pass"),
    ("", ": pass"),
    ("in x", ": pass"),
    ("in x", ""),
    ("else x", ""),
    ("as x", ": pass"),
    ("x()", ": pass"),
    (" import x", ""),
)
"""What a line without errors can be gone on with, whatever it is: a word and, behind the brackets
that are open, the body of a block."""

_WORD = re.compile(r"\w+\Z")
_START = re.compile(r"^[ \t]*(?:@|(?:async[ ]def|def|class|import|from)\b)", re.MULTILINE)


def up_to_valid(place: Place, text: str, overwrite: int) -> str:
    """`text`, or its first lines, as far as they bring no error in; "" if nothing does not.

    Args:
        place: where it goes.
        text: the suggestion.
        overwrite: characters right of the cursor that it replaces.
    """
    if place.region != "code":
        return text
    window = _Window(place, overwrite)
    before = window.errors("")
    lines = text.split("\n")
    for end in range(len(lines), 0, -1):
        kept = "\n".join(lines[:end]).rstrip()
        if not kept:
            continue
        errors = window.errors(kept)
        if errors > before and end == len(lines):
            before = max(before, window.errors_typed(before))
        if errors <= before:
            return kept
    return ""


class _Window:
    """The lines around a cursor, in which suggestions are tried."""

    def __init__(self, place: Place, overwrite: int) -> None:
        above = "\n".join([*place.above, ""])
        if len(above) > WINDOW:
            # a window that began inside a docstring would be all errors
            start = _START.search(above, len(above) - WINDOW)
            above = above[start.start() :] if start is not None else above[-WINDOW:]
        self._above = above
        self._line = place.line
        self._place = place
        self._tail = place.tail[overwrite:]
        self._below = "\n" + "\n".join(place.below)[:BELOW]

    def errors(self, text: str) -> int:
        """Errors in the window with `text` in it, or without the cursor's line if it is empty."""
        if not text:
            return count_errors(self._above + self._below)
        return count_errors(self._above + self._line + text + self._tail + self._below)

    def errors_typed(self, enough: int) -> int:
        """The fewest errors with which the cursor's line can go on; `enough` are few enough."""
        if self._place.is_blank:
            return enough
        end = self._place.tail
        if not end.strip():
            scanner = Scanner()
            scanner.feed(self._above + self._line)
            end = "".join(reversed(scanner.brackets))
        words = _WORD.sub("", self._line)  # the last one may only have begun
        found: list[int] = []
        for line in dict.fromkeys((self._line, words)):
            for word, block in _WAYS_ON:
                text = self._above + line + word + end + block + self._below
                found.append(count_errors(text))
                if found[-1] <= enough:
                    return enough
        return min(found)


def count_errors(text: str) -> int:
    """How many pieces of `text` are no Python, or are missing to make it Python."""
    count = 0
    left = [_parser().parse(text.encode("utf-8", "replace")).root_node]
    while left:
        node = left.pop()
        count += node.is_error or node.is_missing
        if node.has_error:
            left += node.children
    return count


@cache
def _parser() -> Parser:
    # Imported here: a backend can be measured without it.
    import tree_sitter_python
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_python.language()))
