"""Drafts out of the text itself: what followed the last few tokens where they stood before.

Prompt lookup decoding (Saxena 2023, "Prompt Lookup Decoding"): code repeats its names and phrases,
so the continuation of an earlier place is often right. The model reads a draft in one pass and
what it would have written otherwise is dropped, so a wrong draft costs time, never the text.

Sizes and lengths below are measured on held-out Python, `parrotlet bench speculation`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .states import common_length

SHORTEST_MATCH, LONGEST_MATCH = 2, 6
"""Tokens that have to agree, and beyond which agreement is not counted: one token alone is right
too seldom to pay for its draft."""

SHORT_DRAFT, LONG_DRAFT = 4, 6
"""Tokens of a draft, the long one from `SURE_MATCH` agreeing tokens on."""

SURE_MATCH = 4
PLACES = 16
"""Earlier places that are looked at, the nearest first."""


class Lookup:
    """A run of tokens, to be asked how it may go on."""

    def __init__(self, tokens: Iterable[int], texts: Sequence[bytes]) -> None:
        """Begins with `tokens`; `texts` holds each id's bytes, empty for special tokens."""
        self._texts = texts
        self._tokens: list[int] = []
        self._places: dict[int, list[int]] = {}
        self.extend(tokens)

    def extend(self, tokens: Iterable[int]) -> None:
        """Appends `tokens`."""
        places = self._places
        for at, token in enumerate(tokens, len(self._tokens)):
            self._tokens.append(token)
            found = places.get(token)
            if found is None:
                places[token] = [at]
            else:
                found.append(at)

    def turn(self, tokens: Sequence[int]) -> None:
        """Becomes the run of `tokens`; what both begin with stays as it is."""
        common = common_length(self._tokens, tokens)
        self.cut(common)
        self.extend(tokens[common:])

    def cut(self, size: int) -> None:
        """Drops all but the first `size` tokens."""
        while len(self._tokens) > size:
            self._places[self._tokens.pop()].pop()

    def draft(self, rest: bytes = b"") -> list[int]:
        """What may follow, no special tokens; empty where nothing like the end stood before.

        The longest match wins, of equal ones the nearest. It has to begin with the bytes `rest`,
        if there are any; these count as one more agreeing token.
        """
        tokens, end = self._tokens, len(self._tokens) - 1
        if end < 0:
            return []
        best, follow = SHORTEST_MATCH - 1 - bool(rest), -1
        for place in reversed(self._places[tokens[end]][-PLACES - 1 : -1]):
            size = 1
            longest = min(LONGEST_MATCH, place + 1)
            while size < longest and tokens[place - size] == tokens[end - size]:
                size += 1
            if size > best and (not rest or self._spells(place + 1, rest)):
                best, follow = size, place + 1
                if size == LONGEST_MATCH:
                    break
        if follow < 0:
            return []
        draft = tokens[follow : follow + (LONG_DRAFT if best >= SURE_MATCH else SHORT_DRAFT)]
        for at, token in enumerate(draft):
            if not self._texts[token]:
                return draft[:at]
        return draft

    def _spells(self, place: int, rest: bytes) -> bool:
        """Whether the text from `place` on begins with `rest`."""
        for token in self._tokens[place : place + len(rest)]:
            text = self._texts[token]
            if not text:
                return False
            if len(text) >= len(rest):
                return text.startswith(rest)
            if not rest.startswith(text):
                return False
            rest = rest[len(text) :]
        return not rest
