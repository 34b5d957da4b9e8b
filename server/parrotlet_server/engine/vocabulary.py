"""The vocabulary as bytes, to be asked which tokens can continue a given text."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from parrotlet_tokenizer import CodeTokenizer
from parrotlet_tokenizer.specials import END_OF_TEXT_ID, SPECIAL_TOKENS

from .brackets import CLOSERS

_Ids = NDArray[np.int64]


class Vocabulary:
    """Tokens in the order of their bytes.

    Attributes:
        bytes: what each id stands for; empty for special tokens.
        closing: the ids whose text has a closing bracket.
    """

    def __init__(self, tokenizer: CodeTokenizer) -> None:
        self.bytes = tokenizer.token_bytes
        self.closing = frozenset(
            index for index, text in enumerate(self.bytes) if any(one in CLOSERS for one in text)
        )
        ordered = sorted((text, index) for index, text in enumerate(self.bytes) if text)
        self._texts = [text for text, _ in ordered]
        self._ids: _Ids = np.array([index for _, index in ordered], dtype=np.int64)
        self._longest = max(map(len, self._texts))
        self._blank = np.array([text[:1] in _BLANKS for text in self.bytes], dtype=bool)

    def continuing(self, text: bytes) -> _Ids:
        """Ids of the tokens that begin with the non-empty `text`, or are a beginning of it."""
        low = bisect_left(self._texts, text)
        high = bisect_left(self._texts, text + b"\xff" * self._longest, low)
        parts = [self._find(text[:size]) for size in range(1, min(len(text), self._longest + 1))]
        found = [index for index in parts if index is not None]
        return np.concatenate([self._ids[low:high], np.array(found, dtype=np.int64)])

    def ban_specials(self, logits: NDArray[np.float32]) -> None:
        """Makes every id that is no text impossible, in place, save for the end of text."""
        logits[: len(SPECIAL_TOKENS)][_BANNED] = -np.inf
        logits[len(self.bytes) :] = -np.inf

    def share_of_specials(self, values: NDArray[np.float32]) -> float:
        """Of log-probabilities of all ids, what those have that `ban_specials` bans."""
        others = np.exp(values[len(self.bytes) :]).sum() if len(values) > len(self.bytes) else 0.0
        return float(np.exp(values[_BANNED]).sum() + others)

    def ban_blanks(
        self, logits: NDArray[np.float32], ids: _Ids | None = None, start: int = 0
    ) -> None:
        """Makes tokens with a space or a tab at byte `start` impossible, in place.

        Args:
            logits: of all tokens, shape (vocabulary,), or of `ids` alone.
            ids: to which the logits belong, shape (n,).
            start: only with `ids`.
        """
        if ids is None:
            logits[: len(self._blank)][self._blank] = -np.inf
        else:
            banned = [self.bytes[index][start : start + 1] in _BLANKS for index in ids]
            logits[banned] = -np.inf

    def _find(self, text: bytes) -> int | None:
        at = bisect_left(self._texts, text)
        if at < len(self._texts) and self._texts[at] == text:
            return int(self._ids[at])
        return None


_BLANKS = (b" ", b"\t")
_BANNED = np.array([index for index in range(len(SPECIAL_TOKENS)) if index != END_OF_TEXT_ID])
