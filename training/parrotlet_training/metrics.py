"""What a run measures: one JSON object a line in ``metrics.jsonl``, and the trackers."""

from __future__ import annotations

import json
import math
import statistics
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .checkpoint import sync, write_whole

METRICS = "metrics.jsonl"


class Metrics:
    """The file of one run; what a resumed run will repeat is cut off first.

    Attributes:
        seconds: training time up to the step gone on from, of all its starts together.
    """

    def __init__(self, run: Path, step: int, active: bool) -> None:
        """Goes on after `step`; on processes that are not `active` nothing is written."""
        self._file = run / METRICS
        self._active = active
        self._losses: list[float] = []
        self.seconds = 0.0
        if not (active and self._file.is_file()):
            return
        lines = self._file.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if _step_of(line) <= step]
        if len(kept) < len(lines):
            write_whole(self._file, "".join(f"{line}\n" for line in kept))
        for values in map(json.loads, kept):
            self.seconds = max(self.seconds, values.get("seconds", 0.0))
            if "loss" in values:
                self._losses.append(values["loss"])

    def losses(self) -> list[float]:
        """Of the last thousand steps before the one gone on from."""
        return self._losses[-1000:]

    def write(self, **values: float) -> None:
        """Adds a line; what is no finite number is left out of it."""
        if self._active:
            known = {key: value for key, value in values.items() if math.isfinite(value)}
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(known) + "\n")

    def keep(self) -> None:
        """Waits until all lines are on the disk."""
        if self._active and self._file.is_file():
            sync(self._file)


class SpikeGuard:
    """Tells a loss that has left its course from one that is merely noisy.

    A step is high if its loss exceeds the median of the good ones before it, four times as many as
    a spike may last, by `deviations` times 1.4826 · MAD, which is the standard deviation of normal
    noise (Rousseeuw and Croux 1993). High steps do not enter the median.

    Attributes:
        high: how many steps in a row have been high.
    """

    def __init__(self, deviations: float, patience: int, losses: Iterable[float] = ()) -> None:
        """Begins after `losses`; a run of `patience` high steps is a spike, 0 turns it off."""
        self._deviations = deviations
        self._patience = patience
        self._good: deque[float] = deque(maxlen=max(10, 4 * patience))
        self.high = 0
        for loss in losses:
            self.spiked(loss)

    def spiked(self, loss: float) -> bool:
        """Takes one step's loss; whether the spike has lasted too long with it."""
        if not self._patience:
            return False
        if len(self._good) == self._good.maxlen and loss > self._bound():
            self.high += 1
        else:
            self.high = 0
            self._good.append(loss)
        return self.high >= self._patience

    def _bound(self) -> float:
        middle = statistics.median(self._good)
        spread = statistics.median(abs(loss - middle) for loss in self._good)
        # a model that knows its text by heart has no noise left
        return middle + self._deviations * 1.4826 * max(spread, 0.01 * abs(middle), 1e-3)


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf  # a line cut short by a kill


def flat(values: dict[str, Any], place: str = "") -> dict[str, int | float | str | bool]:
    """Nested plain values with dotted names, as trackers take them."""
    found: dict[str, int | float | str | bool] = {}
    for key, value in values.items():
        name = f"{place}.{key}" if place else key
        if isinstance(value, dict):
            found |= flat(value, name)
        else:
            found[name] = value if isinstance(value, int | float | str | bool) else str(value)
    return found
