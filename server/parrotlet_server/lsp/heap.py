"""Keeps a server's memory from growing with the hours."""

from __future__ import annotations

import ctypes
import os
import sys

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # malloc.h
_LARGE = 256 * 1024
_ARENAS = 2


def keep_compact() -> bool:
    """Has glibc give large blocks back at once, and threads share two heaps; call it at the start.

    As it comes, glibc gives each thread a heap of its own and takes ever larger blocks from them,
    in the gaps of which memory is lost: what Python holds stays at 10 MB, but the process grew by
    some MB each minute of a soak. Other C libraries are left alone.

    Returns:
        Whether it was done.
    """
    if not _is_glibc():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(
        mallopt(key, value) for key, value in ((_M_MMAP_THRESHOLD, _LARGE), (_M_ARENA_MAX, _ARENAS))
    )


def _is_glibc() -> bool:
    if sys.platform != "linux":
        return False
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (OSError, ValueError):  # another library, such as musl
        return False
