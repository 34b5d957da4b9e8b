"""The model's distribution, and what the user's files say, as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .ngrams import LONGEST, ORDERS, Ngrams, Run, Tokens

OTHERS: Final = {2: 75.0, 3: 120.0, 4: 26.0, 8: 13.0}
"""For each number of agreeing tokens, how many places of other files weigh as much as a model that
is sure, where the same token followed at all of them.

Fitted on eighteen repositories for validation: docs/experiments.md."""

OWN: Final = {1: 58.0, 2: 54.0, 3: 78.0, 4: 42.0, 8: 15.0}
"""The same of the file itself."""

DIVERSITY: Final = 1.5
"""The model's weight grows with this power of the number of tokens that followed."""

DOUBT: Final = 0.5
"""It falls with this power of the model's perplexity."""

FEW: Final = 200
"""Tokens that are counted faster in a set."""


def log_sum(logits: NDArray[np.float32]) -> float:
    """Logarithm of the sum of the exponentials of `logits`, shape (n,), n at least 1."""
    top = logits.max()
    powers = logits - top
    np.exp(powers, out=powers)
    return float(top) + math.log(powers.sum())


def _log_sum_and_entropy(logits: NDArray[np.float32]) -> tuple[float, float]:
    """`log_sum`, and the entropy in nats of what `logits` stand for."""
    top = logits.max()
    below = logits - top
    powers = np.exp(below)
    every = float(powers.sum())
    np.multiply(below, powers, out=below)
    return float(top) + math.log(every), math.log(every) - float(below.sum()) / every


def _distinct(tokens: Tokens) -> int:
    """How many different ones there are."""
    if len(tokens) < FEW:
        return len(set(tokens.tolist()))
    return int(np.count_nonzero(np.bincount(tokens)))


class Mixture:
    """Interpolates with n-grams, from the shortest to the longest, of each other files first.

    Each is a Dirichlet-smoothed estimate whose prior is all that came before it, at first the model
    (MacKay & Peto 1995, "A Hierarchical Dirichlet Language Model"): with c places where the last n
    tokens stood, w of them followed by the token, p becomes (w + b p) / (c + b). The weight b grows
    with the number of different tokens that followed, as the chance of yet another one does (Witten
    & Bell 1991, "The Zero-Frequency Problem", method C), and falls with the model's perplexity.
    """

    def __init__(self, own: Tokens, others: Ngrams | None, without: int | None = None) -> None:
        """Knows `own`, the file's tokens, and `others`, but for the file `without` in it."""
        self._own = Run(own)
        self._others = others
        self._without = without
        self._sums = np.zeros(0)  # of each token; zero but while they are taken

    def mix(self, logits: NDArray[np.float32], history: Sequence[int]) -> None:
        """Turns logits into log-probabilities of the mixture, in place.

        Args:
            logits: of the token after `history`, shape (vocabulary,).
            history: the tokens before, in order.
        """
        found = self._found(history[-LONGEST:])
        if not found:
            logits -= np.float32(log_sum(logits))
            return
        total, entropy = _log_sum_and_entropy(logits)
        sure = math.exp(-DOUBT * entropy)
        # from the last to the first: what each leaves to those before it
        scale = 1.0
        worths = []
        for after, places, weight in reversed(found):
            weight *= sure * _distinct(after) ** DIVERSITY
            every = len(after) * places + weight
            worths.append(scale * places / every)
            scale *= weight / every
        tokens = np.concatenate([after for after, _, _ in found])
        worth = np.repeat(worths[::-1], [len(after) for after, _, _ in found])
        if len(self._sums) != len(logits):
            self._sums = np.zeros(len(logits))
        np.add.at(self._sums, tokens, worth)
        # a token that came several times is put in several times, the same each time
        mixed = np.log(scale * np.exp(logits[tokens] - np.float32(total)) + self._sums[tokens])
        self._sums[tokens] = 0
        logits += np.float32(math.log(scale) - total)
        logits[tokens] = mixed

    def _found(self, recent: Sequence[int]) -> list[tuple[Tokens, float, float]]:
        """What followed, how many places each of it stands for, and its entry in the tables."""
        own = dict(zip(ORDERS, self._own.following(recent), strict=False))
        others = {}
        if self._others is not None:
            after = self._others.following(recent, OTHERS, self._without)
            others = dict(zip(OTHERS, after, strict=False))
        found = []
        for order in ORDERS:
            if order in others:
                found.append((*others[order], OTHERS[order]))
            if order in own:
                found.append((own[order], 1.0, OWN[order]))
        return found
