"""Reading a cache: sequences by slicing, every unit checked as it is read."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..fim import FimOptions
from .cache import (
    FORMAT_VERSION,
    MANIFEST,
    Origin,
    Part,
    checksum,
    file_hash,
    manifest_hash,
)
from .units import DataError


class Cache:
    """An opened cache.

    Attributes:
        folder: where it lies.
        origin: what it was made of.
        facts: what the model's bundle says of its corpus.
        rated: whether documents have quality levels.
        fingerprint: SHA-256 of ``cache.json``, which holds the hash of every file.
        train: its training sequences.
        validation: its validation documents.
    """

    def __init__(self, folder: str | Path) -> None:
        """Opens `folder`, reads its index, and looks at the size of every file.

        Tokens are checked when they are read, unit by unit; `verify` reads all of them.

        Raises:
            DataError: if it is no cache, is damaged, or is of another version.
        """
        self.folder = Path(folder).expanduser()
        try:
            text = (self.folder / MANIFEST).read_bytes()
        except OSError as error:
            raise DataError(
                f"{folder} is no folder of `parrotlet pretokenize`: {MANIFEST} cannot be read"
            ) from error
        try:
            content = json.loads(text)
            version = content["format"]
            if version == FORMAT_VERSION:
                if content.pop("sha256") != manifest_hash(content):
                    raise ValueError("another hash")
                values = content["origin"]
                self.origin = Origin(**{**values, "fim": FimOptions(**values["fim"])})
                self.facts: dict[str, Any] = dict(content["facts"])
                self.rated = bool(content["rated"])
                self._parts = {
                    split: [Part(**part) for part in content["parts"][split]]
                    for split in ("train", "validation")
                }
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(self.folder, MANIFEST) from error
        if version != FORMAT_VERSION:
            raise DataError(
                f"the cache {folder} is of format {version}, and this version of Parrotlet reads "
                f"{FORMAT_VERSION}: make it anew with `parrotlet pretokenize`"
            )
        for part in self._all_parts():
            for name, (size, _) in part.files.items():
                file = self.folder / name
                if not file.is_file() or file.stat().st_size != size:
                    raise _damaged(self.folder, name)
        self.fingerprint = hashlib.sha256(text).hexdigest()
        self.train = CachedSequences(self._open("train"), self.origin.draws)
        self.validation = CachedDocuments(self._open("validation"))

    def verify(self) -> None:
        """Reads every file.

        Raises:
            DataError: if one is not as it was written.
        """
        for part in self._all_parts():
            for name, (_, digest) in part.files.items():
                if file_hash(self.folder / name) != digest:
                    raise _damaged(self.folder, name)

    @property
    def tokens(self) -> int:
        """Of the training sequences, all draws together."""
        return sum(part.tokens for part in self._parts["train"])

    def _all_parts(self) -> list[Part]:
        return [part for parts in self._parts.values() for part in parts]

    def _open(self, split: str) -> _Units:
        return _Units([_OpenPart(self.folder, part) for part in self._parts[split]])


class _OpenPart:
    """A part's files."""

    def __init__(self, folder: Path, part: Part) -> None:
        self._folder = folder
        self._part = part
        self.units = self._whole("units")
        self._mapped: tuple[NDArray[Any], NDArray[Any]] | None = None
        self._sizes: NDArray[Any] | None = None

    def read(self, draw: int, unit: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Tokens of a unit, shape (tokens,), and the bounds of its sequences, (sequences + 1,)."""
        if self._mapped is None:
            self._mapped = self._map("tokens"), self._map("lengths")
        entry = self.units[draw, unit]
        start, count = int(entry["first_token"]), int(entry["tokens"])
        tokens = self._mapped[0][start : start + count]
        first, number = int(entry["first_sequence"]), int(entry["sequences"])
        lengths = self._mapped[1][first : first + number]
        if checksum(tokens, lengths) != entry["checksum"]:
            raise _damaged(self._folder, f"{self._part.name}.tokens.npy")
        bounds = np.zeros(number + 1, np.int64)
        np.cumsum(lengths, out=bounds[1:])
        return tokens, bounds

    def sizes(self, unit: int) -> NDArray[Any]:
        """UTF-8 bytes of a unit's documents."""
        if self._sizes is None:
            self._sizes = self._whole("sizes")
        entry = self.units[0, unit]
        first = int(entry["first_sequence"])
        return self._sizes[first : first + int(entry["sequences"])]

    def _whole(self, kind: str) -> NDArray[Any]:
        """A small file, checked."""
        name = f"{self._part.name}.{kind}.npy"
        try:
            if file_hash(self._folder / name) != self._part.files[name][1]:
                raise ValueError("another hash")
            array: NDArray[Any] = np.load(self._folder / name)
        except (OSError, ValueError, KeyError) as error:
            raise _damaged(self._folder, name) from error
        return array

    def _map(self, kind: str) -> NDArray[Any]:
        name = f"{self._part.name}.{kind}.npy"
        try:
            array = np.load(self._folder / name, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise _damaged(self._folder, name) from error
        # as a plain array: slices of a memmap object cost several times as much
        return np.asarray(array)


class _Units:
    """Parts as one run of units."""

    def __init__(self, parts: list[_OpenPart]) -> None:
        self._parts = parts
        self._ends = np.cumsum([part.units.shape[1] for part in parts]).tolist()

    def __len__(self) -> int:
        return int(self._ends[-1]) if self._ends else 0

    def find(self, unit: int) -> tuple[_OpenPart, int]:
        """The part of a unit, and the unit's number there."""
        index = bisect_right(self._ends, unit)
        return self._parts[index], unit - (self._ends[index - 1] if index else 0)


class CachedSequences:
    """The training sequences (see `Sequences`)."""

    def __init__(self, units: _Units, draws: int) -> None:
        self._units = units
        self._draws = draws

    def __len__(self) -> int:
        return len(self._units)

    def window(self, units: Sequence[int], epoch: int) -> CachedWindow:
        """See `Sequences.window`."""
        found = [self._units.find(unit) for unit in units]
        return CachedWindow([part.read(epoch % self._draws, unit) for part, unit in found])


class CachedWindow:
    """Sequences of a few units (see `Window`)."""

    def __init__(self, units: list[tuple[NDArray[Any], NDArray[np.int64]]]) -> None:
        self._units = units
        self._ends = np.cumsum([len(bounds) - 1 for _, bounds in units]).tolist()

    def __len__(self) -> int:
        return int(self._ends[-1]) if self._ends else 0

    def ids(self, places: Sequence[int]) -> list[NDArray[Any]]:
        """See `Window.ids`."""
        result = []
        for place in places:
            index = bisect_right(self._ends, place)
            tokens, bounds = self._units[index]
            number = place - (self._ends[index - 1] if index else 0)
            result.append(tokens[bounds[number] : bounds[number + 1]])
        return result


class CachedDocuments:
    """The validation documents (see `Documents`)."""

    def __init__(self, units: _Units) -> None:
        self._units = units

    def __len__(self) -> int:
        return len(self._units)

    def sizes(self, unit: int) -> list[int]:
        """See `Documents.sizes`."""
        part, number = self._units.find(unit)
        sizes: list[int] = part.sizes(number).tolist()
        return sizes

    def ids(self, unit: int, most: int) -> list[list[int]]:
        """See `Documents.ids`."""
        part, number = self._units.find(unit)
        tokens, bounds = part.read(0, number)
        count = min(most, len(bounds) - 1)
        return [tokens[bounds[i] : bounds[i + 1]].tolist() for i in range(count)]


def _damaged(folder: Path, name: str) -> DataError:
    return DataError(
        f"the cache {folder} is damaged ({name}): remove it and make it anew with "
        "`parrotlet pretokenize`"
    )
