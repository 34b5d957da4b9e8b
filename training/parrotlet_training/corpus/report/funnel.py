"""From the files that were seen to the documents that were kept."""

from __future__ import annotations

from dataclasses import dataclass

from .manifest import CorpusManifest

_ORDER = (
    "unreadable",
    "too large",
    "too small",
    "not decodable",
    "vendored",
    "generated",
    "long lines",
    "not alphanumeric",
)
NEAR = "near-duplicate"
EVALUATION = "evaluation text"
_LATE = (EVALUATION, "duplicate", NEAR, "over the repository's share")
OTHER = "not accounted for"


@dataclass(frozen=True)
class Step:
    """One filter.

    Attributes:
        reason: for which it leaves files out.
        dropped: how many.
        left: files that remain after it.
    """

    reason: str
    dropped: int
    left: int


def funnel(manifest: CorpusManifest) -> list[Step]:
    """Filters in the order in which a file meets them; what they leave is what was kept."""
    counts = dict(manifest.left_out)
    missing = manifest.files_seen - manifest.kept - sum(counts.values())
    # A manifest may count these stages apart from the filters or among them, never both.
    for name, dropped in (
        (EVALUATION, sum(manifest.decontaminated.values())),
        (NEAR, manifest.near_duplicates.get("dropped", 0)),
    ):
        if name not in counts and 0 < dropped <= missing:
            counts[name] = dropped
            missing -= dropped
    if missing:
        counts[OTHER] = missing
    known = [name for name in _ORDER if name in counts]
    late = [name for name in (*_LATE, OTHER) if name in counts]
    middle = sorted(set(counts) - set(known) - set(late), key=lambda name: (-counts[name], name))
    steps = []
    left = manifest.files_seen
    for name in (*known, *middle, *late):
        left -= counts[name]
        steps.append(Step(name, counts[name], left))
    return steps
