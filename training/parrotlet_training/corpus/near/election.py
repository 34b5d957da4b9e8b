"""Within a component of candidates: keep the best, drop what is a copy of a kept one."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from .banding import Buckets
from .likeness import Likeness
from .shingles import jaccard, shingles_of
from .spill import Spill

Read = Callable[[NDArray[np.int64]], Iterable[str]]
"""Texts of documents by number, in the order of the numbers; they rise, and none comes twice."""

_KEPT_PER_BUCKET = 1024
_CHECKS = 64
"""Bounds on the work for one document among very many that are alike but no copies."""


class Election:
    """Takes documents component after component, each from its best document to its worst.

    Memory holds the shingles of one chunk. The kept documents of a component that goes on in the
    next chunk wait on disk.
    """

    def __init__(
        self, likeness: Likeness, buckets: Buckets, protected: NDArray[np.bool_], spill: Spill
    ) -> None:
        self._likeness = likeness
        self._buckets = buckets.numbers
        self._protected = protected
        self._spill = spill
        self._component = -1
        self._kept: list[int] = []
        self._kept_in: dict[tuple[int, int], list[int]] = {}
        self._held: dict[int, NDArray[np.uint64]] = {}
        self.duplicate_of: NDArray[np.int64] = np.full(len(protected), -1)
        self.similarity: NDArray[np.float32] = np.zeros(len(protected), np.float32)
        self.candidates = 0

    def run(self, chunk: NDArray[np.int64], components: NDArray[np.int64], read: Read) -> None:
        """Decides on the documents of `chunk`, which belong to `components`, shape (n,) both."""
        numbers = np.sort(chunk)
        texts = read(numbers)
        self._held = dict(zip(numbers.tolist(), shingles_of(texts), strict=True))
        buckets = self._buckets[:, chunk].T.tolist()
        kept_before = len(self._kept)
        for number, component, places in zip(
            chunk.tolist(), components.tolist(), buckets, strict=True
        ):
            if component != self._component:
                self._component = component
                self._kept, self._kept_in, kept_before = [], {}, 0
                self._spill.clear()
            self._decide(number, [place for place in enumerate(places) if place[1] >= 0])
        for number in self._kept[kept_before:]:
            self._spill.put(number, self._held[number])

    def _decide(self, number: int, places: list[tuple[int, int]]) -> None:
        if not self._protected[number]:
            alike = dict.fromkeys(kept for place in places for kept in self._kept_in.get(place, ()))
            if alike:
                candidates = np.fromiter(alike, np.int64, len(alike))
                for kept in self._likeness.best_first(number, candidates)[:_CHECKS].tolist():
                    similarity = jaccard(self._held[number], self._shingles_of(kept))
                    self.candidates += 1
                    if similarity >= self._likeness.threshold:
                        self.duplicate_of[number] = kept
                        self.similarity[number] = similarity
                        return
        self._kept.append(number)
        for place in places:
            in_bucket = self._kept_in.setdefault(place, [])
            if len(in_bucket) < _KEPT_PER_BUCKET:
                in_bucket.append(number)

    def _shingles_of(self, kept: int) -> NDArray[np.uint64]:
        held = self._held.get(kept)
        return self._spill.get(kept) if held is None else held
