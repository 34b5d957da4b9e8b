"""A data set of the Hugging Face Hub, or a folder that `datasets` reads as one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..document import RawFile
from ..licences import normalise
from .base import SourceError, record


@dataclass
class HubDataset:
    """Rows of a streamed data set, each a file of some repository.

    Attributes:
        dataset: ``owner/name`` on the Hub, or a local folder of Parquet or JSON Lines files.
        revision: commit of the data set; a local folder has none.
        text: column of the file's text.
        path: column of its path; empty: rows are numbered.
        repository_column: column of ``owner/name``; empty: all are of the data set itself.
        licence_column: column of an SPDX identifier, or a list of such; empty: `licence` holds for
            all.
        commit_column: column of the commit; empty: none.
    """

    dataset: str
    revision: str = ""
    configuration: str = ""
    split: str = "train"
    text: str = "content"
    path: str = "path"
    repository_column: str = "repo_name"
    licence_column: str = "license"
    commit_column: str = ""
    licence: str = ""
    kind: str = "hub"
    own: bool = False
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        local = Path(self.dataset).expanduser().is_dir()
        if not local and not self.revision:
            raise SourceError(f"{self.dataset}: pin the data set with revision: its commit")
        name = Path(self.dataset).resolve().name if local else self.dataset
        self.repository = name
        self.commit = self.revision
        self.many = bool(self.repository_column)

    def files(self, max_bytes: int) -> Iterator[RawFile]:
        """See `Source.files`; rows come in the order of the data set.

        Raises:
            SourceError: if it cannot be reached or read, or lacks a column.
        """
        rows = self._rows()
        for number, row in enumerate(rows):
            if number == 0:
                self._check(row)
            path = row.get(self.path) if self.path else f"{number:012d}.py"
            repository = row.get(self.repository_column) if self.many else self.repository
            licence = _licence(row.get(self.licence_column)) if self.licence_column else ""
            commit = row.get(self.commit_column) if self.commit_column else ""
            commit = commit if isinstance(commit, str) else ""
            text = row.get(self.text)
            yield record(text, path, repository, licence or self.licence, commit, max_bytes)

    def _columns(self) -> list[str]:
        named = [self.text, self.path, self.repository_column, self.licence_column]
        return [name for name in (*named, self.commit_column) if name]

    def _check(self, row: Mapping[str, Any]) -> None:
        missing = [name for name in self._columns() if name not in row]
        if missing:
            raise SourceError(
                f"{self.dataset} has no column {', '.join(missing)}; it has {', '.join(row)}: name "
                "the columns with text, path, repository, licence"
            )

    def _rows(self) -> Iterator[Mapping[str, Any]]:
        import datasets

        place = Path(self.dataset).expanduser()
        try:
            loaded = datasets.load_dataset(
                str(place) if place.is_dir() else self.dataset,
                self.configuration or None,
                split=self.split,
                revision=None if place.is_dir() else self.revision,
                streaming=True,
            )
            known = loaded.column_names
            if known and all(name in known for name in self._columns()):
                loaded = loaded.select_columns(self._columns())
            rows = iter(loaded)
        except Exception as error:  # of many kinds, from the network to the file format
            raise SourceError(f"cannot open the data set {self.dataset}: {_line(error)}") from error
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except Exception as error:
                raise SourceError(
                    f"the data set {self.dataset} breaks off: {_line(error)}"
                ) from error
            yield row


def _licence(value: object) -> str:
    """SPDX expression of a row; several licences are joined with ``AND``, the strictest reading."""
    if isinstance(value, str):
        return normalise(value) or value.strip()
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        parts = sorted({_licence(item) for item in value})
        return " AND ".join(f"({part})" if " OR " in part else part for part in parts)
    return ""


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
