"""What all sources have in common."""

from __future__ import annotations

import hashlib
import os
import stat
import tokenize
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Protocol, runtime_checkable

from ..document import TOO_LARGE, UNREADABLE, RawFile

MALFORMED = "malformed record"
NOT_PYTHON = "not a .py file"
UNSAFE_PATH = "unsafe path"
UNREADABLE_FOLDER = "unreadable folder"
TRUNCATED = "truncated shard"

DETECT = "detect"
"""As a licence: look at the licence files."""


class SourceError(ValueError):
    """A source cannot be understood or read; the message says what to do."""


class Source(Protocol):
    """Something that yields Python files, of one repository or (`many`) of many repositories.

    Attributes:
        kind: ``folder``, ``git``, ``distribution``, ``stdlib``, ``pypi``, ``archive``, ``hub`` or
            ``bigquery``.
        repository: ``owner/name`` where known, else a name of its own.
        commit: commit or version; empty where unknown.
        licence: SPDX expression; empty where unknown.
        own: True if the licence does not matter, since the user owns or chose the files by path.
        many: True if each file carries its own repository and licence: hold-out, licence and
            split are then decided file by file.
        warnings: after `files` has ended: lines for the user, such as an exclusion of what is not
            there.
    """

    kind: str
    repository: str
    commit: str
    licence: str
    own: bool
    many: bool
    warnings: list[str]

    def files(self, max_bytes: int) -> Iterator[RawFile]:
        """Files ending in ``.py`` in a fixed order; those over `max_bytes` come unread."""
        ...


@runtime_checkable
class Changing(Protocol):
    """A source whose files may change while its name and commit stay."""

    def state(self) -> str:
        """What is another where the files are others."""
        ...


def state_of(files: Iterable[Path]) -> str:
    """A hash of the names, sizes and times of files; one that is gone has none."""
    digest = hashlib.sha256()
    for file in files:
        try:
            status = file.stat()
            seen = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:
            seen = "gone"
        digest.update(f"{os.fsencode(file)!r} {seen}\n".encode())
    return digest.hexdigest()


class Excluded:
    """Paths of files, or of folders with all that is in them, that a source leaves out."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = sorted({path.rstrip("/") for path in paths})
        self._found: set[str] = set()

    def __contains__(self, path: str) -> bool:
        hits = [entry for entry in self._paths if path == entry or path.startswith(f"{entry}/")]
        self._found.update(hits)
        return bool(hits)

    def warnings(self, repository: str) -> list[str]:
        """Says which of them no path has met yet."""
        missed = (path for path in self._paths if path not in self._found)
        return [f"{repository}: nothing to exclude at {path}" for path in missed]


def without(files: Iterable[RawFile], excluded: Excluded) -> Iterator[RawFile]:
    """`files` but the excluded ones."""
    for raw in files:
        if raw.path not in excluded:
            yield raw


def valid_text(path: str) -> str:
    """A path as valid text: bytes of a name that are no UTF-8 become U+FFFD."""
    return os.fsencode(path).decode("utf-8", "replace")


def is_safe_path(path: str) -> bool:
    """Whether a path from elsewhere stays below its repository."""
    parts = path.replace("\\", "/").split("/")
    return bool(path) and "\0" not in path and parts[0] != "" and ".." not in parts


def python_bytes(text: str) -> bytes:
    """A Python file's bytes from its text, in the encoding that the file itself declares.

    Raises:
        UnicodeEncodeError: if the text holds lone surrogates.
    """
    data = text.encode("utf-8")
    try:
        encoding, _ = tokenize.detect_encoding(BytesIO(data).readline)
        return data if encoding.startswith("utf-8") else text.encode(encoding)
    except (SyntaxError, UnicodeError, LookupError):
        return data  # and let the decoder refuse it


def read_file(file: Path, path: str, max_bytes: int) -> RawFile:
    """A regular file of this machine, called `path` in its repository."""
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            return RawFile(b"", path, UNREADABLE)
        if status.st_size > max_bytes:
            return RawFile(b"", path, TOO_LARGE)
        return RawFile(file.read_bytes(), path)
    except OSError:  # listed but gone, or not ours to read
        return RawFile(b"", path, UNREADABLE)


def record(
    text: object, path: object, repository: object, licence: str, commit: str, max_bytes: int
) -> RawFile:
    """A file of a data set whose rows may hold anything."""
    named = path if isinstance(path, str) else ""
    if not isinstance(text, str) or not isinstance(path, str) or not isinstance(repository, str):
        return RawFile(b"", named, MALFORMED)
    problem = None
    if not is_safe_path(path):
        problem = UNSAFE_PATH
    elif not path.endswith(".py"):
        problem = NOT_PYTHON
    elif not repository:
        problem = MALFORMED
    elif len(text) > max_bytes:
        problem = TOO_LARGE
    data = b""
    if problem is None:
        try:
            data = python_bytes(text)
        except UnicodeEncodeError:
            problem = MALFORMED
        if len(data) > max_bytes:
            data, problem = b"", TOO_LARGE
    return RawFile(data, path, problem, repository, licence, commit)
