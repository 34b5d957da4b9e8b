"""What a corpus is made of: the content of ``corpus.json``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import Any

import numpy as np

from .selection import KEPT, REASONS, REFERENCE, Selection
from .spool import Origin

MANIFEST = "corpus.json"
FORMAT_VERSION = 2


@dataclass
class Manifest:
    """Counts of a build, and what it took: options, repositories, licences, shards."""

    options: dict[str, Any]
    files_seen: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    skipped_sources: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    redacted: Counter[str] = field(default_factory=Counter)
    decontaminated: Counter[str] = field(default_factory=Counter)
    near_duplicates: dict[str, int] = field(default_factory=dict)
    quality: Counter[str] = field(default_factory=Counter)
    documents: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    sources: list[dict[str, Any]] = field(default_factory=list)
    shards: list[dict[str, str | int]] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        """Plain values for ``corpus.json``."""
        return {
            "format": FORMAT_VERSION,
            "tool": f"parrotlet {metadata.version('parrotlet')}",
            **{name: _plain(value) for name, value in vars(self).items()},
        }

    def summary(self) -> list[str]:
        """Lines that say what a build kept and left out."""
        lines = [f"{self.files_seen:,} files seen"]
        for split, documents in self.documents.items():
            names = {s["repository"] for s in self.sources if s["split"] == split and s["bytes"]}
            megabytes = self.bytes[split] / 1e6
            lines.append(
                f"{split}: {documents:,} documents, {megabytes:,.1f} MB, {len(names)} repositories"
            )
        lines += [f"left out, {why}: {count:,}" for why, count in self.left_out.most_common()]
        lines += [f"redacted, {kind}: {count:,}" for kind, count in self.redacted.most_common()]
        for name, reason in self.skipped_sources.items():
            lines.append(f"source left out, {reason}: {name}")
        lines += [f"warning: {warning}" for warning in self.warnings]
        if "train" in self.documents and not self.documents["validation"]:
            lines.append("no repository fell to validation: name more sources or raise the share")
        return lines

    def progress(self) -> dict[str, Any]:
        """The counts that a build has as it goes, for `add`."""
        names = ("files_seen", "left_out", "skipped_sources", "warnings", "redacted")
        return {name: _plain(getattr(self, name)) for name in (*names, "decontaminated")}

    def add(self, progress: Mapping[str, Any]) -> None:
        """Adds what another manifest's `progress` gave."""
        self.files_seen += progress["files_seen"]
        for name in ("left_out", "redacted", "decontaminated"):
            getattr(self, name).update(progress[name])
        self.skipped_sources.update(progress["skipped_sources"])
        self.warnings += progress["warnings"]

    def count(self, selection: Selection) -> None:
        """Fills in what is known once all documents are."""
        for place, reason in enumerate(REASONS):
            number = int(np.count_nonzero(selection.reasons == place))
            if reason not in (KEPT, REFERENCE) and number:
                self.left_out[reason] += number
        self.near_duplicates = selection.near
        kept = np.flatnonzero(selection.reasons == REASONS.index(KEPT))
        rows = selection.rows[kept]
        for level, number in zip(*np.unique(rows["quality"], return_counts=True), strict=True):
            self.quality["unknown" if level < 0 else str(level)] += int(number)
        documents = np.bincount(rows["origin"], minlength=len(selection.origins))
        sizes = np.bincount(
            rows["origin"], rows["bytes"].astype(np.float64), minlength=len(selection.origins)
        ).astype(np.int64)
        order = sorted(range(len(selection.origins)), key=lambda i: _order(selection.origins[i]))
        for place in order:
            origin = selection.origins[place]
            if origin.split == REFERENCE:
                continue
            count, size = int(documents[place]), int(sizes[place])
            self.sources.append({**asdict(origin), "documents": count, "bytes": size})
            self.documents[origin.split] += count
            self.bytes[origin.split] += size


def _plain(value: Any) -> Any:
    return dict(sorted(value.items())) if isinstance(value, Counter) else value


def _order(origin: Origin) -> tuple[str, str, str]:
    return origin.repository.lower(), origin.commit, origin.source
