"""A suggestion does not run together with what stands before it."""

from __future__ import annotations

from ..place import Place

_ENDS = (")", "]", "}", "'", '"')


def starts_inside_a_word(place: Place, text: str) -> bool:
    """Whether a word of `text` follows a closed bracket or string without a blank."""
    if not place.line.endswith(_ENDS) or not (text[0].isalnum() or text[0] == "_"):
        return False
    return place.region == "code"
