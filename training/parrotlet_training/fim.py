"""From documents to training sequences: pieces, fill-in-the-middle, tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parrotlet_tokenizer import CodeTokenizer, Header
from parrotlet_tokenizer import prompt as grammar


@dataclass(frozen=True)
class FimOptions:
    """How documents become sequences.

    Attributes:
        rate: share of the pieces that are split (Bavarian et al. 2022: 0.5 costs nothing).
        spm_share: share of the split pieces in the order suffix, prefix, middle, which serving
            uses; the others are prefix, suffix, middle.
        line_share: share of the split pieces whose suffix begins at a line start, as serving cuts.
        path_share: share of the pieces that tell their path.
        quality_share: share of the pieces of rated documents that tell their quality level; the
            others teach the model to do without.
    """

    rate: float = 0.5
    spm_share: float = 0.5
    line_share: float = 0.5
    path_share: float = 0.5
    quality_share: float = 0.5

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is a share between 0 and 1, not {value}")


def pieces(text: str, max_characters: int) -> Iterator[str]:
    """Cuts `text` into runs of at most `max_characters`, at line starts where there are any."""
    start = 0
    while len(text) - start > max_characters:
        end = text.rfind("\n", start, start + max_characters) + 1
        if end <= start:
            end = start + max_characters
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


@dataclass(frozen=True)
class Draft:
    """A sequence before its texts are tokenised.

    Attributes:
        ids: special tokens, and ``~i`` (a negative number) where the ids of text i go.
        texts: what is still to tokenise.
    """

    ids: list[int]
    texts: list[str]


def draft(
    text: str,
    path: str | None,
    options: FimOptions,
    random: np.random.Generator,
    quality: int | None = None,
) -> Draft:
    """One piece as a training sequence, its form drawn from `random`.

    The split is at character level (Bavarian et al. 2022, section 3 and appendix C.1: two cuts,
    uniform over the text); for `line_share` of them the second cut moves on to a line start.
    """
    notes = _Notes()
    return Draft(_sequence(notes, text, path, options, random, quality), notes.texts)


def fill(tokenizer: CodeTokenizer, drafts: Sequence[Draft]) -> list[NDArray[np.int32]]:
    """Training ids of each draft; all texts are tokenised at once, on all processors.

    Returns:
        int32 arrays of shape (length,), each of at least one token.
    """
    encoded = tokenizer.encode_batch([text for item in drafts for text in item.texts])
    result = []
    first = 0
    for item in drafts:
        ids: list[int] = []
        for token in item.ids:
            if token < 0:
                ids += encoded[first + ~token]
            else:
                ids.append(token)
        first += len(item.texts)
        result.append(np.array(ids, np.int32))
    return result


def _sequence(
    tokenizer: CodeTokenizer,
    text: str,
    path: str | None,
    options: FimOptions,
    random: np.random.Generator,
    quality: int | None,
) -> list[int]:
    shown = quality is not None and random.random() < options.quality_share
    told = random.random() < options.path_share
    header = Header(quality=quality if shown else None, path=path if told else None)
    if random.random() >= options.rate:
        return grammar.plain(tokenizer, header, text)
    first, second = sorted(int(cut) for cut in random.integers(0, len(text) + 1, size=2))
    if random.random() < options.line_share:
        second = text.find("\n", second) + 1 or len(text)
    prefix, middle, suffix = text[:first], text[first:second], text[second:]
    if not suffix:
        return grammar.plain(tokenizer, header, text)
    order = grammar.spm if random.random() < options.spm_share else grammar.psm
    return order(tokenizer, header, prefix, middle, suffix)


class _Notes(CodeTokenizer):
    """Stands in for a tokenizer in the grammar and puts the work off: notes texts for later."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode(self, text: str) -> list[int]:
        """The place of `text` in the notes, as a number that no token has."""
        self.texts.append(text)
        return [~(len(self.texts) - 1)]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of each."""
        return [self.encode(text) for text in texts]
