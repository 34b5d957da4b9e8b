"""A file system of its own: small, so that it is soon full, or one that cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager

import pytest


@contextmanager
def small_disk(place, options="size=4m"):
    """Mounts memory at the new folder `place`; skips the test where that is not allowed."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root may mount a file system, and on Linux")
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)
