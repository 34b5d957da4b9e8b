"""The folder of shards that an adaptation trains on and is scored on."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from ..corpus.document import Document
from ..corpus.manifest import FORMAT_VERSION, MANIFEST
from ..corpus.shards import ShardWriter
from .code import Material, rounds

OWN = "validation"
"""Split of one's own held-out files: what the training loop evaluates on."""

BOUND = "bound"
"""Split of general Python by which the share of what was learnt is chosen."""

GENERAL = "general"
"""Split of general Python that nothing is chosen by."""


def write_corpus(folder: Path, material: Material, share: float, train_bytes: int) -> None:
    """Writes ``train``, `OWN`, `BOUND` and `GENERAL` aside and renames the folder at the end.

    Args:
        folder: an older one is replaced.
        material: documents.
        share: of general Python in ``train``.
        train_bytes: of ``train``.

    Raises:
        OSError: if the disk is full, say.
    """
    aside = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    contents: dict[str, Iterable[Document]] = {
        "train": rounds(material.own, material.general, share, train_bytes),
        OWN: material.held_out,
        BOUND: material.general_bound,
        GENERAL: material.general_held_out,
    }
    shards: list[dict[str, str | int]] = []
    documents: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    levels: Counter[str] = Counter()
    repositories: Counter[str] = Counter()
    for split, content in contents.items():
        with ShardWriter(aside, split) as writer:
            for document in content:
                writer.add(document)
                documents[split] += 1
                sizes[split] += len(document.content.encode())
                levels["unknown" if document.quality is None else str(document.quality)] += 1
                repositories[document.repository] += split == "train"
        shards += writer.shards
    manifest: dict[str, Any] = {
        "format": FORMAT_VERSION,
        "tool": f"parrotlet {metadata.version('parrotlet')}",
        "documents": documents,
        "bytes": sizes,
        "quality": levels,
        "sources": [
            {"repository": name, "documents": count} for name, count in repositories.items()
        ],
        "shards": shards,
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    (aside / MANIFEST).write_text(text + "\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)
