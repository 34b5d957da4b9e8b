"""Which candidate pairs are worth an exact check, by size and estimate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .signatures import PERMUTATIONS

_STANDARD_ERRORS = 3.0
"""How far under the threshold an estimate may lie and still be checked."""

_PAIRS = 1 << 14
"""Pairs estimated at once; each takes two signatures of memory."""


class Likeness:
    """Estimates from signatures.

    Args:
        signatures: shape (documents, 129).
        threshold: Jaccard similarity that is wanted.
    """

    def __init__(self, signatures: NDArray[np.uint32], threshold: float) -> None:
        self._signatures = signatures
        self.sizes: NDArray[np.int64] = signatures[:, PERMUTATIONS].astype(np.int64)
        """Shingles of each document, shape (documents,)."""
        self.threshold = threshold
        error = (threshold * (1 - threshold) / PERMUTATIONS) ** 0.5
        self._floor = threshold - _STANDARD_ERRORS * error

    def possible(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which pairs the sizes allow: the similarity is at most lesser / greater size."""
        one, other = self.sizes[left], self.sizes[right]
        allowed: NDArray[np.bool_] = np.minimum(one, other) >= self.threshold * np.maximum(
            one, other
        )
        return allowed

    def probable(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which pairs size and estimate allow."""
        allowed = self.possible(left, right)
        chosen = np.flatnonzero(allowed)
        for start in range(0, len(chosen), _PAIRS):
            some = chosen[start : start + _PAIRS]
            allowed[some] = self._estimates(left[some], right[some]) >= self._floor
        return allowed

    def best_first(self, number: int, candidates: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of the candidates that may be copies of a document, the likeliest first."""
        one = np.full(1, number)
        candidates = candidates[self.possible(one, candidates)]
        estimates = self._estimates(one, candidates)
        order = np.argsort(-estimates, kind="stable")
        likely: NDArray[np.int64] = candidates[order][estimates[order] >= self._floor]
        return likely

    def _estimates(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.float64]:
        one, other = self._signatures[left], self._signatures[right]
        agreeing = (one == other)[:, :PERMUTATIONS].sum(axis=1)
        estimates: NDArray[np.float64] = agreeing / PERMUTATIONS
        return estimates
