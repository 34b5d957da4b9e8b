"""A folder of this machine, and the standard library."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .. import git
from ..document import RawFile
from ..licences import MAX_LICENCE_BYTES, detect, is_licence_file
from .base import DETECT, UNREADABLE_FOLDER, Excluded, read_file, state_of, valid_text

_SKIPPED_FOLDERS = frozenset(
    {".git", ".hg", ".tox", ".venv", "venv", "node_modules", "__pycache__"}
)


@dataclass
class Folder:
    """All Python files below a folder; links are not followed."""

    root: Path
    repository: str = ""
    commit: str = ""
    licence: str = ""
    kind: str = "folder"
    own: bool = True
    excluded: tuple[str, ...] = ()
    many: bool = False
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.repository = (
            self.repository or _enclosing_origin(self.root) or valid_text(self.root.resolve().name)
        )
        if self.licence == DETECT:
            self.licence = detect(_licence_texts(self.root))

    def files(self, max_bytes: int) -> Iterator[RawFile]:
        """See `Source.files`; a sub-folder that cannot be listed is counted."""
        excluded = Excluded(self.excluded)
        failed: list[OSError] = []
        for file in self._python_files(failed):
            path = valid_text(file.relative_to(self.root).as_posix())
            if path not in excluded:
                yield read_file(file, path, max_bytes)
        for error in failed:
            place = Path(os.fsdecode(error.filename or self.root)).relative_to(self.root)
            yield RawFile(b"", valid_text(place.as_posix()), UNREADABLE_FOLDER)
        self.warnings = excluded.warnings(self.repository)

    def state(self) -> str:
        """See `Changing.state`."""
        return state_of(self._python_files([]))

    def _python_files(self, failed: list[OSError]) -> Iterator[Path]:
        for folder, folders, names in os.walk(self.root, onerror=failed.append):
            folders[:] = sorted(name for name in folders if name not in _SKIPPED_FOLDERS)
            for name in sorted(names):
                file = Path(folder, name)
                if name.endswith(".py") and not file.is_symlink():
                    yield file


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


def _enclosing_origin(folder: Path) -> str | None:
    """``owner/name`` of the git repository that `folder` lies in, so that the hold-out holds."""
    for place in (folder.resolve(), *folder.resolve().parents):
        git_dir = git.find_git_dir(place)
        if git_dir is not None:
            return git.origin_name(git_dir)
    return None


def _licence_texts(root: Path) -> dict[str, str]:
    texts: dict[str, str] = {}
    for folder in (root, root / "LICENSES"):
        if folder.is_dir():
            for file in sorted(folder.iterdir()):
                path = file.relative_to(root).as_posix()
                if is_licence_file(path):
                    raw = read_file(file, path, MAX_LICENCE_BYTES)
                    texts[path] = raw.data.decode("utf-8", "replace")
    return texts
