"""All that a training run reads, opened and checked at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parrotlet_tokenizer import CodeTokenizer

from .cache import Origin, is_cache, tokenizer_hash
from .cached import Cache
from .evaluation import Documents, TextDocuments, document_rows
from .loader import RowLoader
from .sequences import Sequences, TextSequences, piece_length
from .stream import RowOptions
from .units import DataError, Units, open_units

if TYPE_CHECKING:
    from ..recipe import DataOptions


@dataclass(frozen=True)
class TrainingData:
    """Training and validation data of a recipe.

    Attributes:
        sequences: of the training split.
        documents: of the validation split.
        options: of the streams.
        fingerprint: of what is read; a resume is exact where it is the same.
        facts: what the model's bundle says of its corpus.
        rated: whether documents have quality levels.
        warnings: lines for the user.
    """

    sequences: Sequences
    documents: Documents
    options: RowOptions
    fingerprint: str
    facts: Mapping[str, Any]
    rated: bool
    warnings: Sequence[str] = ()

    @classmethod
    def open(
        cls, options: DataOptions, tokenizer: CodeTokenizer, context: int, seed: int
    ) -> TrainingData:
        """Opens what `options` name: a corpus, a data set in the Hub's layout, or a cache.

        Args:
            options: of the recipe.
            tokenizer: of the recipe.
            context: tokens that the model sees.
            seed: of every permutation and draw.

        Raises:
            DataError: if data is missing, unreadable or too little, or a cache is stale or damaged.
        """
        rows = RowOptions(context, options.streams, seed, options.window)
        if options.cache or is_cache(options.corpus):
            cache = open_cache(options, tokenizer, context)
            return cls(
                cache.train, cache.validation, rows, cache.fingerprint, cache.facts, cache.rated
            )
        train, validation = open_splits(options)
        length = piece_length(train, tokenizer, context)
        return cls(
            TextSequences(train, tokenizer, options.fim, seed, length),
            TextDocuments(validation, tokenizer),
            rows,
            train.fingerprint,
            train.facts,
            train.rated,
            [*train.warnings, *validation.warnings],
        )

    def loader(self, rank: int = 0, world: int = 1) -> RowLoader:
        """The rows of one rank; see `RowLoader`."""
        return RowLoader(self.sequences, self.options, rank, world)

    def validation_rows(self, max_bytes: int) -> Iterator[NDArray[np.int32]]:
        """About `max_bytes` of plain validation text; see `document_rows`."""
        return document_rows(self.documents, self.options.context, max_bytes)


def open_splits(options: DataOptions) -> tuple[Units, Units]:
    """Training and validation units of a recipe's corpus.

    Raises:
        DataError: if one is missing or cannot be read.
    """
    train = open_units(options.corpus, "train", options.hub)
    return train, open_units(options.corpus, "validation", options.hub)


def open_cache(options: DataOptions, tokenizer: CodeTokenizer, context: int) -> Cache:
    """The cache of a recipe, held against the recipe and, if the recipe names it, the corpus.

    The seed may differ: it then permutes what was drawn with the cache's own.

    Raises:
        DataError: if it is missing, damaged, or made with or of something else.
    """
    cache = Cache(options.cache or options.corpus)
    origin = cache.origin
    if options.cache:
        try:
            train, validation = open_splits(options)
        except DataError as error:
            raise DataError(
                f"{error}; to train from the cache alone, set data.corpus to {cache.folder}"
            ) from error
        same = (origin.train, origin.validation) == (train.fingerprint, validation.fingerprint)
    made_with = {
        "another tokenizer": origin.tokenizer == tokenizer_hash(tokenizer),
        f"context {origin.context}, not {context}": origin.context == context,
        "other fill-in-the-middle options": origin.fim == options.fim,
        "another corpus": not options.cache or same,
    }
    for difference, agrees in made_with.items():
        if not agrees:
            raise DataError(
                f"the cache {cache.folder} was made with {difference}: make it anew with "
                "`parrotlet pretokenize`, or change the recipe"
            )
    return cache


def origin_of(
    splits: tuple[Units, Units],
    options: DataOptions,
    tokenizer: CodeTokenizer,
    context: int,
    seed: int,
    draws: int,
) -> Origin:
    """What a cache of a recipe is made of."""
    return Origin(
        splits[0].fingerprint,
        splits[1].fingerprint,
        tokenizer_hash(tokenizer),
        tokenizer.vocabulary_size,
        context,
        seed,
        draws,
        options.fim,
    )
