"""Tokens of a text that is edited: only the paragraph that has changed is tokenised again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from parrotlet_tokenizer import CodeTokenizer

from .ngrams import Tokens

_REMEMBERED = 8_192
"""Paragraphs: those of a few long files."""

_BREAK = "\n\n"
_GAP: Tokens = np.zeros(1, np.uint16)


class Paragraphs:
    """Tokenises texts at their blank lines.

    A paragraph begins with the line ends before it, so its tokens are those of the whole text but
    where the one before ends in signs that the vocabulary would join with them.
    """

    def __init__(self, tokenizer: CodeTokenizer) -> None:
        """`tokenizer` has at most `LARGEST_VOCABULARY` entries."""
        self._encode = lru_cache(maxsize=_REMEMBERED)(
            lambda text: np.array(tokenizer.encode(text), np.uint16)
        )

    def tokens(self, text: str) -> list[Tokens]:
        """The tokens of each paragraph of `text`, to be joined."""
        first, *others = text.split(_BREAK)
        return [self._encode(first), *(self._encode(_BREAK + other) for other in others)]


def join(before: Sequence[Tokens], after: Sequence[Tokens]) -> Tokens:
    """Both as one run, with a gap where the cursor is; an id 0 stands for a gap."""
    return np.concatenate([*before, _GAP, *after, _GAP])
