"""Filters on how a text looks: line lengths, characters, tokens."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from parrotlet_tokenizer import CodeTokenizer

from ..runs import has_longer_line


@dataclass(frozen=True)
class LongLines:
    """Minified files and data.

    Attributes:
        longest: characters in the longest line, at most (CodeParrot; Codex, Chen et al. 2021,
            section 3.1).
        mean: characters in a line on average, its line feed included, at most (same sources).
    """

    name: ClassVar[str] = "long lines"
    longest: int = 1000
    mean: float = 100.0

    def __call__(self, text: str, path: str = "") -> bool:
        """See `Filter`."""
        if len(text) > self.mean * (text.count("\n") + 1):
            return True
        return has_longer_line(text, self.longest)


_NOT_ALPHANUMERIC = bytes(code for code in range(128) if not chr(code).isalnum())


@dataclass(frozen=True)
class NotAlphanumeric:
    """Art, tables and binary data.

    Attributes:
        share: of letters and digits in all characters, at least (CodeParrot; Codex has the same
            filter without a figure).
    """

    name: ClassVar[str] = "not alphanumeric"
    share: float = 0.25

    def __call__(self, text: str, path: str = "") -> bool:
        """See `Filter`."""
        least = self.share * len(text)
        # the first half of most files has enough, and in ASCII alone
        return (
            _alphanumeric(text[: len(text) // 2]) < least
            and _alphanumeric(text) < least
            and (text.isascii() or sum(map(str.isalnum, text)) < least)
        )


def _alphanumeric(text: str) -> int:
    """Letters and digits of ASCII."""
    return len(text.encode("ascii", "ignore").translate(None, _NOT_ALPHANUMERIC))


_WINDOWS = 6
_CLEARLY = 1.5


@dataclass(frozen=True)
class CharactersPerToken:
    """Text that the tokenizer splits into many small pieces: not what it was trained on.

    SantaCoder (Ben Allal et al. 2023, "tokenizer fertility") gains a little from it.

    Attributes:
        minimum: characters per token, at least (CodeParrot).
        tokenizer: ``tokenizer.json`` or a folder that holds one; the filter keeps every file where
            it is empty.
        sample: characters, in evenly spread windows, that are looked at first: a text that has
            half as many again as `minimum` there is kept, any other is counted whole. 0: every
            text is counted whole, which takes ten times as long.
    """

    name: ClassVar[str] = "characters per token"
    minimum: float = 1.5
    tokenizer: str = ""
    sample: int = 768

    def __call__(self, text: str, path: str = "") -> bool:
        """See `Filter`.

        Raises:
            TokenizerError: if the tokenizer cannot be read.
        """
        if not self.tokenizer:
            return False
        if 0 < 2 * self.sample < len(text):
            size = self.sample // _WINDOWS
            step = (len(text) - size) // (_WINDOWS - 1)
            seen = "\n".join(text[n * step : n * step + size] for n in range(_WINDOWS))
            if self._per_token(seen) > _CLEARLY * self.minimum:
                return False
        return self._per_token(text) < self.minimum

    def _per_token(self, text: str) -> float:
        return len(text) / max(1, len(_load(self.tokenizer).encode(text)))


@lru_cache(maxsize=2)
def _load(path: str) -> CodeTokenizer:
    return CodeTokenizer.load(Path(path))
