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
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import numpy as np
from numpy.typing import NDArray

SECONDS = 0.5
READING = 0.01
"""Seconds of one reading, in which the bytes are read again and again."""


Part = NDArray[np.float32]


def _maximum(part: Part, times: int) -> None:
    for _ in range(times):
        part.max()


def _dot(part: Part, times: int) -> None:
    for _ in range(times):
        np.dot(part, part)


def bandwidth(size: int, threads: int) -> tuple[float, float]:
    """Bytes a second that `threads` read together, of `size` bytes in all.

    Two ways to read are tried, the largest element and a dot product with itself, each for
    `SECONDS` seconds; the faster one counts.

    Returns:
        The median of its readings, as of a token's times, since what else runs slows both; and
        the fastest of all.
    """
    parts = np.array_split(np.ones(size // 4, dtype=np.float32), threads)
    typical = best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for way in (_maximum, _dot):

            def read(times: int, way: Callable[[Part, int], None] = way) -> float:
                begin = time.perf_counter()
                list(pool.map(way, parts, [times] * threads))
                return size * times / (time.perf_counter() - begin)

            times = max(1, round(READING * max(read(1), read(1)) / size))
            end = time.perf_counter() + SECONDS
            found = [read(times)]
            while time.perf_counter() < end:
                found.append(read(times))
            typical, best = max(typical, median(found)), max(best, *found)
    return typical, best


if __name__ == "__main__":
    _threads, *_sizes = map(int, sys.argv[1:])
    json.dump([bandwidth(size, _threads) for size in _sizes], sys.stdout)
