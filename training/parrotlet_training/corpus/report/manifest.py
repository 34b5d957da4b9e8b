"""Reading ``corpus.json``, of this build or an older one, for those who describe a corpus."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MANIFEST_FILE = "corpus.json"


class CorpusError(ValueError):
    """A folder holds no corpus, or one that cannot be read."""


@dataclass(frozen=True)
class SourceEntry:
    """One source of a corpus.

    Attributes:
        repository: ``owner/name``, or the source's own name.
        commit: or version; empty where unknown.
        licence: SPDX expression; empty where unknown.
        kind: ``git``, ``folder``, ``distribution``, …
        split: where its documents went.
        documents: how many were kept.
        bytes: of their text, in UTF-8.
    """

    repository: str
    commit: str
    licence: str
    kind: str
    split: str
    documents: int
    bytes: int


@dataclass(frozen=True)
class CorpusManifest:
    """What ``corpus.json`` says. Parts that an older build did not write are empty.

    Attributes:
        tool: program and version that built the corpus.
        options: of the build, by name.
        files_seen: before any filter.
        documents: kept, by split.
        bytes: of their text, in UTF-8, by split.
        left_out: files by the reason for which they were left out.
        skipped_sources: sources left out whole, with the reason.
        sources: all that gave documents or could have.
        shards: ``file``, ``bytes`` and ``sha256`` of each.
        near_duplicates: ``candidates``, ``verified``, ``dropped``.
        redacted: personal data and secrets replaced, by kind.
        quality: documents by quality level.
        decontaminated: documents dropped by evaluation set.
    """

    tool: str
    options: dict[str, Any]
    files_seen: int
    documents: dict[str, int]
    bytes: dict[str, int]
    left_out: dict[str, int]
    skipped_sources: dict[str, str]
    sources: list[SourceEntry]
    shards: list[dict[str, Any]]
    near_duplicates: dict[str, int] = field(default_factory=dict)
    redacted: dict[str, int] = field(default_factory=dict)
    quality: dict[str, int] = field(default_factory=dict)
    decontaminated: dict[str, int] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """Documents in all splits."""
        return sum(self.documents.values())


def read_manifest(corpus: Path) -> CorpusManifest:
    """The manifest of the corpus in the folder `corpus`.

    Raises:
        CorpusError: if there is none, or it is damaged.
    """
    file = corpus / MANIFEST_FILE
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CorpusError(
            f"{corpus} holds no {MANIFEST_FILE}: name a folder that `parrotlet corpus build` wrote"
        ) from error
    except (OSError, ValueError) as error:
        raise CorpusError(f"{file} cannot be read: {error}; build the corpus again") from error
    try:
        return CorpusManifest(
            tool=str(values.get("tool", "unknown")),
            options=dict(values.get("options", {})),
            files_seen=int(values["files_seen"]),
            documents=_counts(values["documents"]),
            bytes=_counts(values["bytes"]),
            left_out=_counts(values.get("left_out", {})),
            skipped_sources={str(k): str(v) for k, v in values.get("skipped_sources", {}).items()},
            sources=[
                SourceEntry(
                    repository=str(source["repository"]),
                    commit=str(source["commit"]),
                    licence=str(source["licence"]),
                    kind=str(source["source"]),
                    split=str(source["split"]),
                    documents=int(source["documents"]),
                    bytes=int(source["bytes"]),
                )
                for source in values["sources"]
            ],
            shards=[dict(shard) for shard in values["shards"]],
            near_duplicates=_counts(values.get("near_duplicates") or {}),
            redacted=_counts(values.get("redacted") or {}),
            quality=_counts(values.get("quality") or {}),
            decontaminated=_counts(values.get("decontaminated") or {}),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorpusError(
            f"{file} is not the manifest of a corpus ({type(error).__name__}: {error}); "
            "build the corpus again"
        ) from error


def option_words(options: Mapping[str, object]) -> str:
    """Options of a build in one line; of those that are lists or tables, only the length."""
    words = []
    for key, value in sorted(options.items()):
        told = f"({len(value)})" if isinstance(value, list | dict) else str(value)
        words.append(f"{key.replace('_', ' ')} {told}")
    return ", ".join(words)


def _counts(values: dict[str, Any]) -> dict[str, int]:
    return {str(name): int(count) for name, count in values.items()}
