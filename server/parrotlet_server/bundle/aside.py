"""Folders that appear whole or not at all."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import BundleError


@contextmanager
def written_aside(target: Path, overwrite: bool = False) -> Iterator[Path]:
    """Gives an empty folder beside `target` and renames it to `target` at the end.

    After an error the folder is gone and `target` as it was.

    Raises:
        BundleError: if `target` exists, unless it is an empty folder or `overwrite` is set, or
            cannot be written (also where the caller's writing into the folder fails).
    """
    target = target.parent.resolve() / target.name  # a link at the end is refused, not followed
    mark = secrets.token_hex(4)
    folder = target.parent / f".{target.name}.{mark}.new"
    old = target.parent / f".{target.name}.{mark}.old"
    check_target(target, overwrite)
    try:
        folder.mkdir(parents=True)
        yield folder
        if target.exists():
            check_target(target, overwrite)  # it may have been filled meanwhile
            target.rename(old)
        try:
            folder.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
    except OSError as error:
        raise BundleError(f"cannot write {target}: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def sweep(target: Path) -> None:
    """Removes what programs that were killed have left beside `target`, an hour after."""
    for pattern in (f".{target.name}.*.new", f".{target.name}.*.old"):
        for folder in target.parent.glob(pattern):
            with suppress(OSError):
                if time.time() - folder.stat().st_mtime > _ABANDONED:
                    shutil.rmtree(folder, ignore_errors=True)


_ABANDONED = 3600.0
"""Seconds since something was written there; a conversion takes some seconds."""


def check_target(target: Path, overwrite: bool) -> None:
    """Refuses to replace `target`.

    Raises:
        BundleError: if it is a file, or a folder that is not empty without `overwrite`.
    """
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise BundleError(f"{target} exists and is no folder: give another place")
    if target.is_dir() and not overwrite and any(target.iterdir()):
        raise BundleError(f"{target} exists and is not empty: give another folder or --overwrite")
