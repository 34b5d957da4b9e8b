"""The Python files of the workspace, to be read beside the event loop."""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path

from .documents import below, plain
from .exclusion import holds_secrets, is_excluded

LARGEST = 100_000
"""Bytes; a larger file is left out: to parse it would hold up all else for tens of milliseconds."""

_KEPT = 128


class Files:
    """Texts of files, each kept until its time of change or its size is another."""

    def __init__(self, kept: int = _KEPT) -> None:
        """Starts with none; keeps up to `kept` texts."""
        self._most = kept
        self._kept: OrderedDict[str, tuple[tuple[int, int], str | None]] = OrderedDict()

    def read(self, path: str) -> str | None:
        """The text of the file; None where there is none, it is no text or too large.

        It is one thread's at a time.
        """
        file = Path(on_disk(path))
        try:
            status = file.stat()
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(status.st_mode):
            return None  # a pipe would be waited for
        stamp = (status.st_mtime_ns, status.st_size)
        kept = self._kept.pop(path, None)
        if kept is None or kept[0] != stamp:
            kept = (stamp, _text(file) if status.st_size <= LARGEST else None)
        self._kept[path] = kept
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return kept[1]


class View:
    """What of the workspace may enter a prompt, as it is at one moment.

    Attributes:
        folders: paths of the workspace's folders.
    """

    def __init__(
        self,
        files: Files,
        folders: Iterable[str],
        exclude: tuple[str, ...],
        texts: Mapping[str, str],
    ) -> None:
        """Reads `files` below `folders`; `texts` are those of open documents, by path."""
        self.folders = [folder.rstrip("/") for folder in folders if folder]
        self._files = files
        self._exclude = exclude
        self._texts = texts

    def read(self, path: str) -> str | None:
        """The text of a Python file; None if there is none or it must not be shown."""
        if not path.endswith((".py", ".pyi")) or not self.shows(path):
            return None
        real = real_path(path)  # a link may lead to what must not be shown, or out of the workspace
        if real != path and not (real and self.shows(real)):
            return None
        if path in self._texts:
            return self._texts[path]
        if below(path, self.folders) is None:
            return None
        if real != path and below(real, [*self.folders, *map(real_path, self.folders)]) is None:
            return None
        return self._files.read(path)

    def shows(self, path: str) -> bool:
        """Whether neither rules nor the user keep the file from being shown to the model."""
        inside = below(path, self.folders)
        shown = path if inside is None else inside
        return not holds_secrets(path) and not is_excluded(shown, self._exclude)

    def told(self, path: str) -> str:
        """The path as the model is told it."""
        return below(path, self.folders) or path.rsplit("/", 1)[-1]


def real_path(path: str) -> str:
    """The path without links; "" for one that no system has."""
    try:
        real = os.path.realpath(on_disk(path)).replace(os.sep, "/")
    except (OSError, ValueError):
        return ""
    return real if real.startswith("/") else f"/{real}"


def on_disk(path: str) -> str:
    """A URI's path as the system spells it: Windows' begin with a drive."""
    if os.name != "nt" or not path.startswith("/"):
        return path
    return path[1:] + "/" if path.endswith(":") else path[1:]


def _text(file: Path) -> str | None:
    try:
        with file.open("rb") as stream:
            return plain(stream.read(LARGEST + 1).decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError):
        return None
