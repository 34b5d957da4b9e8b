"""Figures with their uncertainty: none is reported without."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
Z = 1.959963984540054
"""Standard normal quantile of `CONFIDENCE`, two-sided."""

RESAMPLES = 4_000
_TOGETHER = 200  # resamples in memory at a time; divides the above
SEED = 20_201_201
"""Of all resampling here, so that the same items give the same interval."""


@dataclass(frozen=True)
class Figure:
    """A measured value with its 95 % confidence interval.

    Attributes:
        name: what was measured.
        value: the estimate, in `unit`.
        low: lower end of the interval.
        high: upper end of the interval.
        n: how many items it rests on.
        items: what these are: "tasks", "lines", …
        interval: how the interval was found.
        unit: "share" (0 to 1, shown in percent), or what else the value counts.
    """

    name: str
    value: float
    low: float
    high: float
    n: int
    items: str
    interval: str
    unit: str = "share"

    def __str__(self) -> str:
        scale, sign, digits = (100, " %", 2) if self.unit == "share" else (1, f" {self.unit}", 4)
        value, low, high = (f"{scale * x:.{digits}f}" for x in (self.value, self.low, self.high))
        return f"{value}{sign} [{low}, {high}]"


def proportion(name: str, values: Sequence[float], items: str) -> Figure:
    """Mean of `values`, each in 0 to 1, with Wilson's interval (Wilson 1927) over them.

    For values between 0 and 1 (a task's estimate of pass@k) the interval is wider than need be,
    since no values vary more about their mean than zeros and ones do; unlike a bootstrap it does
    not shrink to a point where all values are 0.
    """
    mean = _mean(values)
    low, high = wilson(mean, len(values))
    return Figure(name, mean, low, high, len(values), items, f"Wilson over {items}")


def wilson(mean: float, n: int) -> tuple[float, float]:
    """Wilson's score interval of the mean of `n` zeros and ones; (0, 1) for none."""
    if not n:
        return 0.0, 1.0
    centre = mean + Z * Z / (2 * n)
    spread = Z * math.sqrt(mean * (1 - mean) / n + Z * Z / (4 * n * n))
    scale = 1 + Z * Z / n
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def clustered(
    name: str, values: Sequence[float], groups: Sequence[Hashable], items: str, grouping: str
) -> Figure:
    """Mean of `values`, each in 0 to 1, with a bootstrap over `groups`.

    Lines of one file are alike, so whole groups are drawn anew, not single values. Where this says
    nothing (one group, or all values 0 or all 1), it is Wilson's interval with as many items as
    groups.

    Args:
        name: of the figure.
        values: one for each item.
        groups: which group each item belongs to.
        items: what the items are, in the plural.
        grouping: what the groups are, in the plural.
    """
    mean = _mean(values)
    totals, counts = _sums(values, groups)
    if len(counts) < 2 or mean in (0.0, 1.0):
        low, high = wilson(mean, len(counts))
        return Figure(name, mean, low, high, len(values), items, f"Wilson over {grouping}")
    low, high = ratio_interval(totals, counts)
    low, high = max(0.0, low), min(1.0, high)  # rounding
    return Figure(name, mean, low, high, len(values), items, f"bootstrap over {grouping}")


def ratio_interval(
    numerators: NDArray[np.float64], denominators: NDArray[np.float64], offset: float = 0.0
) -> tuple[float, float]:
    """Percentile bootstrap of sum(numerators) / sum(denominators), pairs drawn together.

    Both have shape (groups,); Efron and Tibshirani 1993, chapter 13.
    """
    low, high = _percentiles(_resampled(numerators, denominators, SEED))
    return low + offset, high + offset


def _resampled(
    numerators: NDArray[np.float64], denominators: NDArray[np.float64], seed: int
) -> NDArray[np.float64]:
    """Ratios of sums, shape (RESAMPLES,), each over as many groups as there are, drawn anew."""
    generator = np.random.default_rng(seed)
    groups = len(numerators)
    chances = np.full(groups, 1 / groups)
    ratios = np.empty(RESAMPLES)
    for start in range(0, RESAMPLES, _TOGETHER):
        times = generator.multinomial(groups, chances, size=_TOGETHER)  # each group is drawn
        ratios[start : start + _TOGETHER] = (times @ numerators) / (times @ denominators)
    return ratios


def _percentiles(values: NDArray[np.float64]) -> tuple[float, float]:
    edge = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(values, [edge, 100 - edge])
    return float(low), float(high)


def difference(
    name: str,
    before: Sequence[float],
    after: Sequence[float],
    groups: Sequence[Hashable],
    items: str,
    grouping: str,
) -> Figure:
    """Mean of after minus before, the same items in the same order, bootstrapped in pairs.

    Where fewer than two groups leave nothing to draw from, the interval is all that is possible.

    Raises:
        ValueError: if the three differ in length.
    """
    changes = [b - a for a, b in zip(before, after, strict=True)]
    totals, counts = _sums(changes, groups)
    low, high = ratio_interval(totals, counts) if len(counts) > 1 else (-1.0, 1.0)
    interval = f"paired bootstrap over {grouping}"
    return Figure(name, _mean(changes), low, high, len(changes), items, interval)


def gap(
    name: str,
    first: tuple[Sequence[float], Sequence[Hashable]],
    second: tuple[Sequence[float], Sequence[Hashable]],
    items: str,
    grouping: str,
) -> Figure:
    """Mean of the second values minus that of the first, of other items: groups are drawn of each.

    Where one has fewer than two groups, the interval is all that is possible.

    Args:
        name: of the figure.
        first: values, each in 0 to 1, and the group of each.
        second: likewise.
        items: what the items are, in the plural.
        grouping: what the groups are, in the plural.
    """
    value = _mean(second[0]) - _mean(first[0])
    tables = [_sums(*both) for both in (first, second)]
    low, high = -1.0, 1.0
    if min(len(counts) for _, counts in tables) > 1:
        drawn = [_resampled(*table, SEED + at) for at, table in enumerate(tables)]
        low, high = _percentiles(drawn[1] - drawn[0])
    n = len(first[0]) + len(second[0])
    return Figure(name, value, low, high, n, items, f"bootstrap over {grouping}")


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def _sums(
    values: Sequence[float], groups: Sequence[Hashable]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum and number of the values of each group, both of shape (groups,)."""
    sums: dict[Hashable, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        pair = sums.setdefault(group, [0.0, 0.0])
        pair[0] += value
        pair[1] += 1
    table = np.array(list(sums.values()), dtype=np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]
