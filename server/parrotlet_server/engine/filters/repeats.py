"""A suggestion says nothing that stands beside it already."""

from __future__ import annotations

from ..place import Place
from ..scan import indentation
from ..stopping import repeated_lines

_TRIVIAL = 3  # characters; such a line, a bracket for instance, may well stand twice


def repeats_line_above(place: Place, text: str) -> bool:
    """Whether a suggestion of one line makes the cursor's line the same as the one above."""
    if "\n" in text:
        return False
    above = next((line for line in reversed(place.above) if line.strip()), "")
    return bool(repeated_lines([above.strip(), (place.line + text).strip()]))


def repeats_line_below(place: Place, text: str) -> bool:
    """Whether a suggestion of one line makes the cursor's line the same as the one below."""
    line, below = place.line + text, place.next_line
    return "\n" not in text and _same(line, below)


def without_lines_below(place: Place, text: str) -> str:
    """`text` without the lines at its end with which the text below begins."""
    if "\n" not in text:
        return text
    lines = (place.line + text).split("\n")
    below = [line for line in place.below if line.strip()][: len(lines)]
    for start in range(1, len(lines)):
        own = [line for line in lines[start:] if line.strip()]
        if not own or len(own) > len(below) or all(len(line.strip()) <= _TRIVIAL for line in own):
            continue
        if all(map(_same, own, below)):
            return "\n".join(lines[:start])[len(place.line) :].rstrip()
    return text


def _same(line: str, other: str) -> bool:
    return line.strip() == other.strip() and indentation(line) == indentation(other)
