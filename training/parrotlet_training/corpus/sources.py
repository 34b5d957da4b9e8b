"""Where Python comes from: folders, git repositories, installed distributions, the library."""

from __future__ import annotations

import os
import re
import stat
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import yaml

from . import git
from .document import TOO_LARGE, UNREADABLE, RawFile
from .licences import from_metadata

_SKIPPED_FOLDERS = frozenset(
    {".git", ".hg", ".tox", ".venv", "venv", "node_modules", "__pycache__"}
)


class SourceError(ValueError):
    """A source cannot be understood or read; the message says what to do."""


class Source(Protocol):
    """Something that yields the Python files of one repository.

    Attributes:
        kind: ``folder``, ``git``, ``distribution`` or ``stdlib``.
        repository: ``owner/name`` where known, else a name of its own.
        commit: commit or version; empty where unknown.
        licence: SPDX expression; empty where unknown.
        own: True if the licence does not matter, since the user owns or chose the files by path.
    """

    kind: str
    repository: str
    commit: str
    licence: str
    own: bool

    def files(self, max_bytes: int) -> Iterator[RawFile]:
        """Files ending in ``.py`` in a fixed order; those over `max_bytes` come unread."""
        ...


@dataclass
class Folder:
    """All Python files below a folder; links are not followed."""

    root: Path
    repository: str = ""
    commit: str = ""
    licence: str = ""
    kind: str = "folder"
    own: bool = True

    def __post_init__(self) -> None:
        self.repository = (
            self.repository or _enclosing_origin(self.root) or _text(self.root.resolve().name)
        )

    def files(self, max_bytes: int) -> Iterator[RawFile]:
        """See `Source.files`."""
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(name for name in folders if name not in _SKIPPED_FOLDERS)
            for name in sorted(names):
                file = Path(folder, name)
                if name.endswith(".py") and not file.is_symlink():
                    yield _read(file, _text(file.relative_to(self.root).as_posix()), max_bytes)


@dataclass
class GitRepository:
    """The Python files of one commit, read from the object store (bare or not)."""

    git_dir: Path
    repository: str = ""
    commit: str = "HEAD"
    licence: str = ""
    kind: str = "git"
    own: bool = True
    excluded: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        try:
            self.commit = git.resolve(self.git_dir, self.commit)
        except git.GitError as error:
            raise SourceError(str(error)) from error
        self.repository = self.repository or git.origin_name(self.git_dir) or self._folder_name()

    def _folder_name(self) -> str:
        path = self.git_dir.resolve()
        return path.parent.name if path.name == ".git" else path.name.removesuffix(".git")

    def files(self, max_bytes: int) -> Iterator[RawFile]:
        """See `Source.files`.

        Raises:
            SourceError: if git stops in the middle (a damaged object store).
        """
        try:
            for raw in git.python_files(self.git_dir, self.commit, max_bytes):
                if raw.path not in self.excluded:
                    yield raw
        except git.GitError as error:
            raise SourceError(str(error)) from error


@dataclass
class Distribution:
    """The Python files of an installed distribution."""

    distribution: metadata.Distribution
    repository: str = field(init=False)
    commit: str = field(init=False)
    licence: str = field(init=False)
    kind: str = "distribution"
    own: bool = False

    def __post_init__(self) -> None:
        information = self.distribution.metadata
        self.repository = repository_of(information)
        self.commit = self.distribution.version
        self.licence = from_metadata(
            _value(information, "License-Expression"),
            information.get_all("Classifier") or [],
            _value(information, "License"),
        )

    def files(self, max_bytes: int) -> Iterator[RawFile]:
        """See `Source.files`."""
        for entry in sorted(self.distribution.files or [], key=str):
            path = entry.as_posix()
            if path.endswith(".py") and not path.startswith(".."):
                yield _read(Path(str(entry.locate())), path, max_bytes)


def standard_library() -> Folder:
    """The running interpreter's library, without what is installed into it."""
    import platform

    return _Library(
        Path(sysconfig.get_path("stdlib")),
        repository="python/cpython",
        commit=platform.python_version(),
        licence="PSF-2.0",
        kind="stdlib",
        own=False,
    )


# The last two are written when the interpreter is built and hold the paths of that machine.
_NOT_LIBRARY = ("site-packages/", "dist-packages/", "_sysconfigdata", "config-")


class _Library(Folder):
    def files(self, max_bytes: int) -> Iterator[RawFile]:
        for raw in super().files(max_bytes):
            if not raw.path.startswith(_NOT_LIBRARY):
                yield raw


_GITHUB = re.compile(r"https?://(?:www\.)?github\.com/([\w.-]+)/([\w.-]+?)(?:\.git)?(?:[/#?].*)?$")
_LABELS = ("source", "repository", "code", "github", "homepage", "home")


def repository_of(information: Any) -> str:
    """``owner/name`` of a distribution from its links, else ``name/name``.

    Args:
        information: metadata as `importlib.metadata` gives it.
    """
    links: list[tuple[int, str]] = []
    for line in information.get_all("Project-URL") or []:
        label, _, link = line.partition(",")
        rank = next((i for i, word in enumerate(_LABELS) if word in label.lower()), len(_LABELS))
        links.append((rank, link.strip()))
    if information.get("Home-page"):
        links.append((_LABELS.index("homepage"), information["Home-page"].strip()))
    for _, link in sorted(links, key=lambda pair: pair[0]):
        match = _GITHUB.match(link)
        if match and match[1].lower() != "sponsors":
            return f"{match[1]}/{match[2]}"
    name = re.sub(r"[-_.]+", "-", str(information["Name"])).lower()
    return f"{name}/{name}"


def parse_source(text: str) -> list[Source]:
    """Sources of one command-line word.

    ``stdlib``; ``dist:NAME`` or ``dist:*`` (all installed); ``git:PATH[@REVISION]``;
    ``folder:PATH``; or a path: a git repository if it is one, else a folder.

    Raises:
        SourceError: if it names nothing that exists.
    """
    kind, colon, rest = text.partition(":")
    if text == "stdlib":
        return [standard_library()]
    if colon and kind == "dist":
        return _distributions(rest)
    if colon and kind == "git":
        whole = Path(rest).expanduser()
        if "@" not in rest or whole.exists():
            return [GitRepository(_git_dir(whole))]
        path, _, revision = rest.rpartition("@")
        return [GitRepository(_git_dir(Path(path).expanduser()), commit=revision)]
    root = Path(rest if colon and kind == "folder" else text).expanduser()
    if not root.is_dir():
        raise SourceError(
            f"no folder {root}: give a folder, git:PATH[@REVISION], dist:NAME, dist:* or stdlib"
        )
    if kind != "folder" and git.find_git_dir(root) is not None:
        return [GitRepository(_git_dir(root))]
    return [Folder(root)]


def read_recipe(file: Path, clones: str) -> list[Source]:
    """Sources of a corpus recipe: YAML with a list ``repositories`` and a list ``sources``.

    A repository has ``repository`` (owner/name), ``commit``, ``licence`` and perhaps ``exclude``, a
    list of paths; its clone lies where `clones` says, with ``{owner}`` and ``{name}`` filled in.
    An entry of ``sources`` is a word of `parse_source`.

    Raises:
        SourceError: if the file is malformed or a clone is missing.
    """
    try:
        recipe = yaml.safe_load(file.read_text(encoding="utf-8"))
        entries = [
            (
                str(e["repository"]),
                str(e["commit"]),
                str(e["licence"]),
                frozenset(_list(e.get("exclude", []), "exclude")),
            )
            for e in recipe.get("repositories", [])
        ]
        words = _list(recipe.get("sources", []), "sources")
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise SourceError(f"cannot read the corpus recipe {file}: {error!r}") from error
    sources: list[Source] = [source for word in words for source in parse_source(word)]
    for name, commit, licence, excluded in entries:
        owner, _, short = name.partition("/")
        try:
            path = Path(clones.format(owner=owner, name=short)).expanduser()
        except (KeyError, IndexError, ValueError) as error:
            raise SourceError(
                f"--clones {clones}: only {{owner}} and {{name}} are known"
            ) from error
        if not path.is_dir():
            raise SourceError(f"no clone of {name} at {path}: clone it there or change --clones")
        sources.append(
            GitRepository(_git_dir(path), name, commit, licence, own=False, excluded=excluded)
        )
    return sources


def _value(information: Any, name: str) -> str | None:
    found = information.get_all(name)
    return str(found[0]) if found else None


def _text(path: str) -> str:
    """A path as valid text: bytes of a name that are no UTF-8 become U+FFFD."""
    return os.fsencode(path).decode("utf-8", "replace")


def _enclosing_origin(folder: Path) -> str | None:
    """``owner/name`` of the git repository that `folder` lies in, so that the hold-out holds."""
    for place in (folder.resolve(), *folder.resolve().parents):
        git_dir = git.find_git_dir(place)
        if git_dir is not None:
            return git.origin_name(git_dir)
    return None


def _list(value: Any, name: str) -> list[str]:
    if not isinstance(value, list):
        raise TypeError(f"{name} is a list, not {value!r}")
    return [str(item) for item in value]


def _git_dir(path: Path) -> Path:
    found = git.find_git_dir(path)
    if found is None:
        raise SourceError(f"{path} is no git repository")
    return found


def _distributions(name: str) -> list[Source]:
    if name != "*":
        try:
            return [Distribution(metadata.distribution(name))]
        except (metadata.PackageNotFoundError, ValueError) as error:
            raise SourceError(f"no distribution {name} is installed here") from error
    unique = {d.metadata["Name"].lower(): d for d in metadata.distributions() if d.metadata["Name"]}
    return [
        Distribution(distribution)
        for name, distribution in sorted(unique.items())
        if name != "parrotlet"
    ]


def _read(file: Path, path: str, max_bytes: int) -> RawFile:
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            return RawFile(b"", path, UNREADABLE)
        if status.st_size > max_bytes:
            return RawFile(b"", path, TOO_LARGE)
        return RawFile(file.read_bytes(), path)
    except OSError:  # listed but gone, or not ours to read
        return RawFile(b"", path, UNREADABLE)
