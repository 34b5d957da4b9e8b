"""Writing and listing Parquet shards."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as parquet

from .document import Document

SCHEMA = pa.schema(
    [
        *(
            (name, pa.string())
            for name in ("content", "path", "repository", "commit", "licence", "source")
        ),
        ("quality", pa.int8()),
    ]
)

ROW_GROUP_BYTES = 256 * 1024
"""Text in one row group: the unit that the training stream shuffles and reads."""

SHARD_BYTES = 256 * 1024 * 1024
"""Text in one shard."""


class ShardWriter:
    """Writes documents of one split to ``data/SPLIT-00000.parquet`` and on.

    A shard is written under another name and renamed when whole, so that no half of one is ever
    taken for a shard.
    """

    def __init__(self, folder: Path, split: str, shard_bytes: int = SHARD_BYTES) -> None:
        self._folder = folder / "data"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._split = split
        self._shard_bytes = shard_bytes
        self._writer: parquet.ParquetWriter | None = None
        self._pending: list[Document] = []
        self._pending_bytes = 0
        self._written_bytes = 0
        self.shards: list[dict[str, str | int]] = []

    def add(self, document: Document) -> None:
        """Takes one more document."""
        self._pending.append(document)
        self._pending_bytes += len(document.content)
        if self._pending_bytes >= ROW_GROUP_BYTES:
            self._flush()
            if self._written_bytes >= self._shard_bytes:
                self._finish()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._abandon()
            return
        try:
            self._flush()
            self._finish()
        except BaseException:
            self._abandon()
            raise

    def _abandon(self) -> None:
        if self._writer is not None:
            with suppress(OSError):  # a full disk refuses the end of the file too
                self._writer.close()
            self._aside().unlink(missing_ok=True)

    def _name(self) -> str:
        return f"{self._split}-{len(self.shards):05d}.parquet"

    def _aside(self) -> Path:
        return self._folder / f"{self._name()}.tmp"

    def _flush(self) -> None:
        if not self._pending:
            return
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._aside(), SCHEMA, compression="zstd")
        rows = pa.Table.from_pylist([asdict(document) for document in self._pending], SCHEMA)
        self._writer.write_table(rows, row_group_size=len(self._pending))
        self._written_bytes += self._pending_bytes
        self._pending, self._pending_bytes = [], 0

    def _finish(self) -> None:
        if self._writer is None:
            return
        self._writer.close()
        final = self._folder / self._name()
        aside = self._aside().replace(final)
        digest = hashlib.sha256()
        with aside.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        self.shards.append(
            {
                "file": f"data/{final.name}",
                "bytes": final.stat().st_size,
                "sha256": digest.hexdigest(),
            }
        )
        self._writer = None
        self._written_bytes = 0


def shard_files(corpus: Path, split: str) -> list[Path]:
    """Shards of a split in their order; empty if there are none."""
    return sorted((corpus / "data").glob(f"{split}-*.parquet"))
