"""A text as the set of its 5-grams of tokens, each a 64-bit hash."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    return _token_hashes(text.encode("utf-8", "surrogatepass"))


def _token_hashes(data: bytes) -> NDArray[np.uint64]:
    found = []
    start = 0
    while start < len(data):
        end = len(data)
        if end - start > BLOCK:
            # a line feed ends every token; the rare longer line makes a block of its own
            end = data.rfind(b"\n", start, start + BLOCK) + 1
            end = end or data.find(b"\n", start) + 1 or len(data)
        found.append(_block_hashes(data[start:end])[1])
        start = end
    return np.concatenate(found) if found else np.empty(0, np.uint64)


def _block_hashes(data: bytes) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Where the tokens of a block begin, and their hashes, shape (tokens,) both."""
    kinds = np.frombuffer(data.translate(_KINDS), np.uint8)
    in_token = kinds != _SPACE
    begins = np.empty(len(data) + 1, np.bool_)
    begins[0] = begins[-1] = True
    np.not_equal(kinds[1:], kinds[:-1], out=begins[1:-1])
    begins[:-1] |= kinds == _OPERATOR
    starts = np.flatnonzero(begins[:-1] & in_token)
    ends = np.flatnonzero(begins[1:] & in_token)
    # polynomial hash of every token at once: differences of running sums, shifted back to zero
    powers, inverse = _powers(max(BLOCK, 1 << (len(data) - 1).bit_length()))
    sums = np.zeros(len(data) + 1, np.uint64)
    values = _BYTE_VALUES.take(np.frombuffer(data, np.uint8))
    values *= powers[: len(data)]
    np.cumsum(values, out=sums[1:])
    hashes = sums[1:].take(ends)
    hashes -= sums.take(starts)
    hashes *= inverse.take(starts)
    return starts, mixed(hashes)


def shingles(text: str) -> NDArray[np.uint64]:
    """The distinct 5-grams of the tokens of a text.

    A text of one to four tokens has one shingle, all of it; one without a token has none.

    Returns:
        Sorted distinct hashes, shape (shingles,).
    """
    return next(shingles_of([text]))


def shingles_of(texts: Iterable[str]) -> Iterator[NDArray[np.uint64]]:
    """`shingles` of each text; small texts share the work of a block."""
    waiting: list[bytes] = []
    size = 0
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        if waiting and size + len(data) > BLOCK:
            yield from _of_block(waiting)
            waiting, size = [], 0
        if len(data) >= BLOCK:
            hashes = _token_hashes(data)
            yield _distinct(_grams(hashes), 0, len(hashes), hashes)
        else:
            waiting.append(data)
            size += len(data) + 1
    yield from _of_block(waiting)


def _of_block(texts: list[bytes]) -> Iterator[NDArray[np.uint64]]:
    """Shingles of small texts; a line feed between two keeps their tokens apart."""
    if not any(texts):
        yield from (np.empty(0, np.uint64) for _ in texts)
        return
    starts, hashes = _block_hashes(b"\n".join(texts))
    ends = np.cumsum([len(text) + 1 for text in texts])
    grams = _grams(hashes)
    begin = 0
    for end in np.searchsorted(starts, ends).tolist():
        yield _distinct(grams, begin, end, hashes)
        begin = end


def _grams(tokens: NDArray[np.uint64], width: int = GRAM) -> NDArray[np.uint64]:
    """Hashes of all runs of `width` tokens, shape (tokens - width + 1,), or (0,)."""
    count = max(0, len(tokens) - width + 1)
    grams = np.zeros(count, np.uint64)
    for place in range(width):
        grams += tokens[place : place + count] * _FACTORS[place]
    return mixed(grams)


def _distinct(
    grams: NDArray[np.uint64], begin: int, end: int, tokens: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """Shingles of the text that has the tokens `begin` to `end`; sorts its part of `grams`."""
    count = end - begin - GRAM + 1
    if count < 1:
        return _grams(tokens[begin:end], end - begin) if end > begin else np.empty(0, np.uint64)
    own = grams[begin : begin + count]
    own.sort()
    fresh = np.empty(count, np.bool_)
    fresh[0] = True
    np.not_equal(own[1:], own[:-1], out=fresh[1:])
    return own[fresh]


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
