"""From units to training sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from parrotlet_tokenizer import CodeTokenizer

from ..fim import FimOptions, draft, fill, pieces
from .units import Text, Units

_FILL = 0.9
"""Share of the context that a piece is meant to take: pieces differ, and have a header."""


class Window(Protocol):
    """The sequences of a few units, in the order of units, documents and pieces."""

    def __len__(self) -> int:
        """Number of sequences."""

    def ids(self, places: Sequence[int]) -> Sequence[NDArray[Any]]:
        """Token ids of the sequences at `places`: integer arrays of shape (length,), none empty."""


class Sequences(Protocol):
    """What streams walk through."""

    def __len__(self) -> int:
        """Number of units."""

    def window(self, units: Sequence[int], epoch: int) -> Window:
        """The sequences of `units`, in the form that they have in `epoch` (from 0).

        Raises:
            DataError: if a unit cannot be read.
        """


class TextSequences:
    """Sequences made from text as they are asked for (see `Sequences`)."""

    def __init__(
        self,
        units: Units,
        tokenizer: CodeTokenizer,
        fim: FimOptions,
        seed: int,
        piece_characters: int,
    ) -> None:
        """Wraps `units`.

        Args:
            units: of text.
            tokenizer: that makes ids of it.
            fim: how pieces become sequences.
            seed: of the draws.
            piece_characters: longest piece; see `piece_length`.
        """
        self._units = units
        self._tokenizer = tokenizer
        self._fim = fim
        self._seed = seed
        self._piece_characters = piece_characters

    def __len__(self) -> int:
        return len(self._units)

    def window(self, units: Sequence[int], epoch: int) -> Window:
        """See `Sequences.window`."""
        cut = [
            _Piece(unit, document, number, text._replace(content=piece))
            for unit in units
            for document, text in enumerate(self._units.read(unit))
            for number, piece in enumerate(pieces(text.content, self._piece_characters))
        ]
        return _TextWindow(cut, self._tokenizer, self._fim, (self._seed, 1, epoch))


class _Piece(NamedTuple):
    unit: int
    document: int
    number: int
    text: Text


class _TextWindow:
    """Pieces with their place, which seeds their draws (see `Window`)."""

    def __init__(
        self,
        pieces: list[_Piece],
        tokenizer: CodeTokenizer,
        fim: FimOptions,
        seed: tuple[int, int, int],
    ) -> None:
        self._pieces = pieces
        self._tokenizer = tokenizer
        self._fim = fim
        self._seed = seed

    def __len__(self) -> int:
        return len(self._pieces)

    def ids(self, places: Sequence[int]) -> list[NDArray[np.int32]]:
        """See `Window.ids`."""
        drafts = []
        for unit, document, number, text in map(self._pieces.__getitem__, places):
            random = np.random.default_rng((*self._seed, unit, document, number))
            drafts.append(draft(text.content, text.path, self._fim, random, text.quality))
        return fill(self._tokenizer, drafts)


def characters_per_token(units: Units, tokenizer: CodeTokenizer, samples: int = 8) -> float:
    """Estimated over a few units, evenly spread."""
    characters = tokens = 0
    for unit in range(0, len(units), max(1, len(units) // samples)):
        texts = [text.content for text in units.read(unit)]
        characters += sum(map(len, texts))
        tokens += sum(map(len, tokenizer.encode_batch(texts)))
    return characters / max(1, tokens)


def piece_length(units: Units, tokenizer: CodeTokenizer, context: int) -> int:
    """Characters of a piece that with its header takes about one context."""
    return max(64, int(characters_per_token(units, tokenizer) * context * _FILL))
