"""From documents to training sequences: pieces, fill-in-the-middle, tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

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


def sequence(
    tokenizer: CodeTokenizer,
    text: str,
    path: str,
    options: FimOptions,
    random: np.random.Generator,
    quality: int | None = None,
) -> list[int]:
    """One piece as training ids, its form drawn from `random`.

    The split is at character level (Bavarian et al. 2022, section 3 and appendix C.1: two cuts,
    uniform over the text); for `line_share` of them the second cut moves on to a line start.
    """
    shown = quality is not None and random.random() < options.quality_share
    header = Header(
        quality=quality if shown else None,
        path=path if random.random() < options.path_share else None,
    )
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
