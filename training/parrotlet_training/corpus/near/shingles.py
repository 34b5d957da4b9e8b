"""A text as the set of its 5-grams of tokens, each a 64-bit hash."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

GRAM = 5
"""Tokens in one shingle."""

BLOCK = 1 << 16
"""Bytes hashed at once, so that the work arrays stay in the processor's cache."""

_SPACE, _WORD, _OPERATOR = range(3)


def _kind(byte: int) -> int:
    if bytes([byte]).isspace():
        return _SPACE
    return _WORD if byte >= 0x80 or bytes([byte]).isalnum() or byte == ord("_") else _OPERATOR


_KINDS = bytes(map(_kind, range(256)))


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """MurmurHash3's 64-bit finaliser, a bijection that lets every bit touch every other."""
    values = values ^ (values >> np.uint64(33))
    values *= np.uint64(0xFF51AFD7ED558CCD)
    values ^= values >> np.uint64(33)
    values *= np.uint64(0xC4CEB9FE1A85EC53)
    values ^= values >> np.uint64(33)
    return values


_BASE = 0x9E3779B97F4A7C15
_BYTE_VALUES = mixed(np.arange(1, 257, dtype=np.uint64))
_FACTORS = mixed(np.arange(257, 257 + GRAM, dtype=np.uint64)) | np.uint64(1)


@cache
def _powers(size: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Powers of the base and of its inverse modulo 2^64."""

    def up(base: int) -> NDArray[np.uint64]:
        factors = np.full(size, base, np.uint64)
        factors[0] = 1
        return np.multiply.accumulate(factors)

    return up(_BASE), up(pow(_BASE, -1, 1 << 64))


def token_hashes(text: str) -> NDArray[np.uint64]:
    """Hashes of the tokens of a text in their order.

    A token is a run of letters, digits and underscores, or one other character; white space only
    separates. Characters outside ASCII count as letters.
    """
    data = text.encode("utf-8", "surrogatepass")
    found = []
    start = 0
    while start < len(data):
        end = len(data)
        if end - start > BLOCK:
            # a line feed ends every token; the rare longer line makes a block of its own
            end = data.rfind(b"\n", start, start + BLOCK) + 1
            end = end or data.find(b"\n", start) + 1 or len(data)
        found.append(_block_hashes(data[start:end]))
        start = end
    return np.concatenate(found) if found else np.empty(0, np.uint64)


def _block_hashes(data: bytes) -> NDArray[np.uint64]:
    kinds = np.frombuffer(data.translate(_KINDS), np.uint8)
    begins = np.empty(len(data), np.bool_)
    begins[0] = True
    np.not_equal(kinds[1:], kinds[:-1], out=begins[1:])
    begins |= kinds == _OPERATOR
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], len(data))
    is_token = kinds[starts] != _SPACE
    starts, ends = starts[is_token], ends[is_token]
    # polynomial hash of every token at once: differences of running sums, shifted back to zero
    powers, inverse = _powers(max(BLOCK, 1 << (len(data) - 1).bit_length()))
    sums = np.zeros(len(data) + 1, np.uint64)
    np.cumsum(_BYTE_VALUES[np.frombuffer(data, np.uint8)] * powers[: len(data)], out=sums[1:])
    return mixed((sums[ends] - sums[starts]) * inverse[starts])


def shingles(text: str) -> NDArray[np.uint64]:
    """The distinct 5-grams of the tokens of a text.

    A text of one to four tokens has one shingle, all of it; one without a token has none.

    Returns:
        Sorted distinct hashes, shape (shingles,).
    """
    tokens = token_hashes(text)
    if not len(tokens):
        return tokens
    width = min(GRAM, len(tokens))
    count = len(tokens) - width + 1
    grams = np.zeros(count, np.uint64)
    for place in range(width):
        grams += tokens[place : place + count] * _FACTORS[place]
    grams = mixed(grams)
    grams.sort()
    fresh = np.empty(count, np.bool_)
    fresh[0] = True
    np.not_equal(grams[1:], grams[:-1], out=fresh[1:])
    return grams[fresh]


def jaccard(left: NDArray[np.uint64], right: NDArray[np.uint64]) -> float:
    """Jaccard similarity of two sets of shingles; 0 where both are empty.

    Args:
        left: sorted distinct hashes, shape (n,).
        right: sorted distinct hashes, shape (m,).
    """
    both = np.concatenate((left, right))
    if not len(both):
        return 0.0
    both.sort()
    shared = int(np.count_nonzero(both[1:] == both[:-1]))
    return shared / (len(both) - shared)
