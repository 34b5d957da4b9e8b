"""How many threads a model gets."""

from __future__ import annotations

import os
import platform
from pathlib import Path

MOST = 4  # more hardly help a small model and take the editor's


def default_threads() -> int:
    """Physical cores that this process may use, at most `MOST`.

    Two threads on one core slow each other down here, since both wait for the same vector units.
    """
    return max(1, min(MOST, _usable() // (2 if _two_per_core() else 1)))


def _usable() -> int:
    if platform.system() == "Linux":
        cores = len(os.sched_getaffinity(0))
        quota = _container_quota()
        return min(cores, quota) if quota else cores
    return os.cpu_count() or 1


def _two_per_core() -> bool:
    if platform.system() == "Linux":
        try:
            return Path("/sys/devices/system/cpu/smt/active").read_text().strip() == "1"
        except OSError:
            return False
    return platform.machine().lower() in ("amd64", "x86_64")


def _container_quota() -> int | None:
    """Whole processors that a container's limit allows (control groups, version 2)."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if quota == "max" else max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return None
