"""Where converted models are kept between runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

CACHE_VARIABLE = "PARROTLET_CACHE"


def cache_folder() -> Path:
    """The user's cache folder for Parrotlet, which need not exist yet.

    ``PARROTLET_CACHE`` comes first, then the platform's own place.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return (Path(base) if base else Path.home() / "AppData" / "Local") / "parrotlet" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "parrotlet"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "parrotlet"
