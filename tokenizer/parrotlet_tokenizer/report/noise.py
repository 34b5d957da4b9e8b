"""Code as people write it in haste: misspelt, shouted, indented otherwise."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

_WORD = re.compile(r"[^\W\d_]{3,}")
_INDENT = re.compile(r"^(?: {4})+", re.MULTILINE)
_SPACED = re.compile(r"(?<=\S) ?([-+*/!=<>]?=|[-+*/<>,:]) (?=\S)")

SHARE = 0.1
"""Share of the words that change."""

_SEED = 20


def misspelt(text: str) -> str:
    """A tenth of the words with two letters swapped, one lost or one doubled."""
    chance = random.Random(_SEED)

    def change(match: re.Match[str]) -> str:
        word = match[0]
        if chance.random() >= SHARE:
            return word
        place = chance.randrange(len(word) - 1)
        before, two, after = word[:place], word[place : place + 2], word[place + 2 :]
        return before + chance.choice([two[::-1], two[0], two[0] + two]) + after

    return _WORD.sub(change, text)


def case_changed(text: str) -> str:
    """A tenth of the words in capitals, in small letters or with a capital turned round."""
    chance = random.Random(_SEED)

    def change(match: re.Match[str]) -> str:
        word = match[0]
        if chance.random() >= SHARE:
            return word
        return chance.choice([word.upper(), word.lower(), word[0].swapcase() + word[1:]])

    return _WORD.sub(change, text)


def two_spaces(text: str) -> str:
    """Indentation by two spaces in place of four."""
    return _INDENT.sub(lambda match: match[0][: len(match[0]) // 2], text)


def unspaced(text: str) -> str:
    """No spaces round operators and behind commas."""
    return _SPACED.sub(r"\1", text)


NOISE: dict[str, Callable[[str], str]] = {
    "typos": misspelt,
    "case": case_changed,
    "two spaces": two_spaces,
    "unspaced": unspaced,
}
"""Name and change of each kind."""
