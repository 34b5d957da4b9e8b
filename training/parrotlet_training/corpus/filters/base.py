"""What a filter is."""

from __future__ import annotations

import hashlib
from typing import Protocol


class Filter(Protocol):
    """A frozen dataclass whose fields are its thresholds; holds no state between calls."""

    @property
    def name(self) -> str:
        """How a recipe names it and how the manifest counts it."""

    def __call__(self, text: str, path: str = "") -> bool:
        """True if the file is to be left out.

        Args:
            text: its content, with line feeds as line ends.
            path: inside its repository, with forward slashes.
        """


def draw(text: str, name: str) -> float:
    """A number of [0, 1) that depends on nothing but `text` and the filter's `name`.

    Filters that drop a share of the files use it: the same file has the same fate in every
    process, order and build.
    """
    key = name.encode("utf-8")[:64]
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, key=key)
    return (int.from_bytes(digest.digest(), "big") >> 11) / 2**53
