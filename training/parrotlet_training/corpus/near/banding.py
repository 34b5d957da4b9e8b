"""Locality-sensitive hashing: documents whose signatures agree in a whole band share a bucket.

Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", section 3.4.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .shingles import mixed
from .signatures import PERMUTATIONS

MISSED_WEIGHT = 0.9
"""What a missed pair counts against a false candidate, which costs only an exact check."""

_BLOCK = 1 << 15
"""Rows of signatures read at once."""


def candidate_probability(
    similarity: NDArray[np.float64], bands: int, rows: int
) -> NDArray[np.float64]:
    """The S-curve: how probably two documents of this Jaccard similarity share a bucket."""
    probability: NDArray[np.float64] = 1 - (1 - similarity**rows) ** bands
    return probability


def bands_and_rows(
    threshold: float, permutations: int = PERMUTATIONS, missed_weight: float = MISSED_WEIGHT
) -> tuple[int, int]:
    """Number of bands and rows in each, of least weighted area of false and missed candidates.

    Args:
        threshold: Jaccard similarity from which a pair is wanted.
        permutations: minima in a signature.
        missed_weight: weight of the area over the S-curve above the threshold; the rest is that
            of the area under it below the threshold.
    """
    points = (np.arange(2048) + 0.5) / 2048
    wanted = points >= threshold

    def cost(rows: int) -> float:
        curve = candidate_probability(points, permutations // rows, rows)
        missed, false = (1 - curve)[wanted].sum(), curve[~wanted].sum()
        return float(missed_weight * missed + (1 - missed_weight) * false)

    best = min(range(1, permutations + 1), key=cost)
    return permutations // best, best


class Buckets:
    """The bucket of every document in every band, in one file of 4 bytes for each.

    Memory holds a few arrays of one number per document, whatever the number of bands.
    """

    def __init__(self, signatures: NDArray[np.uint32], bands: int, rows: int, folder: Path) -> None:
        count = len(signatures)
        shape = (bands, max(count, 1))
        keys = _on_disk(folder / "keys.u64", np.dtype(np.uint64), shape)
        for start in range(0, count, _BLOCK):
            block = signatures[start : start + _BLOCK, : bands * rows].astype(np.uint64)
            keys[:, start : start + len(block)] = _band_keys(block, bands, rows)
        self._keys = keys
        # a text without tokens is like no other
        self._empty = np.flatnonzero(signatures[:, PERMUTATIONS] == 0)
        self.numbers = _on_disk(folder / "buckets.i32", np.dtype(np.int32), shape)
        """Bucket of a document within a band, shape (bands, documents); -1 where it is alone."""
        self._count = count

    def of_each_band(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Fills `numbers` band by band; yields the documents of the buckets of two and more.

        Yields:
            Documents, bucket after bucket, each in rising order, shape (documents in buckets,);
            and the bounds of the buckets among them, shape (buckets + 1,).
        """
        for keys, numbers in zip(self._keys, self.numbers, strict=True):
            numbers[:] = -1
            shared = np.argsort(keys[: self._count], kind="stable")
            if len(self._empty):
                shared = shared[~np.isin(shared, self._empty)]
            ordered = keys[shared]
            same = ordered[1:] == ordered[:-1]
            in_bucket = np.zeros(len(ordered), np.bool_)
            in_bucket[1:] |= same
            in_bucket[:-1] |= same
            first = in_bucket.copy()
            first[1:] &= ~same
            members = shared[in_bucket]
            first = first[in_bucket]
            bounds = np.append(np.flatnonzero(first), len(members))
            numbers[members] = np.cumsum(first) - 1
            yield members, bounds


def _on_disk(file: Path, dtype: np.dtype[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Zeros in a file that has its room: where a map has none, the system ends the process.

    Raises:
        OSError: if the disk is full.
    """
    size = dtype.itemsize * shape[0] * shape[1]
    with file.open("wb") as empty:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(empty.fileno(), 0, size)
        else:
            for start in range(0, size, 1 << 20):
                empty.write(bytes(min(1 << 20, size - start)))
    return np.memmap(file, dtype, "r+", shape=shape)


def _band_keys(block: NDArray[np.uint64], bands: int, rows: int) -> NDArray[np.uint64]:
    """64-bit hashes of the bands of signatures, shape (bands, documents)."""
    block = block.reshape(len(block), bands, rows)
    keys = np.zeros((len(block), bands), np.uint64)
    for row in range(rows):
        keys = mixed(keys ^ block[:, :, row]) + np.uint64(row + 1)
    return keys.T
