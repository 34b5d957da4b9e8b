"""Building a corpus: sources → filters → exact dedup → splits → shuffle → shards, manifest."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from .document import Document
from .filters import FILTERS, is_vendored
from .holdout import is_held_out, is_validation
from .licences import is_permissive
from .shards import ShardWriter
from .shuffle import Shuffler
from .sources import Source, SourceError
from .text import UndecodableError, decode_python

MANIFEST = "corpus.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class BuildOptions:
    """What a build takes and leaves.

    Attributes:
        min_bytes: smaller files are left out.
        max_bytes: larger files are left out, unread.
        validation_share: share of the repositories that validate.
        holdout: build the evaluation side of the hold-out rule instead of the training side.
    """

    min_bytes: int = 64
    max_bytes: int = 1024 * 1024
    validation_share: float = 0.03
    holdout: bool = False


@dataclass
class _SourceCount:
    repository: str
    commit: str
    licence: str
    source: str
    split: str
    documents: int = 0
    bytes: int = 0


@dataclass
class Manifest:
    """What a corpus is made of: the content of ``corpus.json``."""

    options: BuildOptions
    sources: list[_SourceCount] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    skipped_sources: dict[str, str] = field(default_factory=dict)
    documents: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    files_seen: int = 0
    shards: list[dict[str, str | int]] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        """Plain values for ``corpus.json``."""
        return {
            "format": FORMAT_VERSION,
            "tool": f"parrotlet {metadata.version('parrotlet')}",
            "options": vars(self.options),
            "files_seen": self.files_seen,
            "documents": dict(self.documents),
            "bytes": dict(self.bytes),
            "left_out": dict(self.left_out),
            "skipped_sources": self.skipped_sources,
            "sources": [vars(source) for source in self.sources],
            "shards": self.shards,
        }


class _SeenTexts:
    """Exact duplicates by SHA-256, in a file, so that memory stays flat."""

    def __init__(self, folder: Path) -> None:
        self._connection = sqlite3.connect(folder / "seen.sqlite", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=OFF")
        self._connection.execute("PRAGMA synchronous=OFF")
        self._connection.execute("CREATE TABLE seen (digest BLOB PRIMARY KEY) WITHOUT ROWID")
        self._connection.execute("BEGIN")

    def add(self, text: str) -> bool:
        """Whether `text` (white space aside) is new."""
        digest = hashlib.sha256("".join(text.split()).encode("utf-8")).digest()
        cursor = self._connection.execute("INSERT OR IGNORE INTO seen VALUES (?)", (digest,))
        return cursor.rowcount == 1

    def close(self) -> None:
        self._connection.close()


def build_corpus(
    sources: Iterable[Source], folder: Path, options: BuildOptions, progress: bool = True
) -> Manifest:
    """Writes the corpus of `sources` into `folder` and returns its manifest.

    The folder is made aside and renamed at the end: it holds a whole corpus or none. An older
    corpus of that name is replaced.

    Raises:
        SourceError: if no document is left.
        FileExistsError: if `folder` holds something that is no corpus.
    """
    folder = folder.resolve()
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise FileExistsError(f"{folder} is not empty and holds no corpus: choose another --out")
    folder.parent.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(options)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as aside:
        out = Path(aside) / "corpus"
        with ExitStack() as stack:
            seen = stack.enter_context(closing(_SeenTexts(Path(aside))))
            names = ("holdout",) if options.holdout else ("train", "validation")
            shufflers = {
                name: stack.enter_context(closing(Shuffler(Path(aside) / name))) for name in names
            }
            bar = stack.enter_context(
                tqdm(unit="B", unit_scale=True, disable=None if progress else True, desc="corpus")
            )
            for source in sources:
                bar.set_postfix_str(source.repository[:30])
                split = _split_of(source, manifest, options)
                if split is None:
                    continue
                counted = _SourceCount(
                    source.repository, source.commit, source.licence, source.kind, split
                )
                try:
                    for document in _kept(source, manifest, options, seen, bar):
                        shufflers[split].add(document)
                        counted.documents += 1
                        counted.bytes += len(document.content.encode("utf-8"))
                except SourceError as error:
                    manifest.skipped_sources[source.repository] = str(error)
                manifest.sources.append(counted)
                manifest.documents[split] += counted.documents
                manifest.bytes[split] += counted.bytes
            for name, shuffler in shufflers.items():
                bar.set_postfix_str(f"writing {name}")
                with ShardWriter(out, name) as writer:
                    for document in shuffler.documents():
                        writer.add(document)
                manifest.shards += writer.shards
        if not manifest.shards:
            raise SourceError("no document is left: every source was empty, filtered or held out")
        text = json.dumps(manifest.to_json(), indent=1, ensure_ascii=False)
        (out / MANIFEST).write_text(text + "\n", encoding="utf-8")
        if folder.exists():
            folder.rename(Path(aside) / "replaced")
        out.rename(folder)
    return manifest


def _split_of(source: Source, manifest: Manifest, options: BuildOptions) -> str | None:
    held_out = is_held_out(source.repository)
    if held_out != options.holdout:
        reason = "held out for evaluation" if held_out else "not of the hold-out"
    elif not source.own and not is_permissive(source.licence):
        reason = f"licence not permissive: {source.licence or 'unknown'}"
    elif options.holdout:
        return "holdout"
    else:
        validates = is_validation(source.repository, options.validation_share)
        return "validation" if validates else "train"
    manifest.skipped_sources[source.repository] = reason
    return None


def _kept(
    source: Source, manifest: Manifest, options: BuildOptions, seen: _SeenTexts, bar: tqdm[NoReturn]
) -> Iterator[Document]:
    """Documents of `source` that pass every filter; the others are counted by reason."""
    for raw in source.files(options.max_bytes):
        manifest.files_seen += 1
        bar.update(len(raw.data))
        if raw.problem is not None:
            manifest.left_out[raw.problem] += 1
            continue
        if is_vendored(raw.path):
            manifest.left_out["vendored"] += 1
            continue
        if len(raw.data) < options.min_bytes:
            manifest.left_out["too small"] += 1
            continue
        try:
            text = decode_python(raw.data)
        except UndecodableError:
            manifest.left_out["not decodable"] += 1
            continue
        reason = next((name for name, drops in FILTERS.items() if drops(text)), None)
        if reason is None and not seen.add(text):
            reason = "duplicate"
        if reason is not None:
            manifest.left_out[reason] += 1
            continue
        yield Document(
            text, raw.path, source.repository, source.commit, source.licence, source.kind
        )
