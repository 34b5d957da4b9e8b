"""N-grams of the workspace's Python files, made beside the session.

The files are looked at when something is first completed, opened or saved with a model there, and
again, for what has changed since, at each of the latter and from time to time while one types.
Nothing of it is written to disk.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from parrotlet_server.engine.filters.names import names_in
from parrotlet_server.engine.recall import LARGEST_VOCABULARY, MOST_FILES, Ngrams, Tokens, encode
from parrotlet_tokenizer import CodeTokenizer

from .documents import Documents, below, path_of, plain
from .files import LARGEST, Files, View, on_disk, real_path
from .worker import in_thread

logger = logging.getLogger(__name__)

MOST_TOKENS = 1_000_000
"""In all, some 4 MB of Python; nearer files come first. They take 14 MB, and three times as much
for the moment in which they are sorted anew."""

MOST_ENTRIES = 50_000
"""Entries of folders that are looked at: somebody may open the root of a disk."""

MOST_IN_FOLDER = 5_000
"""Entries of one folder: one with more holds data."""

SOON, LATE = 5.0, 30.0
"""Seconds between two looks: at least, and at most while one types."""

_SKIPPED = {"__pycache__", "node_modules", "site-packages"}
_BUILT = {"build", "dist"}
_PROJECT = {"pyproject.toml", "setup.py"}
_ENVIRONMENT = {"pyvenv.cfg", "conda-meta"}

Stamp = tuple[int, int]


@dataclass(frozen=True)
class Snapshot:
    """The workspace as it was.

    Attributes:
        ngrams: of its files.
        numbers: of the files in them, by their real paths.
        tokens: of all of them.
    """

    ngrams: Ngrams
    numbers: Mapping[str, int]
    tokens: int


@dataclass(frozen=True)
class _File:
    """What is kept of a file.

    Attributes:
        stamp: time of change and size, or something else that changes with the text.
        tokens: None of one that does not count.
        names: that stand in it.
    """

    stamp: Stamp
    tokens: Tokens | None
    names: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Terms:
    """What a look holds for; another model, other rules or folders begin anew."""

    tokenizer: CodeTokenizer
    exclude: tuple[str, ...]
    folders: tuple[str, ...]


@dataclass
class WorkspaceNgrams:
    """Keeps a `Snapshot` of the workspace in step with its files.

    Attributes:
        documents: that are open; their text counts in place of the file's.
        folders: gives the URIs of the workspace's folders.
        snapshot: the newest; None before there is one.
    """

    documents: Documents
    folders: Callable[[], list[str]]
    snapshot: Snapshot | None = None
    _terms: _Terms | None = None
    _kept: dict[str, _File] = field(default_factory=dict)
    _real: dict[str, str] = field(default_factory=dict)
    _task: asyncio.Task[None] | None = None
    _again: asyncio.TimerHandle | None = None
    _looked: float = -math.inf
    _era: int = 0  # of the terms

    def forget(self) -> None:
        """Drops all; what is being looked at counts no more."""
        self._era += 1
        self.snapshot = self._terms = None
        self._kept, self._real = {}, {}
        self._looked = -math.inf
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def number(self, path: str) -> int | None:
        """Of a file in the snapshot; None where it is not among its files."""
        if self.snapshot is None:
            return None
        if path not in self._real:
            self._real[path] = real_path(path) or path
        return self.snapshot.numbers.get(self._real[path])

    def look(self, tokenizer: CodeTokenizer, exclude: tuple[str, ...], after: float) -> None:
        """Looks at the files again.

        Args:
            tokenizer: the model's.
            exclude: patterns of files that do not count.
            after: seconds since the last look, before which this one waits (`SOON`) or is none.
        """
        if tokenizer.vocabulary_size > LARGEST_VOCABULARY:
            return
        terms = _Terms(tokenizer, exclude, tuple(path_of(one) for one in self.folders() if one))
        if terms != self._terms:
            self.forget()
            self._terms = terms
        left = self._looked + after - time.monotonic()
        busy = self._task is not None and not self._task.done()
        if not busy and left <= 0:
            self._looked = time.monotonic()
            self._task = asyncio.create_task(self._renew(terms, self._era))
        elif after == SOON and self._again is None:
            self._again = asyncio.get_running_loop().call_later(
                max(left, SOON), self._look_again, terms
            )

    def _look_again(self, terms: _Terms) -> None:
        self._again = None
        self.look(terms.tokenizer, terms.exclude, SOON)

    async def _renew(self, terms: _Terms, era: int) -> None:
        texts = {
            document.path: plain(document.text)
            for document in self.documents
            if document.is_python and document.is_file
        }
        texts = {path: text for path, text in texts.items() if len(text) <= LARGEST}
        view = View(Files(kept=0), terms.folders, terms.exclude, texts)
        kept, old = self._kept, self.snapshot

        def work() -> tuple[dict[str, _File], Snapshot]:
            found = _read(view, texts, kept, terms.tokenizer, lambda: era != self._era)
            same = found.keys() == kept.keys() and all(found[one] is kept[one] for one in found)
            return found, old if old is not None and same else _snapshot(found)

        try:
            found, snapshot = await in_thread(work)
        except Exception as error:
            logger.error("no n-grams of the workspace: %s: %s", type(error).__name__, error)
            logger.debug("looking at the workspace failed", exc_info=True)
            return
        if era == self._era:
            self._kept, self.snapshot, self._real = found, snapshot, {}
            self._looked = time.monotonic()


def _snapshot(files: Mapping[str, _File]) -> Snapshot:
    counted = [(path, file) for path, file in files.items() if file.tokens is not None]
    numbers = {path: number for number, (path, _) in enumerate(counted)}
    tokens = [file.tokens for _, file in counted if file.tokens is not None]
    names = frozenset[str]().union(*(file.names for _, file in counted))
    return Snapshot(Ngrams(enumerate(tokens), names), numbers, sum(map(len, tokens)))


def _read(
    view: View,
    texts: Mapping[str, str],
    kept: Mapping[str, _File],
    tokenizer: CodeTokenizer,
    stopped: Callable[[], bool],
) -> dict[str, _File]:
    """The files by their real paths, those nearest to open documents first, as far as they fit."""
    found: dict[str, _File] = {}
    stamps = dict(_python_files(view.folders, texts, stopped))
    stamps |= {path: (-1, hash(text)) for path, text in texts.items()}
    room = MOST_TOKENS
    # an open document counts before the file, whatever way leads to it
    for path in sorted(_nearest(stamps, texts), key=lambda path: path not in texts):
        if room <= 0 or len(found) == MOST_FILES or stopped():
            break
        real = real_path(path) or path
        if real in found:
            continue
        file = kept.get(real)
        if file is None or file.stamp != stamps[path]:
            began = time.monotonic()
            text = view.read(path)
            if text is None or len(text) > LARGEST:
                file = _File(stamps[path], None)
            else:
                file = _File(stamps[path], encode(tokenizer, text), frozenset(names_in(text)))
            time.sleep(time.monotonic() - began)  # half of a processor is left to others
        found[real] = file
        room -= 0 if file.tokens is None else len(file.tokens)
    return found


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


def _python_files(
    folders: Iterable[str], texts: Iterable[str], stopped: Callable[[], bool]
) -> Iterator[tuple[str, Stamp]]:
    """Paths of Python files below `folders`, with time of change and size.

    The folders of `texts` come first, then from the top down. Hidden folders, virtual environments,
    what was built and installed packages are none of the workspace.
    """
    roots = [folder for folder in folders if folder]
    inside = [text for text in texts if below(text, roots) is not None]
    waiting = deque(dict.fromkeys([*(text.rpartition("/")[0] for text in inside), *roots]))
    seen: set[str] = set()
    left = MOST_ENTRIES
    while waiting and left > 0 and not stopped():
        folder = waiting.popleft()
        if folder in seen:
            continue
        seen.add(folder)
        try:
            with os.scandir(on_disk(folder)) as entries:
                listed = list(islice(entries, MOST_IN_FOLDER + 1))
        except (OSError, ValueError):  # ValueError: no system has such a path
            continue
        left -= len(listed)
        names = {entry.name for entry in listed}
        if len(listed) > MOST_IN_FOLDER or (folder not in roots and names & _ENVIRONMENT):
            continue
        skipped = _SKIPPED | _BUILT if names & _PROJECT else _SKIPPED
        for entry in sorted(listed, key=lambda entry: entry.name):
            path = f"{folder.rstrip('/')}/{entry.name}"
            try:
                if entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith(".") and entry.name not in skipped:
                        waiting.append(path)
                elif entry.name.endswith((".py", ".pyi")) and entry.is_file():
                    status = entry.stat()
                    yield path, (status.st_mtime_ns, status.st_size)
            except OSError:
                continue
