"""A repository in an archive: ``.zip``, ``.tar``, ``.tar.gz``, ``.tar.bz2``, ``.tar.xz``."""

from __future__ import annotations

import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..document import TOO_LARGE, UNREADABLE, RawFile
from ..licences import MAX_LICENCE_BYTES, detect, is_licence_file
from .base import DETECT, UNSAFE_PATH, Excluded, SourceError, state_of, valid_text, without

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

_MOST_FILES = 1_000_000
_MOST_GROWTH = 200  # real archives of source grow by about 5
_ALWAYS_READ = 16 << 20
_DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile)


def is_archive(path: Path) -> bool:
    """Whether the name is one of an archive that `Archive` reads."""
    return path.name.lower().endswith(SUFFIXES)


@dataclass
class Archive:
    """The Python files of an archive, read in place: nothing is unpacked to disk.

    A folder that holds all the rest (as forges make them) is no part of the paths. The commit is
    the one that ``git archive`` writes into an archive, unless it is given.
    """

    file: Path
    repository: str = ""
    commit: str = ""
    licence: str = ""
    kind: str = "archive"
    own: bool = True
    excluded: tuple[str, ...] = ()
    many: bool = False
    warnings: list[str] = field(default_factory=list)
    _top: str = field(init=False, default="")

    def __post_init__(self) -> None:
        names, texts = [], {}
        try:
            with _opened(self.file) as members:
                self.commit = self.commit or members.commit
                for name, raw in members.read(_is_licence_anywhere, MAX_LICENCE_BYTES):
                    names.append(name)
                    if raw is not None and raw.data:
                        texts[name] = raw.data.decode("utf-8", "replace")
        except _DAMAGE as error:
            raise SourceError(f"{self.file} is truncated or no archive: {error}") from error
        tops = {name.partition("/")[0] for name in names}
        if len(tops) == 1 and all("/" in name for name in names):
            self._top = f"{tops.pop()}/"
        if self.licence == DETECT:
            inside = {name.removeprefix(self._top): text for name, text in texts.items()}
            self.licence = detect({n: text for n, text in inside.items() if is_licence_file(n)})
        self.repository = self.repository or _stem(self.file)

    def state(self) -> str:
        """See `Changing.state`."""
        return state_of([self.file])

    def files(self, max_bytes: int) -> Iterator[RawFile]:
        """See `Source.files`.

        Raises:
            SourceError: if the archive is damaged, or grows like a bomb.
        """
        excluded = Excluded(self.excluded)
        yield from without(self._files(max_bytes), excluded)
        self.warnings = excluded.warnings(self.repository)

    def _files(self, max_bytes: int) -> Iterator[RawFile]:
        found: RawFile | None
        try:
            with _opened(self.file) as members:
                for name, found in members.read(lambda n: n.endswith(".py"), max_bytes):
                    if found is not None:
                        yield RawFile(found.data, name.removeprefix(self._top), found.problem)
        except _DAMAGE as error:
            raise SourceError(f"{self.file} is damaged: {error}") from error


def _is_licence_anywhere(name: str) -> bool:
    return is_licence_file(name) or is_licence_file(name.partition("/")[2])


def _stem(file: Path) -> str:
    name = valid_text(file.name)
    suffix = max((s for s in SUFFIXES if name.lower().endswith(s)), key=len, default="")
    return name[: len(name) - len(suffix)]


class _Members:
    """Members of an archive in its own order."""

    commit = ""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._left = _MOST_GROWTH * file.stat().st_size + _ALWAYS_READ
        self._count = 0

    def __enter__(self) -> _Members:
        return self

    def __exit__(self, *_: object) -> None:
        raise NotImplementedError

    def read(
        self, wanted: Callable[[str], bool], max_bytes: int
    ) -> Iterator[tuple[str, RawFile | None]]:
        """Name of each regular file, and its content if it is wanted."""
        raise NotImplementedError

    def _spend(self, size: int) -> None:
        self._left -= size
        self._count += 1
        if self._left < 0 or self._count > _MOST_FILES:
            raise SourceError(f"{self._file} grows like a zip bomb when it is read: left out")


class _Zip(_Members):
    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self._archive = zipfile.ZipFile(file)
        comment = self._archive.comment.decode("ascii", "replace").strip()
        self.commit = comment if re.fullmatch(r"[0-9a-f]{40,64}", comment) else ""

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def read(
        self, wanted: Callable[[str], bool], max_bytes: int
    ) -> Iterator[tuple[str, RawFile | None]]:
        for info in self._archive.infolist():
            link = (info.external_attr >> 28) == 0xA
            if info.is_dir() or link:
                continue
            name = valid_text(info.filename)
            self._spend(0)
            yield name, self._one(info, name, max_bytes) if wanted(name) else None

    def _one(self, info: zipfile.ZipInfo, name: str, max_bytes: int) -> RawFile:
        if problem := _unsafe(name):
            return RawFile(b"", name, problem)
        if info.file_size > max_bytes:
            return RawFile(b"", name, TOO_LARGE)
        self._spend(info.file_size)
        try:
            with self._archive.open(info) as opened:
                data = opened.read(max_bytes + 1)  # what the header says may be wrong
        except (*_DAMAGE, RuntimeError, NotImplementedError):  # a wrong sum, a password
            return RawFile(b"", name, UNREADABLE)
        return RawFile(data, name) if len(data) <= max_bytes else RawFile(b"", name, TOO_LARGE)


class _Tar(_Members):
    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self._archive = tarfile.open(file, "r|*")  # noqa: SIM115
        comment = self._archive.pax_headers.get("comment", "")
        self.commit = comment if re.fullmatch(r"[0-9a-f]{40,64}", comment) else ""

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def read(
        self, wanted: Callable[[str], bool], max_bytes: int
    ) -> Iterator[tuple[str, RawFile | None]]:
        for member in self._archive:
            self._spend(member.size)  # a stream is read whole
            if not member.isreg():
                continue
            name = valid_text(member.name).removeprefix("./")
            yield name, self._one(member, name, max_bytes) if wanted(name) else None
            self._archive.members.clear()  # type: ignore[attr-defined]  # it would keep them all

    def _one(self, member: tarfile.TarInfo, name: str, max_bytes: int) -> RawFile:
        if problem := _unsafe(name):
            return RawFile(b"", name, problem)
        if member.size > max_bytes:
            return RawFile(b"", name, TOO_LARGE)
        opened = self._archive.extractfile(member)
        if opened is None:
            return RawFile(b"", name, UNREADABLE)
        return RawFile(opened.read(), name)


def _opened(file: Path) -> _Members:
    return _Zip(file) if file.name.lower().endswith((".zip", ".whl")) else _Tar(file)


def _unsafe(name: str) -> str | None:
    parts = name.replace("\\", "/").split("/")
    return UNSAFE_PATH if parts[0] == "" or ".." in parts or "\0" in name else None


def zip_members(file: Path, wanted: Callable[[str], bool], max_bytes: int) -> Iterable[RawFile]:
    """Wanted members of a zip archive in its own order.

    Raises:
        SourceError: if it is damaged, or grows like a bomb.
    """
    try:
        with _Zip(file) as members:
            for _, raw in members.read(wanted, max_bytes):
                if raw is not None:
                    yield raw
    except _DAMAGE as error:
        raise SourceError(f"{file} is truncated or no archive: {error}") from error
