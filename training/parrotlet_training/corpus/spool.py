"""Documents between the stages of a build: numbered, on disk, resumable.

A spool is a folder. Texts lie in buckets by the leading bits of their key, a hash of where they
came from, so that going through the buckets in turn gives an order that has nothing to do with the
sources: a trainer reads a shard from its beginning, and neighbours in it stand together in a batch.
What is known of each document beside its text lies in an index of fixed-size rows. `commit` says
how far all of it is whole; what an interrupted build wrote after that is cut off on opening.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

BUCKETS = 256
"""Memory holds one bucket at a time when the shards are written: 1/256 of the corpus."""

INDEX = np.dtype(
    [
        ("key", "<u8"),  # order of the corpus; the first eight bytes of a hash of the origin
        ("digest", "<u8", (2,)),  # of the text without white space
        ("offset", "<u8"),  # of the line in its bucket
        ("length", "<u4"),  # of the line
        ("bytes", "<u4"),  # of the text in UTF-8
        ("origin", "<u4"),  # row of the table of origins
        ("quality", "i1"),  # level, -1 where unknown
    ]
)

_STATE = "state.json"


@dataclass(frozen=True)
class Origin:
    """Where documents came from and which split they fall to.

    Attributes:
        repository: ``owner/name`` where known.
        commit: of the repository, or the version of a distribution; empty where unknown.
        licence: SPDX expression; empty where unknown.
        source: the kind of source.
        split: ``train``, ``validation``, ``holdout``, or ``reference`` for documents that only
            push their copies out.
    """

    repository: str
    commit: str
    licence: str
    source: str
    split: str


@dataclass(frozen=True)
class Entry:
    """A document on its way into a spool."""

    origin: Origin
    path: str
    text: str
    digest: bytes
    quality: int | None


def key_of(origin: Origin, path: str) -> int:
    """64 bits that place a document among all, whatever the order of the sources."""
    name = f"{origin.repository}\0{origin.commit}\0{origin.source}\0{path}"
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8], "big")


class Spool:
    """One writer's documents; several processes have one each."""

    def __init__(self, folder: Path) -> None:
        """Opens `folder`, made if need be, at its last commit."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._stack = ExitStack()
        self._files: dict[str, BinaryIO] = {}
        self._origins: dict[Origin, int] = {}
        state = folder / _STATE
        content = json.loads(state.read_text(encoding="utf-8")) if state.is_file() else {}
        self.progress: dict[str, Any] = content.get("progress", {})
        sizes: Mapping[str, int] = content.get("sizes", {})
        buckets = folder.glob("bucket-*.jsonl")
        for file in (*buckets, folder / "index.bin", folder / "origins.jsonl"):
            if file.exists():
                with file.open("r+b") as handle:
                    handle.truncate(sizes.get(file.name, 0))
        for origin in self.origins():
            self._origins[origin] = len(self._origins)
        self._count = sizes.get("index.bin", 0) // INDEX.itemsize

    def __len__(self) -> int:
        return self._count

    def add(self, entry: Entry) -> int:
        """Takes one more document and returns its number."""
        if entry.origin not in self._origins:
            self._origins[entry.origin] = len(self._origins)
            line = json.dumps(asdict(entry.origin), ensure_ascii=False)
            self._append("origins.jsonl", line.encode("utf-8") + b"\n")
        key = key_of(entry.origin, entry.path)
        text = json.dumps([entry.path, entry.text], ensure_ascii=False).encode("utf-8") + b"\n"
        row = np.zeros(1, INDEX)
        row["key"] = key
        row["digest"] = np.frombuffer(entry.digest[:16], "<u8")
        row["offset"] = self._append(_bucket_name(key), text)
        row["length"] = len(text)
        row["bytes"] = len(entry.text.encode("utf-8"))
        row["origin"] = self._origins[entry.origin]
        row["quality"] = -1 if entry.quality is None else entry.quality
        self._append("index.bin", row.tobytes())
        self._count += 1
        return self._count - 1

    def commit(self, progress: dict[str, Any]) -> None:
        """Makes all that was added, and `progress`, outlive an interruption from now on."""
        self.progress = progress
        sizes = {}
        for name, file in self._files.items():
            file.flush()
            sizes[name] = file.tell()
        state = self.folder / _STATE
        if state.is_file():
            before = json.loads(state.read_text(encoding="utf-8"))["sizes"]
            sizes = {**before, **sizes}
        aside = state.with_suffix(".tmp")
        aside.write_text(json.dumps({"progress": progress, "sizes": sizes}), encoding="utf-8")
        aside.replace(state)

    def close(self) -> None:
        """Closes the files; what came after the last `commit` is lost on the next opening."""
        self._stack.close()
        self._files.clear()

    def index(self) -> NDArray[np.void]:
        """What is known of all documents but their texts, shape (documents,), dtype `INDEX`."""
        self._flush()
        file = self.folder / "index.bin"
        if not self._count:
            return np.empty(0, INDEX)
        return np.memmap(file, INDEX, "r", shape=(self._count,))

    def origins(self) -> list[Origin]:
        """The table that the index's ``origin`` points into."""
        self._flush()
        file = self.folder / "origins.jsonl"
        if not file.is_file():
            return []
        with file.open("rb") as lines:
            return [Origin(**json.loads(line)) for line in lines]

    def texts(self, numbers: Iterable[int]) -> list[str]:
        """Texts by number; each bucket is read from front to back."""
        wanted = np.asarray(list(numbers), np.int64)
        rows = self.index()[wanted]
        found: list[str] = [""] * len(wanted)
        buckets = rows["key"] >> np.uint64(56)
        order = np.lexsort((rows["offset"], buckets))
        with ExitStack() as stack:
            current = -1
            file: BinaryIO | None = None
            for place in order:
                bucket = int(buckets[place])
                if bucket != current or file is None:
                    stack.close()
                    current = bucket
                    file = stack.enter_context((self.folder / _file_of(bucket)).open("rb"))
                file.seek(int(rows["offset"][place]))
                found[place] = json.loads(file.read(int(rows["length"][place])))[1]
        return found

    def bucket(self, bucket: int, numbers: NDArray[np.int64]) -> Iterator[tuple[int, str, str]]:
        """Documents of one bucket as (number, path, text), `numbers` being those wanted of it."""
        rows = self.index()[numbers]
        with (self.folder / _file_of(bucket)).open("rb") as file:
            for place in np.argsort(rows["offset"]):
                file.seek(int(rows["offset"][place]))
                path, text = json.loads(file.read(int(rows["length"][place])))
                yield int(numbers[place]), path, text

    def _append(self, name: str, data: bytes) -> int:
        if name not in self._files:
            opened = (self.folder / name).open("ab")
            self._files[name] = self._stack.enter_context(opened)
        file = self._files[name]
        offset = file.tell()
        file.write(data)
        return offset

    def _flush(self) -> None:
        for file in self._files.values():
            file.flush()


def _file_of(bucket: int) -> str:
    return f"bucket-{bucket:03d}.jsonl"


def _bucket_name(key: int) -> str:
    return _file_of(key >> 56)
