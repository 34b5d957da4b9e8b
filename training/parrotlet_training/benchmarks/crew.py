"""Worker processes that say how long they worked."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

CHUNK = 50
"""Items that go to a worker at once."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class Stage:
    """Time of one stage.

    Attributes:
        wall: seconds that passed.
        cpu: processor seconds of all processes.
    """

    wall: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: Stage) -> Stage:
        return Stage(self.wall + other.wall, self.cpu + other.cpu)

    def __sub__(self, other: Stage) -> Stage:
        return Stage(self.wall - other.wall, self.cpu - other.cpu)


class Crew:
    """A pool of processes, and a clock for the stages that it works on."""

    def __init__(self, processes: int) -> None:
        self._pool = multiprocessing.get_context("spawn").Pool(processes)
        self._processes = processes
        self._worked = 0.0
        self.peaks: dict[int, int] = {}
        """Peak resident bytes of each worker so far, by process id."""

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], chunk: int = CHUNK
    ) -> Iterator[Result]:
        """Results in the order of the items, of which few are on their way at a time."""
        iterator = iter(items)
        waiting = []
        while part := list(islice(iterator, chunk)):
            waiting.append(self._pool.apply_async(_work, (function, part)))
            if len(waiting) > 2 * self._processes:
                yield from self._take(waiting.pop(0).get())
        for result in waiting:
            yield from self._take(result.get())

    def _take(self, answer: tuple[list[Any], float, int, int]) -> list[Any]:
        results, seconds, process, peak = answer
        self._worked += seconds
        self.peaks[process] = peak
        return results

    def timed(self, work: Callable[[], Result]) -> tuple[Result, Stage]:
        """What `work` returns, and the time that it took with all that the workers did in it."""
        before = self._worked
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        stage = Stage(time.perf_counter() - wall, time.process_time() - cpu + self._worked - before)
        return result, stage

    def __enter__(self) -> Crew:
        for _ in self.map(_nothing, range(4 * self._processes), 1):
            pass
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.terminate()
        self._pool.join()


def _nothing(_: int) -> None:
    """Starts a worker before the clock does."""


def _work(function: Callable[[Item], Result], part: list[Item]) -> tuple[Any, float, int, int]:
    begin = time.process_time()
    results = [function(item) for item in part]
    return results, time.process_time() - begin, os.getpid(), peak_memory()


def peak_memory(process: int | None = None) -> int:
    """Most bytes that a process, or this one, has held; 0 where the system does not say."""
    status = Path(f"/proc/{process or 'self'}/status")
    if status.is_file():
        # not getrusage: there Linux counts what the parent held before it started this program
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if process is not None:
        return 0
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
