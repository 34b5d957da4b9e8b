"""From signatures to the documents to drop: candidates by bucket, then exact Jaccard."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .banding import Buckets, bands_and_rows
from .components import Components
from .election import Election, Read
from .likeness import Likeness
from .signatures import Signatures
from .spill import Spill

THRESHOLD = 0.7
"""Jaccard similarity of the 5-grams from which a document is a copy (SantaCoder)."""

_SMALL = 16
"""Documents of a bucket up to which every pair is estimated before it joins a component."""

_CHUNK = 1 << 23
"""Shingles held at once (8 bytes each), but at least those of one document."""


@dataclass(frozen=True)
class DuplicateReport:
    """What is a near-copy of what.

    Attributes:
        duplicate_of: the kept document whose copy a document is, or -1 where it is kept itself;
            shape (documents,).
        similarity: exact Jaccard similarity to it, 0 where kept; shape (documents,).
        candidates: pairs whose exact similarity was computed.
        bands: of the signatures.
        rows: minima in a band.
    """

    duplicate_of: NDArray[np.int64]
    similarity: NDArray[np.float32]
    candidates: int
    bands: int
    rows: int

    @property
    def dropped(self) -> NDArray[np.bool_]:
        """Which documents to leave out, shape (documents,)."""
        mask: NDArray[np.bool_] = self.duplicate_of >= 0
        return mask

    @property
    def verified(self) -> int:
        """Pairs that reached the threshold: as many as documents to leave out."""
        return int(np.count_nonzero(self.dropped))

    @property
    def false_candidates(self) -> int:
        """Pairs that did not reach the threshold."""
        return self.candidates - self.verified

    @property
    def clusters(self) -> int:
        """Kept documents that have copies."""
        return len(np.unique(self.duplicate_of[self.dropped]))


def near_duplicates(
    signatures: Signatures,
    ranks: NDArray[np.int64],
    read: Read,
    threshold: float = THRESHOLD,
    protected: NDArray[np.bool_] | None = None,
    scratch: Path | None = None,
) -> DuplicateReport:
    """Finds the documents that have a better near-copy.

    Documents are taken from the best to the worst; each is kept unless its exact Jaccard
    similarity to one that is kept and shares a bucket with it reaches the threshold. So a large
    cluster costs one comparison a document, no two kept documents that share a bucket are
    copies, and the outcome depends on the texts and the ranks, not on the numbering.

    Memory is some 60 bytes a document and the shingles of a chunk. Texts are asked for once at
    most, a chunk of whole components at a time.

    Args:
        signatures: of all documents.
        ranks: 0 for the best document, shape (documents,), all different (see `rank_documents`).
        read: gives texts by number.
        threshold: in (0, 1].
        protected: documents that are always kept and win over every other, such as an evaluation
            set whose near-copies are to go; shape (documents,).
        scratch: folder for temporary files of some 250 bytes a document; default: the system's.

    Raises:
        ValueError: if an argument has another shape or range.
    """
    rows = signatures.rows()
    if protected is None:
        protected = np.zeros(len(rows), np.bool_)
    if not 0 < threshold <= 1:
        raise ValueError(f"a threshold lies between 0 and 1, not {threshold}")
    if ranks.shape != (len(rows),) or protected.shape != (len(rows),):
        raise ValueError(f"{len(rows)} signatures want as many ranks and marks of protection")
    likeness = Likeness(rows, threshold)
    bands, band_rows = bands_and_rows(threshold)
    with tempfile.TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True) as folder:
        buckets = Buckets(rows, bands, band_rows, Path(folder))
        components = Components(len(rows))
        for members, bounds in buckets.of_each_band():
            components.join(*_edges(members, bounds, components.labels, likeness))
        queue = _in_order(components.labels, ranks, protected)
        with Spill(Path(folder) / "shingles.u64") as spill:
            election = Election(likeness, buckets, protected, spill)
            for chunk in _chunks(queue, likeness.sizes):
                election.run(chunk, components.labels[chunk], read)
    return DuplicateReport(
        election.duplicate_of, election.similarity, election.candidates, bands, band_rows
    )


def _edges(
    members: NDArray[np.int64],
    bounds: NDArray[np.int64],
    labels: NDArray[np.int64],
    likeness: Likeness,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of one band that belong together, those of known components left out.

    In a small bucket that is every probable pair. The documents of a large one are alike for the
    most part: they form a chain unseen, so that no bucket costs the square of its size.
    """
    sizes = np.diff(bounds)
    left, right = [], []
    large = np.repeat(sizes > _SMALL, sizes)
    inner = np.ones(len(members), np.bool_)
    inner[bounds[:-1]] = False
    chained = np.flatnonzero(large & inner)
    left.append(members[chained - 1])
    right.append(members[chained])
    for size in np.unique(sizes[sizes <= _SMALL]).tolist():
        of_size = bounds[:-1][sizes == size]
        one, other = np.triu_indices(size, 1)
        for i, j in zip(one, other, strict=True):
            a, b = members[of_size + i], members[of_size + j]
            apart = labels[a] != labels[b]
            a, b = a[apart], b[apart]
            probable = likeness.probable(a, b)
            left.append(a[probable])
            right.append(b[probable])
    return np.concatenate(left), np.concatenate(right)


def _in_order(
    labels: NDArray[np.int64], ranks: NDArray[np.int64], protected: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Documents that may have a copy: by component, the protected first, then by rank."""
    members = np.bincount(labels, minlength=len(labels))
    free = np.bincount(labels[~protected], minlength=len(labels))
    worth = (members > 1) & (free > 0)
    documents = np.flatnonzero(worth[labels])
    order = np.lexsort((ranks[documents], ~protected[documents], labels[documents]))
    return documents[order]


def _chunks(queue: NDArray[np.int64], sizes: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    ends = np.cumsum(sizes[queue])
    start = 0
    while start < len(queue):
        before = ends[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(ends, before + _CHUNK, "right")))
        yield queue[start:end]
        start = end
