"""Which copy of a near-duplicate is the best."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray


def name_key(repository: str, path: str) -> int:
    """64 bits that stand for a document's name in an order that no source sets."""
    name = f"{repository}\0{path}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(name).digest()[:8], "big")


def rank_documents(
    names: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    quality: NDArray[np.int8] | None = None,
    preferred: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """The place of every document when the best comes first.

    The higher quality wins; then the preferred (validation before training, say), so that the
    other side loses its copy; then the longer text; then the lesser name.

    Args:
        names: `name_key` of each document, shape (documents,).
        lengths: bytes or characters, shape (documents,).
        quality: 0 to 4, or -1 where unknown, shape (documents,).
        preferred: shape (documents,).

    Returns:
        A permutation of 0 … documents - 1, shape (documents,); 0 is the best.
    """
    keys: list[NDArray[np.generic]] = [names, -lengths.astype(np.int64)]
    if preferred is not None:
        keys.append(~preferred)
    if quality is not None:
        keys.append(-quality.astype(np.int16))
    order = np.lexsort(keys)
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks
