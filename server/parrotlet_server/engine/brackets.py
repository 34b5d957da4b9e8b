"""Which closing brackets may come: none that closes what is not open.

Tokens that would are passed over for the next likeliest, as in grammar-constrained decoding
(Scholak et al. 2021, PICARD), by the one rule that holds wherever in Python a cursor stands.
"""

from __future__ import annotations

import re

from .place import NEAR, Place
from .scan import Scanner

CLOSERS = b")]}"

_TOP = re.compile(r"(?:@|(?:async[ ]+def|def|class|import|from|if|for|with|while|try)\b)")


class Brackets:
    """The brackets that are open at a cursor."""

    def __init__(self, opened: list[str]) -> None:
        """`opened` has their closers, the innermost last."""
        self._opened = opened

    @classmethod
    def at(cls, place: Place) -> Brackets | None:
        """Those at `place`; None where it is not known what is open, or where none count."""
        before = _statements(place)
        if place.region != "code" or before is None:
            return None
        scanner = Scanner()
        scanner.feed(before)
        if scanner.quote or scanner.comment:
            return None  # in a replacement field, or `before` begins inside a string
        return cls(scanner.brackets)

    def allow(self, text: str) -> bool:
        """Whether an answer may begin with `text`."""
        scanner = Scanner(brackets=list(self._opened))
        scanner.feed(text)
        return scanner.wrong is None


def _statements(place: Place) -> str | None:
    """What stands before the cursor from where a statement begins at the left edge.

    All brackets before that are closed. None if there is no such line nearby.
    """
    for at in range(len(place.above) - 1, -1, -1):
        if _TOP.match(place.above[at]):
            return "\n".join([*place.above[at:], place.line])
    whole = "\n".join([*place.above, place.line])
    return whole if len(whole) < NEAR else None
