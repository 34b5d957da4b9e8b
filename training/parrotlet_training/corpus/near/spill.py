"""Arrays that wait on disk."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray


class Spill:
    """Shingles by document number, in a file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b")
        self._places: dict[int, tuple[int, int]] = {}

    def put(self, number: int, values: NDArray[np.uint64]) -> None:
        """Keeps `values`, shape (n,)."""
        self._places[number] = (self._file.seek(0, 2), len(values))
        self._file.write(values.tobytes())

    def get(self, number: int) -> NDArray[np.uint64]:
        """What was kept under a number."""
        start, count = self._places[number]
        self._file.seek(start)
        return np.frombuffer(self._file.read(8 * count), np.uint64)

    def clear(self) -> None:
        """Forgets all."""
        if self._places:
            self._places.clear()
            self._file.seek(0)
            self._file.truncate()

    def __enter__(self) -> Spill:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
