"""Data sets of the Hugging Face Hub, and folders of Parquet or JSON Lines in its layout.

`datasets` fetches and converts a data set once, to Arrow files in its cache, and maps them into
memory. An exact resume needs any document at any time, and so does a seeded order: mapped files
give both for every format that `datasets` reads (JSON Lines and compressed files have no index, and
Parquet files of other makers often are one row group of a gigabyte). Reading row groups over the
network instead would save the copy on disk, but load each of them again every epoch, and stop the
training whenever the network does. What is too large for a disk is first cut down with
`parrotlet corpus build hub:…`, which streams.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
from numpy.typing import NDArray

from parrotlet_tokenizer.specials import QUALITY_LEVELS

from ..corpus.holdout import is_held_out
from ..corpus.shards import ROW_GROUP_BYTES
from .options import REPOSITORY_COLUMNS, HubOptions
from .units import HUB, DataError, Text

_SAMPLES = 1000
"""Documents whose text goes into the fingerprint."""


class HubUnits:
    """Runs of rows of about `ROW_GROUP_BYTES` of text (see `Units`).

    Rows without text are left out, and so are, of the training split, those of held-out
    repositories.
    """

    def __init__(self, corpus: str, split: str, options: HubOptions) -> None:
        """Opens a split; fetches and converts the data set the first time.

        Args:
            corpus: ``hub:OWNER/NAME@REVISION``, or a folder.
            split: ``train`` and ``validation`` are what `options` call so; others are as they are.
            options: names of columns and splits.

        Raises:
            DataError: if the data set cannot be read, or lacks the split or a column.
        """
        self._corpus = corpus
        self._options = options
        name = {"train": options.train, "validation": options.validation}.get(split, split)
        self._data = _load(corpus, name, options)
        columns = self._data.column_names
        if options.text not in columns:
            raise DataError(
                f"{corpus} has no column {options.text}; it has {', '.join(columns)}: "
                "set data.hub.text"
            )
        self._path = self._optional("path")
        self._quality = self._optional("quality")
        if self._quality and not pa.types.is_integer(self._type(self._quality)):
            self._quality = ""
        self._repository = options.repository and self._optional("repository")
        if not self._repository:
            self._repository = next((c for c in REPOSITORY_COLUMNS if c in columns), "")
        self._training = split == "train"
        lengths, self._wordless = self._lengths()
        self._starts = _starts(lengths)
        if not len(self._starts):
            raise DataError(f"the split {name} of {corpus} holds no text in {options.text}")
        self.rated = bool(self._quality)
        self.fingerprint = self._identity(lengths, name)
        self.facts: dict[str, Any] = {
            "dataset": corpus.removeprefix(HUB) if corpus.startswith(HUB) else Path(corpus).name,
            "documents": {split: len(lengths) - self._wordless},
            "bytes": {split: int(lengths.sum())},
        }
        self.warnings = self._warnings(name)

    def __len__(self) -> int:
        return len(self._starts)

    def read(self, unit: int) -> list[Text]:
        """See `Units.read`."""
        start = int(self._starts[unit])
        end = int(self._starts[unit + 1]) if unit + 1 < len(self) else len(self._data)
        try:
            rows = self._data[start:end]
        except (OSError, ValueError) as error:
            raise DataError(f"{self._corpus} cannot be read: {_line(error)}") from error
        nothing = [None] * (end - start)
        return [
            Text(text, path if isinstance(path, str) else None, _level(level))
            for text, path, level, repository in zip(
                rows[self._options.text],
                rows[self._path] if self._path else nothing,
                rows[self._quality] if self._quality else nothing,
                rows[self._repository] if self._repository else nothing,
                strict=True,
            )
            if isinstance(text, str)
            and text
            and not (self._training and isinstance(repository, str) and is_held_out(repository))
        ]

    def _optional(self, field: str) -> str:
        """The column for `field`; empty where its usual name is absent.

        Raises:
            DataError: if a name that the user chose is absent.
        """
        name: str = getattr(self._options, field)
        if name in self._data.column_names:
            return name
        if name != getattr(HubOptions, field):
            raise DataError(
                f"{self._corpus} has no column {name}; it has "
                f"{', '.join(self._data.column_names)}: set data.hub.{field}"
            )
        return ""

    def _type(self, column: str) -> Any:
        return self._data.data.column(column).type

    def _lengths(self) -> tuple[NDArray[np.int64], int]:
        """UTF-8 bytes of each row's text, shape (rows,), and the number of rows without text."""
        column = self._data.data.column(self._options.text)
        mixed = isinstance(column.type, pa.BaseExtensionType)  # texts and others, each as JSON
        if mixed:
            column = compute.cast(column, column.type.storage_type)
        kind = column.type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise DataError(
                f"the column {self._options.text} of {self._corpus} holds {kind}, not text: "
                "set data.hub.text"
            )
        lengths = compute.fill_null(compute.binary_length(column), 0).to_numpy()
        lengths = lengths.astype(np.int64)
        if mixed:
            quoted = compute.fill_null(compute.starts_with(column, '"'), False).to_numpy()
            lengths = np.where(quoted, lengths - 2, 0)
        return lengths, int(np.count_nonzero(lengths == 0))

    def _identity(self, lengths: NDArray[np.int64], split: str) -> str:
        """Hash of the length of every text, of a sample of the texts, and of what is read.

        It does not depend on where the data lie, and does not read all of them.
        """
        columns = (self._options.text, self._path, self._quality, self._repository)
        digest = hashlib.sha256(repr((columns, split, ROW_GROUP_BYTES)).encode())
        digest.update(lengths.astype("<i8").tobytes())
        starts = self._starts[:: -(-len(self._starts) // _SAMPLES)]
        for start in starts:
            row = self._data[int(start)]
            digest.update(repr([row[column] for column in columns if column]).encode())
        return digest.hexdigest()

    def _warnings(self, split: str) -> list[str]:
        lines = []
        if self._wordless:
            lines.append(
                f"{self._wordless:,} of {len(self._data):,} rows of {self._corpus} ({split}) hold "
                "no text and are left out"
            )
        if self._training and not self._repository:
            lines.append(
                f"{self._corpus} does not say which repository a row is of: files of held-out "
                "repositories may be among them (data.hub.repository names the column)"
            )
        return lines


def _load(corpus: str, split: str, options: HubOptions) -> Any:
    place, revision = corpus, None
    if corpus.startswith(HUB):
        place, _, revision = corpus.removeprefix(HUB).partition("@")
        if not revision or place.count("/") != 1:
            raise DataError(
                f"{corpus} is not of the form hub:OWNER/NAME@REVISION: the revision, best a "
                "commit, says which text it is"
            )
    else:
        place = str(Path(place).expanduser().resolve())
    import datasets

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    with _overheard() as records:
        try:
            return datasets.load_dataset(
                place,
                options.configuration or None,
                split=split,
                revision=revision,
                data_files={_bare(split): options.files} if options.files else None,
            )
        except Exception as error:  # of many kinds, from the network to the file format
            file = next((line for line in records if "Failed to" in line), "")
            raise DataError(_refusal(corpus, split, error, file)) from error


def _bare(split: str) -> str:
    return split.partition("[")[0]


def _refusal(corpus: str, split: str, error: Exception, file: str) -> str:
    kind, words = type(error).__name__, _line(error)
    if kind in ("EmptyDatasetError", "DataFilesNotFoundError"):
        return (
            f"{corpus} holds no shards: name a folder of `parrotlet corpus build`, or one of "
            "Parquet or JSON Lines files"
        )
    if "Unknown split" in words or "unknown split" in words:
        field = "validation" if _bare(split) == "validation" else "train"
        return (
            f"{corpus} has no {split} split ({words}): set data.hub.{field}, to a part of another "
            "such as train[99%:]"
        )
    if kind == "DatasetNotFoundError":
        return f"cannot open {corpus}: {words} (hf auth login, if it is private)"
    return f"{corpus} cannot be read: {file or words}"


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """What `datasets` logs goes into the list, not to the screen: it tells the file that fails."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(" ".join(record.getMessage().split()))

    logger = logging.getLogger("datasets")
    before, logger.handlers = logger.handlers, [Keep()]
    try:
        yield lines
    finally:
        logger.handlers = before


def _line(error: BaseException) -> str:
    """First line of the innermost cause that says something."""
    while error.__cause__ is not None and str(error.__cause__).strip():
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _level(value: object) -> int | None:
    return value if isinstance(value, int) and 0 <= value < QUALITY_LEVELS else None


def _starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """First row of each unit: a row begins one where its text crosses a multiple of the size."""
    before = np.cumsum(lengths) - lengths
    unit = before // ROW_GROUP_BYTES
    starts = np.flatnonzero(np.diff(unit, prepend=-1))
    return starts.astype(np.int64) if lengths.any() else starts[:0].astype(np.int64)
