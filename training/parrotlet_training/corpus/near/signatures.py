"""MinHash signatures, in a file that grows while documents stream by."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from .shingles import GRAM, shingles_of

PERMUTATIONS = 128
"""Minima in a signature; the standard error of an estimate is at most 0.044."""

SIGNATURE_WIDTH = PERMUTATIONS + 1
"""Columns of a row: the minima, then the number of distinct shingles."""

_SEED = 1
_FORM = {
    "format": 1,
    "permutations": PERMUTATIONS,
    "gram": GRAM,
    "seed": _SEED,
    "algorithm": f"R-MinHash {RMinHash.ALGORITHM_VERSION}",
}


class SignaturesError(ValueError):
    """A folder of signatures is of another form; the message says what to do."""


def signature(text: str) -> NDArray[np.uint32]:
    """The row of one text: 128 minima over its shingles, and how many those are.

    The minima are R-MinHash (rensa), a variant of fast similarity sketching (Dahlgaard, Knudsen,
    Thorup, "Fast Similarity Sketching", 2017): as unbiased as 128 permutations, without their cost.

    Returns:
        Shape (129,); depends on the text alone.
    """
    row: NDArray[np.uint32] = signatures_of([text])[0]
    return row


def signatures_of(texts: Iterable[str]) -> NDArray[np.uint32]:
    """The rows of several texts, shape (texts, 129): the work of one call to a worker process."""
    sets = list(shingles_of(texts))
    sizes = np.array([len(found) for found in sets], np.uint64)
    rows = np.empty((len(sets), SIGNATURE_WIDTH), np.uint32)
    if sets:
        bounds = np.concatenate((np.zeros(1, np.uint64), np.cumsum(sizes)))
        flat = np.concatenate(sets)
        minima = RMinHash.digest_matrix_from_flat_token_hashes(flat, bounds, PERMUTATIONS, _SEED)
        for row, values in zip(rows, minima.to_rows(), strict=True):
            row[:PERMUTATIONS] = array("I", values)  # numpy itself takes twice as long over a list
        rows[:, PERMUTATIONS] = sizes
    return rows


class Signatures:
    """A file of signatures, one row per document, numbered from 0 in the order of arrival.

    Memory holds one batch; the rest is on disk: 516 bytes a document. A folder that was closed can
    be opened again to add more.
    """

    def __init__(self, folder: Path, batch: int = 1024, keep: int | None = None) -> None:
        """Opens or makes the folder.

        Args:
            folder: of the signatures.
            batch: rows that wait in memory.
            keep: rows to go on from, if what was written after them is to go; None: all.

        Raises:
            SignaturesError: if the folder holds signatures of another form, or fewer than `keep`.
        """
        self._batch = batch
        self._pending: list[NDArray[np.uint32]] = []
        self._waiting = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "signatures.u32"
        form = folder / "signatures.json"
        if form.exists() and json.loads(form.read_text(encoding="utf-8")) != _FORM:
            raise SignaturesError(
                f"{folder} holds signatures of another form: remove it to compute them again"
            )
        form.write_text(json.dumps(_FORM, indent=1) + "\n", encoding="utf-8")
        row_bytes = SIGNATURE_WIDTH * 4
        # a row that was cut short by an interruption goes
        self._rows = self._path.stat().st_size // row_bytes if self._path.exists() else 0
        if keep is not None:
            if keep > self._rows:
                raise SignaturesError(
                    f"{folder} holds {self._rows} signatures, not {keep}: "
                    "remove it to compute them again"
                )
            self._rows = keep
        self._file = self._path.open("ab")
        self._file.truncate(self._rows * row_bytes)

    def __len__(self) -> int:
        return self._rows + self._waiting

    def add(self, text: str) -> int:
        """Computes and takes the signature of one more document; returns its number."""
        return self.append_array(signature(text)[None]).start

    def append_array(self, rows: NDArray[np.uint32]) -> range:
        """Takes rows, shape (n, 129), as `signatures_of` made them; returns their numbers."""
        if rows.dtype != np.uint32 or rows.ndim != 2 or rows.shape[1] != SIGNATURE_WIDTH:
            raise ValueError(f"rows are uint32 of shape (n, {SIGNATURE_WIDTH}), not {rows.shape}")
        first = len(self)
        self._pending.append(rows)
        self._waiting += len(rows)
        if self._waiting >= self._batch:
            self.flush()
        return range(first, len(self))

    def flush(self) -> None:
        """Writes what waits."""
        for rows in self._pending:
            self._file.write(np.ascontiguousarray(rows).tobytes())
        self._file.flush()
        self._rows += self._waiting
        self._pending, self._waiting = [], 0

    def rows(self) -> NDArray[np.uint32]:
        """All signatures as they lie on disk, shape (documents, 129), not to be written to."""
        self.flush()
        if not self._rows:
            return np.empty((0, SIGNATURE_WIDTH), np.uint32)
        shape = (self._rows, SIGNATURE_WIDTH)
        # a plain array over the map: indexing it costs less
        return np.asarray(np.memmap(self._path, np.uint32, "r", shape=shape))

    def close(self) -> None:
        """Writes what waits and closes the file."""
        if not self._file.closed:
            self.flush()
            self._file.close()

    def __enter__(self) -> Signatures:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
