"""Passages of other files that are like the one that is being written.

As in RepoCoder (Zhang et al. 2023, "RepoCoder: Repository-Level Code Completion Through Iterative
Retrieval and Generation", section 2.2): windows of 20 lines, each 10 lines on, by the Jaccard
similarity of their names with those of the last lines before the cursor.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from ..types import Related

LINES, STEP = 20, 10
LEAST = 0.1
"""Similarity below which a passage is like any other Python."""

_NAME = re.compile(r"[^\W\d]\w+")
_COMMON = frozenset([*keyword.kwlist, "self", "cls"])

Names = frozenset[str]


@dataclass(frozen=True)
class Passage:
    """Text that may be like what is being written.

    Attributes:
        path: of its file.
        text: in whole lines.
        first: number of its first line in the file.
        weight: that its similarity is multiplied by.
    """

    path: str
    text: str
    first: int = 0
    weight: float = 1.0


def names(text: str) -> Names:
    """The names in `text`, those that all Python shares left out."""
    return frozenset(_NAME.findall(text)) - _COMMON


def jaccard(first: Names, second: Names) -> float:
    """Size of what both hold over the size of what either holds, 0 to 1."""
    union = len(first | second)
    return len(first & second) / union if union else 0.0


def similar(before: str, passages: Iterable[Passage], most: int) -> list[Related]:
    """The windows of `passages` that are most like the last lines of `before`, the best first.

    No two of them overlap, and none is less like them than `LEAST`.
    """
    wanted = names("\n".join(before.rstrip().split("\n")[-LINES:]))
    if len(wanted) < 3:
        return []
    scored: list[tuple[tuple[float, int], str, int, str]] = []
    for passage in passages:
        for start, text, own in _windows(passage.text):
            likeness = jaccard(wanted, own)
            if likeness >= LEAST:
                rank = (-likeness * passage.weight, len(scored))
                scored.append((rank, passage.path, passage.first + start, text))
    chosen: list[tuple[str, int, str]] = []
    for _, path, start, text in sorted(scored):
        if len(chosen) == most:
            break
        if not any(path == other and abs(start - at) < LINES for other, at, _ in chosen):
            chosen.append((path, start, text))
    return [Related(path, text) for path, _, text in chosen]


@lru_cache(maxsize=32)
def _windows(text: str) -> tuple[tuple[int, str, Names], ...]:
    """First line, text and names of each window."""
    lines = text.split("\n")
    starts = range(0, max(1, len(lines) - STEP), STEP)
    found = ("\n".join(lines[start : start + LINES]).strip("\n") + "\n" for start in starts)
    return tuple(
        (start, one, names(one)) for start, one in zip(starts, found, strict=True) if one.strip()
    )
