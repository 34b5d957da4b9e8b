"""A suggestion is indented as its file is, at columns that mean something there."""

from __future__ import annotations

import re

from ..place import Place
from ..scan import Scanner, indentation, without_comment

_BLANK = re.compile(r"[ \t]*")
_UNIT = 4
"""Spaces that stand for a tab where the file does not say."""


def in_the_files_style(place: Place, text: str) -> str:
    """`text` with the indentation of its lines in tabs or in spaces, as in the lines around."""
    if "\n" not in text and not place.is_blank:
        return text
    style = _style(place)
    if style is None:
        return text
    sign, unit = style
    lines = text.split("\n")
    first = 0 if place.is_blank else 1
    for number in range(first, len(lines)):
        match = _BLANK.match(lines[number])
        blank = match.group() if match is not None else ""
        other = " " if sign == "\t" else "\t"
        if other in blank:
            if sign == "\t":
                blank = "\t" * (len(blank.expandtabs(unit)) // unit)
            else:
                blank = blank.replace("\t", " " * unit)
            lines[number] = blank + lines[number].lstrip(" \t")
    return "\n".join(lines)


def indents_further(place: Place, text: str) -> bool:
    """Whether `text` moves a line that begins where the user or the editor has put it."""
    return place.is_indented and text[:1] in (" ", "\t")


def up_to_misplaced(place: Place, text: str) -> str:
    """`text` up to the first line that goes back to a column where no block of it began."""
    if "\n" not in text or (place.opened is not None and place.opened.closer):
        return text
    lines = (place.line + text).split("\n")
    scanner = Scanner()
    levels: list[int] = []
    for number, line in enumerate(lines):
        continues = bool(scanner.quote or scanner.brackets)
        if without_comment(line).strip() and not continues:
            width = indentation(line)
            while levels and levels[-1] > width:
                levels.pop()
                if (not levels or levels[-1] < width) and number > 0:
                    return "\n".join(lines[:number])[len(place.line) :].rstrip()
            if not levels or levels[-1] < width:
                levels.append(width)
        scanner.feed(line + "\n")
    return text


def _style(place: Place) -> tuple[str, int] | None:
    """The sign that the lines around are indented with, and how many make a step."""
    lines = [place.line, *reversed(place.above), *place.below]
    signs = [line[0] for line in lines if line[:1] in (" ", "\t") and line.strip()]
    if not signs:
        signs = [place.line[0]] if place.line[:1] in (" ", "\t") else []
    if not signs:
        return None
    tabs = signs[:40].count("\t")
    if 2 * tabs > len(signs[:40]):
        return "\t", _UNIT
    widths = sorted({indentation(line) for line in lines if line[:1] == " " and line.strip()})
    return " ", widths[0] if widths and 1 < widths[0] <= 8 else _UNIT
