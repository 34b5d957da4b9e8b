"""Documents in an order that has nothing to do with where they came from.

A trainer reads a shard from its beginning, so neighbours in it stand together in a batch. In the
order of the sources these would be files of one repository, and the model would learn that one,
then forget it over the next.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from .document import Document

BUCKETS = 128
"""Memory holds one bucket at a time: a hundredth of the corpus."""


class Shuffler:
    """Takes documents and gives them back by the hash of their name, through files in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._stack = ExitStack()
        self._open: dict[int, BinaryIO] = {}

    def add(self, document: Document) -> None:
        """Takes one more document."""
        key = _key(document)
        bucket = int.from_bytes(key[:8], "big") % BUCKETS
        if bucket not in self._open:
            file = self._stack.enter_context(self._path(bucket).open("wb"))
            self._open[bucket] = file
        line = json.dumps([key.hex(), asdict(document)], ensure_ascii=False)
        self._open[bucket].write(line.encode("utf-8") + b"\n")

    def documents(self) -> Iterator[Document]:
        """All that were added, in the order of their hashes inside each bucket; once."""
        self._stack.close()
        for bucket in sorted(self._open):
            path = self._path(bucket)
            with path.open("rb") as file:
                lines = sorted(file)
            path.unlink()
            for line in lines:
                yield Document(**json.loads(line)[1])

    def close(self) -> None:
        """Closes the files; the folder is its owner's to remove."""
        self._stack.close()

    def _path(self, bucket: int) -> Path:
        return self._folder / f"{bucket:03d}.jsonl"


def _key(document: Document) -> bytes:
    name = f"{document.repository}\0{document.commit}\0{document.path}"
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
