"""The unit of a corpus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TOO_LARGE = "too large"
UNREADABLE = "unreadable"


@dataclass(frozen=True)
class RawFile:
    """A file as a source yields it, before any filter.

    Attributes:
        data: its bytes; empty where `problem` says why it was not read.
        path: inside its repository, with forward slashes.
        problem: why it was not read, as counted in the manifest; None if it was.
        repository: ``owner/name`` where it differs from that of the source; None if it does not.
        licence: SPDX expression, likewise.
        commit: likewise.
        metadata: numbers that a source knows of the file's repository, such as its stars.
    """

    data: bytes
    path: str
    problem: str | None = None
    repository: str | None = None
    licence: str | None = None
    commit: str | None = None
    metadata: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Document:
    """A file as the corpus holds it: one row of a shard.

    Attributes:
        content: its text, with line feeds as line ends.
        path: inside its repository, with forward slashes.
        repository: ``owner/name`` where known, else the source's own name.
        commit: of the repository, or the version of a distribution; empty where unknown.
        licence: SPDX expression where known; empty where unknown.
        source: the kind of source, ``git`` for instance.
        quality: level, 0 to 4, best last; None where unknown.
    """

    content: str
    path: str
    repository: str
    commit: str
    licence: str
    source: str
    quality: int | None = None
