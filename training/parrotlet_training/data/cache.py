"""The cache of `parrotlet pretokenize`: its files, and how they are written.

A folder, whole or absent::

    cache.json                    what it was made of, and every file's size and SHA-256
    train-00000.tokens.npy        (tokens,) uint16, or uint32 where the vocabulary needs it
    train-00000.lengths.npy       (sequences,) uint32: tokens of each sequence
    train-00000.units.npy         (draws, units) `UNIT`: where each unit's sequences lie
    validation-00000.….npy        the same of plain documents, one draw
    validation-00000.sizes.npy    (documents,) uint32: UTF-8 bytes of each document

A part holds a run of units. Its tokens and lengths are those of its first draw, unit by unit, then
those of the second: a draw is what fill-in-the-middle and the header's parts were in one epoch.
Epoch e reads draw e modulo the number of draws, so that with the same seed the first epochs give
the very rows that streaming gives. Neither the number of streams nor the window is baked in.
"""

from __future__ import annotations

import functools
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parrotlet_tokenizer import CodeTokenizer

from ..fim import FimOptions

MANIFEST = "cache.json"
FORMAT_VERSION = 1

UNIT = np.dtype(
    [
        ("first_sequence", "<u8"),
        ("sequences", "<u4"),
        ("checksum", "<u4"),
        ("first_token", "<u8"),
        ("tokens", "<u8"),
    ]
)
"""Of one draw of a unit: its place in the part, and the CRC-32 of its tokens and lengths."""


@dataclass(frozen=True)
class Origin:
    """What a cache is made of: two with equal origins hold equal tokens.

    Attributes:
        train: fingerprint of the training units.
        validation: fingerprint of the validation units.
        tokenizer: SHA-256 of ``tokenizer.json``.
        vocabulary: entries of the tokenizer.
        context: tokens that the model sees; pieces are cut to it.
        seed: of the draws.
        draws: their number.
        fim: how pieces become sequences.
    """

    train: str
    validation: str
    tokenizer: str
    vocabulary: int
    context: int
    seed: int
    draws: int
    fim: FimOptions

    @property
    def token(self) -> np.dtype[Any]:
        """Type of a token."""
        return np.dtype("<u2" if self.vocabulary <= 1 << 16 else "<u4")


@dataclass(frozen=True)
class Part:
    """A part's entry in the manifest.

    Attributes:
        name: such as ``train-00000``.
        units: that it holds.
        sequences: of all draws.
        tokens: of all draws.
        files: size and SHA-256 of each, by name.
    """

    name: str
    units: int
    sequences: int
    tokens: int
    files: dict[str, tuple[int, str]]


def tokenizer_hash(tokenizer: CodeTokenizer) -> str:
    """SHA-256 of its ``tokenizer.json``."""
    return hashlib.sha256(tokenizer.json.encode("utf-8")).hexdigest()


def is_cache(folder: str | Path) -> bool:
    """Whether `folder` is one of `parrotlet pretokenize`."""
    return (Path(folder).expanduser() / MANIFEST).is_file()


def write_manifest(
    folder: Path,
    origin: Origin,
    facts: Mapping[str, Any],
    rated: bool,
    parts: Mapping[str, Sequence[Part]],
) -> None:
    """Writes ``cache.json``; `parts` are what `write_part` gave, by split."""
    content: dict[str, Any] = {
        "format": FORMAT_VERSION,
        "tool": f"parrotlet {metadata.version('parrotlet')}",
        "origin": asdict(origin),
        "facts": dict(facts),
        "rated": rated,
        "parts": {split: [asdict(part) for part in own] for split, own in parts.items()},
    }
    content["sha256"] = manifest_hash(content)
    (folder / MANIFEST).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def manifest_hash(content: Mapping[str, Any]) -> str:
    """SHA-256 of the manifest's other fields."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8")).hexdigest()


def write_part(
    folder: Path,
    name: str,
    token: np.dtype[Any],
    draws: Sequence[Sequence[Sequence[NDArray[Any]]]],
    sizes: Sequence[int] | None = None,
) -> Part:
    """Writes one part.

    Args:
        folder: of the cache.
        name: such as ``train-00000``.
        token: type of a token.
        draws: token ids of each sequence, by draw and unit.
        sizes: UTF-8 bytes of each document, in their order.

    Returns:
        Its entry in the manifest.
    """
    units = np.zeros((len(draws), len(draws[0])), UNIT)
    lengths: list[NDArray[np.uint32]] = []
    tokens: list[NDArray[Any]] = []
    sequence = token_number = 0
    for draw, contents in enumerate(draws):
        for unit, ids in enumerate(contents):
            own_lengths = np.array([len(item) for item in ids], "<u4")
            own = np.concatenate([*ids, np.empty(0, token)]).astype(token)
            check = checksum(own, own_lengths)
            units[draw, unit] = (sequence, len(ids), check, token_number, len(own))
            lengths.append(own_lengths)
            tokens.append(own)
            sequence += len(ids)
            token_number += len(own)
    arrays: dict[str, NDArray[Any]] = {
        "tokens": np.concatenate(tokens),
        "lengths": np.concatenate(lengths),
        "units": units,
    }
    if sizes is not None:
        arrays["sizes"] = np.array(sizes, "<u4")
    files = {}
    for kind, array in arrays.items():
        file = folder / f"{name}.{kind}.npy"
        with file.open("wb") as stream:
            np.save(stream, array)
        files[file.name] = (file.stat().st_size, file_hash(file))
    return Part(name, len(draws[0]), sequence, token_number, files)


def file_hash(file: Path) -> str:
    """SHA-256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def checksum(tokens: NDArray[Any], lengths: NDArray[Any]) -> int:
    """CRC-32 of a unit's tokens and of the lengths of its sequences."""
    parts = (np.ascontiguousarray(part).data for part in (tokens, lengths))
    return functools.reduce(lambda value, part: zlib.crc32(part, value), parts, 0)
