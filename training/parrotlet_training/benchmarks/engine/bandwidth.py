"""How fast this processor reads: the floor under the time of a token.

A token's weights are read once, so no engine decodes faster than they are read. Where they fit the
last cache they come from there; hence the bandwidth is measured over as many bytes as the weights
have, again and again, and for comparison over many more than any cache holds.

Run as a program, ``python bandwidth.py THREADS BYTES…``: it has to start before the thread count
of the linear algebra library is fixed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[_name] = "1"  # each thread below reads a part of its own

import numpy as np
from numpy.typing import NDArray

SECONDS = 0.5
ROUNDS = 5


def _maximum(part: NDArray[np.float32]) -> None:
    part.max()


def _dot(part: NDArray[np.float32]) -> None:
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
            repeat = 1
            for _ in range(ROUNDS):
                begin = time.perf_counter()

                def work(part: NDArray[np.float32]) -> None:
                    for _ in range(repeat):  # noqa: B023
                        read(part)  # noqa: B023

                list(pool.map(work, parts))
                seconds = time.perf_counter() - begin
                best = max(best, size * repeat / seconds)
                repeat = max(1, int(repeat * SECONDS / ROUNDS / seconds))
    return best


if __name__ == "__main__":
    _threads, *_sizes = map(int, sys.argv[1:])
    json.dump([bandwidth(size, _threads) for size in _sizes], sys.stdout)
