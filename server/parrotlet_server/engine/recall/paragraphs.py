"""Tokens of a text that is edited: only the piece that has changed is tokenised again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np

from parrotlet_tokenizer import CodeTokenizer

from .ngrams import Tokens

LONGEST_PIECE = 4_000
"""Characters: some 3 ms of work, during which the interpreter does nothing else."""

_REMEMBERED = 4_096
"""Pieces: those of a few long files, at most some 25 MB."""

_LINES = 50
"""Lines of a piece where no blank line ends it before."""

_BREAK = "\n\n"
_MANY_LINES = re.compile(rf"(?:[^\n]*\n){{1,{_LINES}}}|[^\n]+")
_GAP: Tokens = np.zeros(1, np.uint16)


def pieces(text: str) -> Iterator[str]:
    """Cuts `text` at blank lines, and where there are none for long, by the lines since the last.

    So what is typed in a line changes one piece. A piece begins with the line ends before it, and
    its tokens are those of the whole text but where the one before ends in signs that the
    vocabulary would join with them.
    """
    first, *others = text.split(_BREAK)
    for paragraph in (first, *(_BREAK + other for other in others)):
        if len(paragraph) <= LONGEST_PIECE:
            yield paragraph
            continue
        for lines in _MANY_LINES.findall(paragraph):
            for at in range(0, len(lines), LONGEST_PIECE):
                yield lines[at : at + LONGEST_PIECE]


def encode(tokenizer: CodeTokenizer, text: str) -> Tokens:
    """The tokens of `text`, piece by piece, of a vocabulary of at most `LARGEST_VOCABULARY`."""
    return np.concatenate([np.array(tokenizer.encode(one), np.uint16) for one in pieces(text)])


class Paragraphs:
    """Tokenises texts piece by piece, and remembers the pieces."""

    def __init__(self, tokenizer: CodeTokenizer) -> None:
        """`tokenizer` has at most `LARGEST_VOCABULARY` entries."""
        self._encode = lru_cache(maxsize=_REMEMBERED)(
            lambda text: np.array(tokenizer.encode(text), np.uint16)
        )

    def run(self, texts: tuple[str, ...], cancelled: Callable[[], bool]) -> Tokens | None:
        """The tokens of `texts` as one run, with a gap after each; None if it was cancelled.

        An id 0 stands for a gap.
        """
        found = []
        for text in texts:
            for piece in pieces(text):
                if cancelled():
                    return None
                found.append(self._encode(piece))
            found.append(_GAP)
        return np.concatenate(found)
