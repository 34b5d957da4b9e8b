"""Rows for evaluation: plain documents, evenly sampled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from parrotlet_tokenizer import CodeTokenizer
from parrotlet_tokenizer.specials import END_OF_TEXT_ID

from .options import HubOptions
from .units import Units, open_units


class Documents(Protocol):
    """Whole documents as tokens, unit by unit."""

    def __len__(self) -> int:
        """Number of units."""

    def sizes(self, unit: int) -> Sequence[int]:
        """UTF-8 bytes of each document of a unit."""

    def ids(self, unit: int, most: int) -> Sequence[Sequence[int]]:
        """Token ids of the first documents of a unit, at most `most`, without special tokens."""


class TextDocuments:
    """Documents tokenised as they are asked for (see `Documents`)."""

    def __init__(self, units: Units, tokenizer: CodeTokenizer) -> None:
        self._units = units
        self._tokenizer = tokenizer
        self._last: tuple[int, list[str]] = (-1, [])

    def __len__(self) -> int:
        return len(self._units)

    def sizes(self, unit: int) -> list[int]:
        """See `Documents.sizes`."""
        return [len(text.encode()) for text in self._texts(unit)]

    def ids(self, unit: int, most: int) -> list[list[int]]:
        """See `Documents.ids`."""
        return self._tokenizer.encode_batch(self._texts(unit)[:most])

    def _texts(self, unit: int) -> list[str]:
        if self._last[0] != unit:
            self._last = unit, [text.content for text in self._units.read(unit)]
        return self._last[1]


def text_rows(
    corpus: str | Path,
    split: str,
    tokenizer: CodeTokenizer,
    context: int,
    max_bytes: int,
    hub: HubOptions | None = None,
) -> Iterator[NDArray[np.int32]]:
    """Rows of a split of a corpus for evaluation; see `document_rows` and `open_units`."""
    documents = TextDocuments(open_units(corpus, split, hub), tokenizer)
    yield from document_rows(documents, context, max_bytes)


def document_rows(
    documents: Documents, context: int, max_bytes: int
) -> Iterator[NDArray[np.int32]]:
    """Rows of plain documents: the first few of each unit, about `max_bytes` in all.

    No fill-in-the-middle and no header, so that the score depends on the text alone. The last row
    is filled with end-of-text, which is not scored.

    Yields:
        int32, shape (context + 1,), each row beginning with its forerunner's last token.
    """
    sample = documents.sizes(len(documents) // 2)
    mean = max(1, sum(sample) / max(1, len(sample)))
    kept = np.random.default_rng(0).permutation(len(documents))
    wanted = max(1, int(max_bytes / mean))
    per_unit = max(1, -(-wanted // len(documents)))
    buffer: list[int] = [END_OF_TEXT_ID]
    taken = 0
    for unit in map(int, kept):
        taken += sum(documents.sizes(unit)[:per_unit])
        for ids in documents.ids(unit, per_unit):
            buffer += [*ids, END_OF_TEXT_ID]
            while len(buffer) > context:
                yield np.asarray(buffer[: context + 1], np.int32)
                buffer = buffer[context:]
        if taken >= max_bytes:
            break
    if len(buffer) > 1:
        padding = [END_OF_TEXT_ID] * (context + 1 - len(buffer))
        yield np.asarray(buffer + padding, np.int32)
