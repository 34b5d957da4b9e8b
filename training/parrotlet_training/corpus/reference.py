"""Corpora whose documents are not taken, but push their copies out: the hold-out, above all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as parquet

from .document import RawFile
from .process import Outcome, Processing, process
from .shards import shard_files
from .sources import SourceError
from .spool import Entry, Origin

SPLITS = ("holdout", "validation", "train")


def reference_entries(folders: Sequence[Path]) -> Iterator[tuple[Entry, Outcome]]:
    """Every document of the corpora in `folders`, with its signature.

    Raises:
        SourceError: if one is no corpus or cannot be read.
    """
    plain = Processing(min_bytes=0, licences=None, signature=True)
    for folder in folders:
        files = [file for split in SPLITS for file in shard_files(folder, split)]
        if not files:
            raise SourceError(f"{folder} holds no corpus to compare with")
        for file in files:
            try:
                shard = parquet.ParquetFile(file)
                for group in range(shard.num_row_groups):
                    columns = ["content", "path", "repository", "commit", "licence", "source"]
                    for row in shard.read_row_group(group, columns=columns).to_pylist():
                        raw = RawFile(row["content"].encode("utf-8"), row["path"])
                        outcome = process(raw, plain)
                        origin = Origin(
                            row["repository"],
                            row["commit"],
                            row["licence"],
                            row["source"],
                            "reference",
                        )
                        entry = Entry(origin, raw.path, outcome.text, outcome.digest, None)
                        yield entry, outcome
            except (OSError, ValueError, KeyError) as error:
                raise SourceError(f"cannot read {file}: {error}") from error
