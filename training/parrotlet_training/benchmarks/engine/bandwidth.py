"""How fast this processor reads: the floor under the time of a token.

A token's weights, keys and values are read once, so no engine decodes faster than they are read.
What fits the last cache comes from there; hence the bandwidth is measured over as many bytes as a
token reads, again and again, and for comparison over many more than any cache holds.

Run as a program, ``python bandwidth.py THREADS BYTES…``, in an environment that keeps the linear
algebra library to one thread: each thread here reads a part of its own.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

SECONDS = 0.5
ROUNDS = 5


Part = NDArray[np.float32]


def _maximum(part: Part, times: int) -> None:
    for _ in range(times):
        part.max()


def _dot(part: Part, times: int) -> None:
    for _ in range(times):
        np.dot(part, part)


def bandwidth(size: int, threads: int) -> float:
    """Most bytes a second that `threads` read together, of `size` bytes in all.

    Two ways to read are tried, the largest element and a dot product with itself; the faster one
    counts, of several rounds the best: whatever else runs can only make it slower.
    """
    parts = np.array_split(np.ones(size // 4, dtype=np.float32), threads)
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for read in (_maximum, _dot):
            times = 1
            for _ in range(ROUNDS):
                begin = time.perf_counter()
                list(pool.map(read, parts, [times] * threads))
                seconds = time.perf_counter() - begin
                best = max(best, size * times / seconds)
                times = max(1, int(times * SECONDS / ROUNDS / seconds))
    return best


if __name__ == "__main__":
    _threads, *_sizes = map(int, sys.argv[1:])
    json.dump([bandwidth(size, _threads) for size in _sizes], sys.stdout)
