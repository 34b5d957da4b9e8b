"""N-grams of the workspace's Python files, made beside the session.

They are made once a model is there, and again, of what has changed since, when a document is opened
or saved and from time to time while one types. Nothing of it is written to disk.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from parrotlet_server.engine.recall import LARGEST_VOCABULARY, MOST_FILES, Ngrams, Tokens
from parrotlet_tokenizer import CodeTokenizer

from .documents import Documents, path_of, plain
from .files import LARGEST, Files, View, on_disk
from .worker import in_thread

logger = logging.getLogger(__name__)

MOST_TOKENS = 1_000_000
"""In all, some 4 MB of Python and 14 MB of memory; nearer files come first."""

MOST_ENTRIES = 50_000
"""Entries of folders that are looked at: somebody may open the root of a disk."""

SOON, LATE = 5.0, 30.0
"""Seconds between two looks: at least, and at most while one types."""

_PIECE = 4_000
"""Characters that are tokenised at a time: the interpreter is held up for some 2 ms."""

_SKIPPED = {"__pycache__", "node_modules", "site-packages"}
_ENVIRONMENT = "pyvenv.cfg"

_Stamp = tuple[int, int]


@dataclass(frozen=True)
class Snapshot:
    """The workspace as it was.

    Attributes:
        ngrams: of its files.
        numbers: of the files in them, by path.
        tokens: of all of them.
    """

    ngrams: Ngrams = field(default_factory=lambda: Ngrams([]))
    numbers: Mapping[str, int] = field(default_factory=dict)
    tokens: int = 0


class Library:
    """Keeps a `Snapshot` of the workspace in step with its files.

    Attributes:
        snapshot: the newest; None before there is one.
    """

    def __init__(self, documents: Documents, folders: Callable[[], list[str]]) -> None:
        """Of the files below `folders`, which gives URIs, and of `documents`."""
        self.snapshot: Snapshot | None = None
        self._documents = documents
        self._folders = folders
        self._files = Files(kept=0)
        self._kept: dict[str, tuple[_Stamp, Tokens]] = {}
        self._task: asyncio.Task[None] | None = None
        self._looked = -math.inf
        self._era = 0  # of tokenizer and settings

    def forget(self) -> None:
        """Drops all, since another model or other settings apply."""
        self._era += 1
        self.snapshot = None
        self._kept = {}
        self._looked = -math.inf

    def look(self, tokenizer: CodeTokenizer, exclude: tuple[str, ...], after: float) -> None:
        """Looks at the files again, unless that was done less than `after` seconds ago."""
        now = time.monotonic()
        if now - self._looked < after or (self._task is not None and not self._task.done()):
            return
        if tokenizer.vocabulary_size > LARGEST_VOCABULARY:
            return
        self._looked = now
        self._task = asyncio.create_task(self._renew(tokenizer, exclude))

    async def _renew(self, tokenizer: CodeTokenizer, exclude: tuple[str, ...]) -> None:
        era = self._era
        folders = [path_of(folder) for folder in self._folders() if folder]
        texts = {
            path_of(document.uri): plain(document.text)
            for document in self._documents
            if document.is_python
        }
        texts = {path: text for path, text in texts.items() if len(text) <= LARGEST}
        view = View(self._files, folders, exclude, texts)
        kept, old = self._kept, self.snapshot

        def work() -> tuple[dict[str, tuple[_Stamp, Tokens]], Snapshot]:
            found = _tokenised(view, texts, kept, tokenizer, lambda: era != self._era)
            if old is not None and _same(found, kept):
                return found, old
            return found, _snapshot({path: tokens for path, (_, tokens) in found.items()})

        try:
            found, snapshot = await in_thread(work)
        except Exception as error:
            logger.error("no n-grams of the workspace: %s: %s", type(error).__name__, error)
            logger.debug("looking at the workspace failed", exc_info=True)
            return
        if era == self._era:
            self._kept, self.snapshot = found, snapshot
        self._looked = time.monotonic()


def _same(one: Mapping[str, tuple[_Stamp, Tokens]], other: Mapping[str, object]) -> bool:
    return one.keys() == other.keys() and all(one[path] is other[path] for path in one)


def _snapshot(files: Mapping[str, Tokens]) -> Snapshot:
    numbers = {path: number for number, path in enumerate(files)}
    ngrams = Ngrams((numbers[path], tokens) for path, tokens in files.items())
    return Snapshot(ngrams, numbers, sum(map(len, files.values())))


def _tokenised(
    view: View,
    texts: Mapping[str, str],
    kept: Mapping[str, tuple[_Stamp, Tokens]],
    tokenizer: CodeTokenizer,
    stopped: Callable[[], bool],
) -> dict[str, tuple[_Stamp, Tokens]]:
    """Tokens of the files, those nearest to open documents first, as far as there is room."""
    found: dict[str, tuple[_Stamp, Tokens]] = {}
    room = MOST_TOKENS
    stamps = dict(_python_files(view.folders))
    for path in _nearest(stamps.keys() | texts.keys(), texts):
        if room <= 0 or len(found) == MOST_FILES or stopped():
            break
        stamp = (-1, hash(texts[path])) if path in texts else stamps[path]
        known = kept.get(path)
        if known is None or known[0] != stamp:
            began = time.monotonic()
            text = view.read(path)
            if text is None or len(text) > LARGEST:
                continue
            known = (stamp, _encode(tokenizer, text, stopped))
            time.sleep(time.monotonic() - began)  # half of a processor is left to others
        found[path] = known
        room -= len(known[1])
    return found


def _encode(tokenizer: CodeTokenizer, text: str, stopped: Callable[[], bool]) -> Tokens:
    parts, at = [np.empty(0, np.uint16)], 0
    while at < len(text) and not stopped():
        end = text.find("\n\n", at + _PIECE)
        end = len(text) if end < 0 else end
        parts.append(np.array(tokenizer.encode(text[at:end]), np.uint16))
        at = end
    return np.concatenate(parts)


def _nearest(paths: Iterable[str], texts: Iterable[str]) -> list[str]:
    """`paths`, those first that share most folders with one of `texts`."""
    near: dict[str, int] = {}
    for text in texts:
        folders = text.split("/")[:-1]
        near.update({"/".join(folders[:size]): size for size in range(1, len(folders) + 1)})

    def depth(path: str) -> int:
        folder = path.rpartition("/")[0]
        while folder and folder not in near:
            folder = folder.rpartition("/")[0]
        return near.get(folder, 0)

    return sorted(paths, key=lambda path: (-depth(path), path))


def _python_files(folders: Iterable[str]) -> Iterator[tuple[str, _Stamp]]:
    """Paths of Python files below `folders`, with time of change and size.

    Hidden folders, virtual environments and installed packages are none of the workspace.
    """
    left = MOST_ENTRIES
    waiting = [folder for folder in reversed(list(folders)) if folder]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(on_disk(folder)) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            continue
        left -= len(listed)
        if left < 0:
            return
        if any(entry.name == _ENVIRONMENT for entry in listed):
            continue
        inner = []
        for entry in listed:
            path = f"{folder}/{entry.name}"
            try:
                if entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith(".") and entry.name not in _SKIPPED:
                        inner.append(path)
                elif entry.name.endswith((".py", ".pyi")):
                    status = entry.stat()
                    yield path, (status.st_mtime_ns, status.st_size)
            except OSError:
                continue
        waiting += reversed(inner)
