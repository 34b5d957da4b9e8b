"""An export of the public GitHub data set of Google BigQuery: JSON Lines, compressed or not.

docs/corpus.md has the query.
"""

from __future__ import annotations

import gzip
import json
import lzma
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from ..document import TOO_LARGE, RawFile
from ..licences import normalise
from .base import MALFORMED, TRUNCATED, SourceError, record, state_of

_SUFFIXES = (".json.gz", ".jsonl.gz", ".json", ".jsonl")
_NEEDED = ("repo_name", "path", "content")


@dataclass
class BigQueryExport:
    """Rows with ``repo_name``, ``path``, ``content`` and ``license``, shard after shard by name.

    `folder` is that of the shards, or one of them: so several machines share an export.
    """

    folder: Path
    kind: str = "bigquery"
    commit: str = ""
    licence: str = ""
    own: bool = False
    many: bool = True
    warnings: list[str] = field(default_factory=list)
    repository: str = field(init=False)

    def __post_init__(self) -> None:
        if not self.folder.exists():
            raise SourceError(f"no folder {self.folder}: give the folder of the exported shards")
        self.repository = self.folder.resolve().name
        if not self._shards():
            raise SourceError(f"{self.folder} holds no shard: {', '.join(_SUFFIXES)}")

    def state(self) -> str:
        """See `Changing.state`."""
        return state_of(self._shards())

    def by_shard(self) -> list[BigQueryExport]:
        """One source for each shard."""
        return [BigQueryExport(shard) for shard in self._shards()]

    def _shards(self) -> list[Path]:
        if self.folder.is_file():
            return [self.folder]
        return sorted(f for f in self.folder.rglob("*") if f.name.endswith(_SUFFIXES))

    def files(self, max_bytes: int) -> Iterator[RawFile]:
        """See `Source.files`; a damaged shard gives what it has and is counted.

        Raises:
            SourceError: if no row of a whole shard has what is needed.
        """
        for shard in self._shards():
            name = shard.relative_to(self.folder).as_posix() if shard != self.folder else shard.name
            columns: set[str] = set()
            usable = rows = 0
            for row in _rows(shard, name, max_bytes):
                rows += 1
                if isinstance(row, RawFile):
                    yield row
                    continue
                columns.update(row)
                usable += all(key in row for key in _NEEDED)
                licence = row.get("license")
                licence = (normalise(licence) or licence) if isinstance(licence, str) else ""
                text, path, repository = (row.get(key) for key in ("content", "path", "repo_name"))
                yield record(text, path, repository, licence, "", max_bytes)
            if columns and not usable:
                missing = ", ".join(sorted(set(_NEEDED) - columns)) or "values"
                raise SourceError(
                    f"{name} has no column {missing}; it has {', '.join(sorted(columns))}: export "
                    "the columns of the documented query"
                )


def _rows(shard: Path, name: str, max_bytes: int) -> Iterator[dict[str, object] | RawFile]:
    """Objects of a shard, and a `RawFile` that says what is wrong with those that are none.

    A line is never longer in memory than a file of `max_bytes` can make it.
    """
    # JSON writes a byte as up to six ("\u0000"); the rest is for the other columns
    longest = 6 * max_bytes + 64 * 1024
    try:
        with _opened(shard) as file:
            while line := file.readline(longest):
                if len(line) == longest and not line.endswith(b"\n"):
                    while (rest := file.readline(1 << 20)) and not rest.endswith(b"\n"):
                        pass
                    yield RawFile(b"", name, TOO_LARGE)
                elif line.strip():
                    yield _parsed(line) or RawFile(b"", name, MALFORMED)
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        yield RawFile(b"", name, TRUNCATED)


def _parsed(line: bytes) -> dict[str, object] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _opened(shard: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(shard)) if shard.suffix == ".gz" else shard.open("rb")
