"""Which tokens followed the last few, in many files: sorted n-grams."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.uint16]
"""Ids of a text; a vocabulary of more than 65,536 entries has none."""

ORDERS: Final = (1, 2, 3, 4, 8)
"""Numbers of tokens that are compared; eight tell a copied passage from a common phrase."""

LONGEST: Final = ORDERS[-1]

_KEYED = 4
"""Tokens by which an index is sorted."""

LARGEST_VOCABULARY = 1 << 16
MOST_FILES = 1 << 16
"""That an index holds."""

MOST_LOOKED_AT = 2_048
"""Places where the last tokens stood before; of more, every second, third … is looked at."""

_BITS = 16


class Ngrams:
    """The n-grams of some files. It never changes.

    Sorted by the last token, then the one before it and so on, four of them, so that the places
    where the last n tokens stood lie side by side whatever n is. It takes 16 bytes a token.

    Attributes:
        names: that stand in the files.
    """

    def __init__(
        self, files: Iterable[tuple[int, Tokens]], names: Collection[str] = frozenset()
    ) -> None:
        """Of `files`, each with a number of its own, 0 to 65,535."""
        self.names = names
        keys, places, numbers, texts = [], [], [], []
        # before the first token of a text there is none
        gap, end = np.zeros(LONGEST, np.uint16), 0
        for number, tokens in files:
            if len(tokens) < 2:
                continue
            # the token at i, then those before it
            key = np.zeros(len(tokens) - 1, np.uint64)
            for back in range(_KEYED):
                there = tokens[: max(0, len(key) - back)].astype(np.uint64)
                key[back:] |= there << np.uint64(_BITS * (_KEYED - 1 - back))
            keys.append(key)
            begin, end = end + len(gap), end + len(gap) + len(tokens)
            texts += [gap, tokens]
            places.append(np.arange(begin + 1, end, dtype=np.uint32))
            numbers.append(np.full(len(key), number, np.uint16))
        joined = np.concatenate(keys) if keys else np.empty(0, np.uint64)
        order = np.argsort(joined, kind="stable")
        self._keys = joined[order]
        self._tokens: Tokens = np.concatenate(texts) if texts else np.empty(0, np.uint16)
        # where the token that follows stands
        self._place = (np.concatenate(places) if places else np.empty(0, np.uint32))[order]
        self._file = (np.concatenate(numbers) if numbers else np.empty(0, np.uint16))[order]

    def __len__(self) -> int:
        return len(self._keys)

    def following(
        self, history: Sequence[int], orders: Iterable[int], without: int | None = None
    ) -> list[tuple[Tokens, float]]:
        """What followed the last n tokens of `history`, for each n of `orders`.

        Args:
            history: the tokens so far.
            orders: 1 to `LONGEST`, in rising order.
            without: number of a file that does not count.

        Returns:
            For each order, up to the first after which nothing followed, the token at each place
            that was looked at, and how many places each of them stands for.
        """
        found = []
        for order in orders:
            if order > len(history):
                break
            places, each = self._places(history, order, without)
            if not len(places):
                break
            found.append((self._tokens[places], each))
        return found

    def _places(
        self, history: Sequence[int], order: int, without: int | None
    ) -> tuple[NDArray[np.uint32], float]:
        """Where the tokens stand that followed, and how many places each stands for."""
        keyed = min(order, _KEYED)
        low = 0
        for back in range(keyed):
            low |= history[-1 - back] << (_BITS * (_KEYED - 1 - back))
        high = low | ((1 << (_BITS * (_KEYED - keyed))) - 1)
        begin = int(np.searchsorted(self._keys, np.uint64(low), "left"))
        end = int(np.searchsorted(self._keys, np.uint64(high), "right"))
        step = -(-(end - begin) // MOST_LOOKED_AT) or 1
        places = self._place[begin:end:step]
        if without is not None:
            places = places[self._file[begin:end:step] != without]
        for back in range(keyed, order):
            places = places[self._tokens[places - 1 - back] == history[-1 - back]]
        return places, float(step)


class Run:
    """The n-grams of one text that is short enough to be gone through each time."""

    def __init__(self, tokens: Tokens) -> None:
        """Of `tokens`; an id 0 is no text and ends what stands before it."""
        # before the first token there is none
        self._tokens: Tokens = np.concatenate([np.zeros(LONGEST, np.uint16), tokens])
        # of places that something follows, for which 0 stands too
        self._ends: Tokens = np.where(self._tokens[1:], self._tokens[:-1], 0).astype(np.uint16)

    def following(self, history: Sequence[int]) -> list[Tokens]:
        """What followed the end of `history`, for each of `ORDERS`, as far as it recurs."""
        tokens, found = self._tokens, []
        if history[-1] == 0:
            return []
        places = (self._ends == history[-1]).nonzero()[0]
        for back in range(min(LONGEST, len(history))):
            if back:
                places = places[tokens[places - back] == history[-1 - back]]
            if not len(places):
                break
            if back + 1 in ORDERS:
                found.append(tokens[places + 1])
        return found
