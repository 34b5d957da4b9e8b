"""The version of the distribution."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """The installed version, or "unknown" where the sources run without an installation."""
    try:
        return metadata.version("parrotlet")
    except metadata.PackageNotFoundError:
        return "unknown"
