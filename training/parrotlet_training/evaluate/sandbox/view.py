"""What a program in the sandbox sees of the machine: an interpreter and the system's libraries."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from .errors import SandboxError

_LIBRARIES = ("/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/nix/store", "/gnu/store")
_ROOTS = ("/lib", "/lib32", "/lib64")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_LOADER = "/etc/ld.so.cache"


@dataclass(frozen=True)
class View:
    """The visible part of the file system.

    Attributes:
        python: the interpreter.
        read_only: folders and files that can be read.
        links: symbolic links, what each leads to by its path.
        devices: that can be used.
    """

    python: str
    read_only: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    devices: tuple[str, ...]

    @property
    def parents(self) -> list[str]:
        """The folders that lead to what is visible, outer ones first."""
        paths = (*self.read_only, *(path for _, path in self.links), *self.devices)
        found = {str(parent) for path in paths for parent in Path(path).parents}
        return sorted(found - {"/"})

    def names_in(self, folder: Path) -> list[str] | None:
        """The names to be seen in `folder`, sorted; None if `folder` itself is not."""
        paths = (*self.read_only, *(path for _, path in self.links), *self.devices, "/tmp")
        depth = len(folder.parts)
        below = (Path(path).parts for path in paths if Path(path).is_relative_to(folder))
        return sorted({parts[depth] for parts in below if len(parts) > depth}) or None


def view_of_python() -> View:
    """What this very interpreter needs, outside of its virtual environment.

    Raises:
        SandboxError: if the interpreter's own folder holds the user's home.
    """
    python = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    prefixes = {Path(sys.base_prefix).resolve(), Path(sys.base_exec_prefix).resolve()}
    home = Path.home().resolve()
    for prefix in prefixes:
        if home.is_relative_to(prefix):
            raise SandboxError(
                f"Python is installed in {prefix}, which holds your home folder {home}: generated "
                "code would see it; use a Python in a folder of its own"
            )
    folders = {str(prefix) for prefix in prefixes}
    folders |= {path for path in _LIBRARIES if os.path.isdir(path)}  # noqa: PTH112
    links = []
    for root in map(Path, _ROOTS):
        if root.is_symlink():
            links.append((str(root.readlink()), str(root)))
        elif root.is_dir():
            folders.add(str(root))
    if not any(python.is_relative_to(folder) for folder in folders):
        folders.add(str(python))
    outer = [
        path
        for path in sorted(folders)
        if not any(other != path and Path(path).is_relative_to(other) for other in folders)
    ]
    read_only = [*outer, *([_LOADER] if Path(_LOADER).is_file() else [])]
    devices = tuple(path for path in _DEVICES if Path(path).exists())
    return View(str(python), tuple(read_only), tuple(links), devices)
