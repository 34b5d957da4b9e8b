"""Which tokens followed the last few, in many files: sorted n-grams."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.uint16]
"""Ids of a text; a vocabulary of more than 65,536 entries has none."""

LONGEST = 4
"""Tokens that are compared: longer agreement adds nothing (docs/experiments.md)."""

LARGEST_VOCABULARY = 1 << 16
MOST_FILES = 1 << 16
"""That an index holds."""

MOST_LOOKED_AT = 2_048
"""Places where the last tokens stood before; of more, every second, third … is looked at."""

_BITS = 16


class Ngrams:
    """The n-grams of some files. It never changes.

    Sorted by the last token, then the one before it and so on, so that the places where the last n
    tokens stood lie side by side whatever n is. It takes 12 bytes a token.

    Attributes:
        names: that stand in the files.
    """

    def __init__(
        self, files: Iterable[tuple[int, Tokens]], names: Collection[str] = frozenset()
    ) -> None:
        """Of `files`, each with a number of its own, 0 to 65,535."""
        self.names = names
        keys, nexts, numbers = [], [], []
        for number, tokens in files:
            if len(tokens) < 2:
                continue
            # the token at i, then those before it; before the first there is none
            key = np.zeros(len(tokens) - 1, np.uint64)
            for back in range(LONGEST):
                there = tokens[: max(0, len(key) - back)].astype(np.uint64)
                key[back:] |= there << np.uint64(_BITS * (LONGEST - 1 - back))
            keys.append(key)
            nexts.append(tokens[1:])
            numbers.append(np.full(len(key), number, np.uint16))
        joined = np.concatenate(keys) if keys else np.empty(0, np.uint64)
        order = np.argsort(joined, kind="stable")
        self._keys = joined[order]
        self._next: Tokens = (np.concatenate(nexts) if nexts else np.empty(0, np.uint16))[order]
        self._file = (np.concatenate(numbers) if numbers else np.empty(0, np.uint16))[order]

    def __len__(self) -> int:
        return len(self._keys)

    def following(
        self, history: Sequence[int], order: int, without: int | None = None
    ) -> tuple[Tokens, float]:
        """What followed the last `order` tokens of `history`.

        Args:
            history: the tokens so far, at least `order`.
            order: 1 to `LONGEST`.
            without: number of a file that does not count.

        Returns:
            The token at each place that was looked at, and how many places each of them stands for.
        """
        low = 0
        for back in range(order):
            low |= history[-1 - back] << (_BITS * (LONGEST - 1 - back))
        high = low | ((1 << (_BITS * (LONGEST - order))) - 1)
        begin = int(np.searchsorted(self._keys, np.uint64(low), "left"))
        end = int(np.searchsorted(self._keys, np.uint64(high), "right"))
        step = -(-(end - begin) // MOST_LOOKED_AT) or 1
        found = self._next[begin:end:step]
        if without is not None:
            found = found[self._file[begin:end:step] != without]
        return found, float(step)


class Run:
    """The n-grams of one text that is short enough to be gone through each time."""

    def __init__(self, tokens: Tokens) -> None:
        """Of `tokens`; an id 0 is no text and ends what stands before it."""
        # before the first token there is none
        self._tokens: Tokens = np.concatenate([np.zeros(LONGEST, np.uint16), tokens])
        # of places that something follows, for which 0 stands too
        self._ends: Tokens = np.where(self._tokens[1:], self._tokens[:-1], 0).astype(np.uint16)

    def following(self, history: Sequence[int]) -> list[Tokens]:
        """What followed the last 1, 2 … `LONGEST` tokens of `history`, as far as they recur."""
        tokens, found = self._tokens, []
        if history[-1] == 0:
            return []
        places = (self._ends == history[-1]).nonzero()[0]
        for back in range(min(LONGEST, len(history))):
            if back:
                places = places[tokens[places - back] == history[-1 - back]]
            if not len(places):
                break
            found.append(tokens[places + 1])
        return found
