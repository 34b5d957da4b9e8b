"""Units: what training reads at a time, a few hundred KiB of text with random access."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow.parquet as parquet

from ..corpus.manifest import MANIFEST
from ..corpus.shards import shard_files
from .cache import is_cache
from .options import HubOptions

HUB = "hub:"
"""What a corpus on the Hub begins with: ``hub:OWNER/NAME@REVISION``."""


class DataError(ValueError):
    """The data cannot feed the recipe; the message says what to change."""


class Text(NamedTuple):
    """What training reads of a document.

    Attributes:
        content: its text.
        path: inside its repository; None where unknown.
        quality: level, 0 to 4; None where unknown.
    """

    content: str
    path: str | None
    quality: int | None


class Units(Protocol):
    """Random access to the units of one split.

    Attributes:
        fingerprint: of the text and of how it is read; equal where the units are.
        facts: what the model's bundle says of its corpus.
        rated: whether documents have quality levels.
        warnings: lines for the user.
    """

    fingerprint: str
    rated: bool

    @property
    def facts(self) -> Mapping[str, Any]:
        """See above."""

    @property
    def warnings(self) -> Sequence[str]:
        """See above."""

    def __len__(self) -> int:
        """Number of units."""

    def read(self, unit: int) -> list[Text]:
        """Documents of a unit.

        Raises:
            DataError: if it cannot be read.
        """


def open_units(corpus: str | Path, split: str, hub: HubOptions | None = None) -> Units:
    """Opens a split: of a folder of `parrotlet corpus build`, else of what `datasets` reads.

    Args:
        corpus: folder, or ``hub:OWNER/NAME@REVISION``.
        split: ``train``, ``validation`` or another.
        hub: names of columns and splits, for all but corpus folders.

    Raises:
        DataError: if there is no such split, or it cannot be read.
    """
    place = Path(corpus).expanduser()
    if is_cache(place):
        raise DataError(f"{corpus} is a cache of `parrotlet pretokenize`: name the corpus itself")
    if (place / MANIFEST).is_file():
        return ShardUnits(place, split)
    if not str(corpus).startswith(HUB) and not place.is_dir():
        raise DataError(
            f"there is no corpus {corpus}: name a folder of `parrotlet corpus build`, or "
            "hub:OWNER/NAME@REVISION"
        )
    from .hub import HubUnits

    return HubUnits(str(corpus), split, hub or HubOptions())


class ShardUnits:
    """The row groups of a corpus split (see `Units`)."""

    def __init__(self, corpus: Path, split: str) -> None:
        """Opens the shards (footers alone).

        Raises:
            DataError: if there are none, or one cannot be read.
        """
        files = shard_files(corpus, split)
        if not files:
            raise DataError(_no_split(corpus, split))
        self._corpus = corpus
        self._files = []
        for file in files:
            try:
                self._files.append(parquet.ParquetFile(file))
            except (OSError, ValueError) as error:
                raise DataError(_unreadable(file, error)) from error
        self._paths = files
        self._ends = np.cumsum([file.num_row_groups for file in self._files]).tolist()
        if not self._ends[-1]:
            raise DataError(_no_split(corpus, split))
        manifest = (corpus / MANIFEST).read_bytes()
        self.fingerprint = hashlib.sha256(manifest).hexdigest()
        self.facts, self.rated = _told(corpus, manifest)
        self.warnings: list[str] = []

    def __len__(self) -> int:
        return int(self._ends[-1])

    def read(self, unit: int) -> list[Text]:
        """See `Units.read`."""
        index = bisect_right(self._ends, unit)
        group = unit - (self._ends[index - 1] if index else 0)
        file = self._files[index]
        rated = "quality" in file.schema_arrow.names
        columns = ["content", "path", *(["quality"] if rated else [])]
        try:
            rows = file.read_row_group(group, columns=columns).to_pylist()
            return [Text(row["content"], row["path"], row.get("quality")) for row in rows]
        except (OSError, ValueError, KeyError) as error:  # a damaged page, no such column
            raise DataError(_unreadable(self._paths[index], error)) from error


def _told(corpus: Path, manifest: bytes) -> tuple[dict[str, Any], bool]:
    try:
        content = json.loads(manifest)
        facts = {key: content.get(key) for key in ("documents", "bytes", "tool")}
        kept = {s["repository"] for s in content.get("sources", []) if s["documents"]}
        rated = any(level != "unknown" for level in content.get("quality", {}))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{corpus / MANIFEST} is damaged: build the corpus again") from error
    return facts | {"repositories": len(kept)}, rated


def _no_split(corpus: Path, split: str) -> str:
    advice = {
        "validation": "build it from more repositories, or with a larger --validation-share",
        "holdout": "build it with --holdout",
    }
    return f"{corpus} holds no {split} shards: {advice.get(split, 'build the corpus again')}"


def _unreadable(file: Path, error: Exception) -> str:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"the shard {file} cannot be read ({first}): build or fetch the corpus again"
