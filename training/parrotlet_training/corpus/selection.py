"""Which of all documents stay: no copies, no near-copies, no repository above its share.

The outcome depends on the documents alone: not on the order in which they came, nor on how many
spools they are spread over.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from .near import Signatures, near_duplicates, rank_documents
from .spool import INDEX, Origin, Spool

KEPT = ""
DUPLICATE = "duplicate"
NEAR_DUPLICATE = "near-duplicate"
OVER_SHARE = "over the repository's share"
REFERENCE = "reference"
REASONS = (KEPT, DUPLICATE, NEAR_DUPLICATE, OVER_SHARE, REFERENCE)

SIGNATURES = "signatures"


@dataclass
class Selection:
    """Fate of every document.

    Attributes:
        reasons: place in `REASONS`, shape (documents,), int8; spools follow one another.
        rows: the spools' indices joined, shape (documents,), dtype `INDEX`; ``origin`` points
            into `origins`.
        origins: of all spools, each once.
        near: counts of the near-duplicate search; empty without one.
    """

    reasons: NDArray[np.int8]
    rows: NDArray[np.void]
    origins: list[Origin]
    near: dict[str, int] = field(default_factory=dict)


def select(
    spools: Sequence[Spool], threshold: float | None, max_repository_bytes: int | None
) -> Selection:
    """Decides on every document of `spools`.

    Of two copies stays the one of the better quality, then that of validation, then the longer,
    then the one with the lesser key. A copy of a ``reference`` document always goes.

    Args:
        spools: with a folder `SIGNATURES` each, if there is a threshold.
        threshold: Jaccard similarity from which documents are near-copies; None: no search.
        max_repository_bytes: text of one repository that stays at most; None: no limit.
    """
    rows, origins = _joined(spools)
    splits = np.array([origin.split for origin in origins] or [""])[rows["origin"]]
    reference = splits == "reference"
    reasons = np.zeros(len(rows), np.int8)
    ranks = rank_documents(
        rows["key"],
        rows["bytes"].astype(np.int64),
        rows["quality"],
        preferred=(splits == "validation") | reference,
    )
    ranks = np.where(reference, ranks - len(rows), ranks)  # before all others
    copies = _copies(rows["digest"], ranks)
    reasons[copies & ~reference] = REASONS.index(DUPLICATE)
    selection = Selection(reasons, rows, origins)
    if threshold is not None:
        _drop_near(selection, spools, ranks, reference, threshold)
    if max_repository_bytes is not None:
        _cap(selection, max_repository_bytes, reference)
    reasons[reference] = REASONS.index(REFERENCE)
    return selection


def _joined(spools: Sequence[Spool]) -> tuple[NDArray[np.void], list[Origin]]:
    known: dict[Origin, int] = {}
    parts = []
    for spool in spools:
        places = [known.setdefault(origin, len(known)) for origin in spool.origins()]
        rows = np.array(spool.index())
        if len(rows):
            rows["origin"] = np.array(places, np.uint32)[rows["origin"]]
        parts.append(rows)
    return np.concatenate(parts) if parts else np.empty(0, INDEX), list(known)


def _copies(digests: NDArray[np.uint64], ranks: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Documents whose digest a better-ranked one has."""
    order = np.lexsort((ranks, digests[:, 0], digests[:, 1]))
    ordered = digests[order]
    same = np.zeros(len(order), np.bool_)
    same[1:] = (ordered[1:] == ordered[:-1]).all(axis=1)
    copies = np.zeros(len(order), np.bool_)
    copies[order] = same
    return copies


def _drop_near(
    selection: Selection,
    spools: Sequence[Spool],
    ranks: NDArray[np.int64],
    reference: NDArray[np.bool_],
    threshold: float,
) -> None:
    ends = np.cumsum([len(spool) for spool in spools])
    alive = np.flatnonzero(selection.reasons == REASONS.index(KEPT))

    def read(numbers: Sequence[int] | NDArray[np.int64]) -> list[str]:
        wanted = alive[np.asarray(numbers, np.int64)]
        owner = np.searchsorted(ends, wanted, side="right")
        texts = [""] * len(wanted)
        for place, spool in enumerate(spools):
            mine = np.flatnonzero(owner == place)
            begin = int(ends[place]) - len(spool)
            for index, text in zip(mine, spool.texts(wanted[mine] - begin), strict=True):
                texts[index] = text
        return texts

    with ExitStack() as stack:
        scratch = Path(stack.enter_context(TemporaryDirectory(dir=spools[0].folder.parent)))
        joined = stack.enter_context(_join_signatures(spools, alive, scratch / SIGNATURES))
        places = np.empty(len(alive), np.int64)
        places[np.argsort(ranks[alive], kind="stable")] = np.arange(len(alive))
        report = near_duplicates(
            joined, places, read, threshold, protected=reference[alive], scratch=scratch
        )
    selection.reasons[alive[report.dropped]] = REASONS.index(NEAR_DUPLICATE)
    selection.near = {
        "candidates": int(report.candidates),
        "dropped": int(report.verified),
        "clusters": int(report.clusters),
    }


def _join_signatures(spools: Sequence[Spool], alive: NDArray[np.int64], folder: Path) -> Signatures:
    """Signatures of the documents that are still in, in a file of their own."""
    joined = Signatures(folder)
    first = 0
    for spool in spools:
        with Signatures(spool.folder / SIGNATURES) as own:
            rows = own.rows()
            mine = alive[(alive >= first) & (alive < first + len(spool))] - first
            for begin in range(0, len(mine), 4096):
                joined.append_array(np.ascontiguousarray(rows[mine[begin : begin + 4096]]))
        first += len(spool)
    return joined


def _cap(selection: Selection, limit: int, reference: NDArray[np.bool_]) -> None:
    """Leaves out, in the order of their keys, what a repository has beyond `limit` bytes."""
    names: dict[str, int] = {}
    repository = np.array(
        [names.setdefault(o.repository.lower(), len(names)) for o in selection.origins] or [0],
        np.int64,
    )[selection.rows["origin"]]
    alive = np.flatnonzero((selection.reasons == REASONS.index(KEPT)) & ~reference)
    order = alive[np.lexsort((selection.rows["key"][alive], repository[alive]))]
    sizes = np.cumsum(selection.rows["bytes"][order].astype(np.int64))
    starts = np.flatnonzero(np.diff(repository[order], prepend=-1))
    before = np.zeros(len(order), np.int64)
    before[starts] = sizes[starts - 1] * (starts > 0)
    base = np.maximum.accumulate(before)
    over = sizes - base > limit
    selection.reasons[order[over]] = REASONS.index(OVER_SHARE)
