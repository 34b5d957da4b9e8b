"""What a tokenizer does to text, as numbers; the same definitions for each tokenizer."""

from __future__ import annotations

import builtins
import keyword
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .peers import Subject

RARE = 5
"""An entry that is used less often than this in the text measured is rare."""

_MODULES = """
abc argparse ast asyncio base64 bisect calendar collections concurrent configparser
contextlib copy csv ctypes dataclasses datetime decimal difflib email enum errno fnmatch
fractions functools gc getpass glob gzip hashlib heapq hmac html http importlib inspect
io ipaddress itertools json locale logging math mimetypes multiprocessing operator os
pathlib pickle platform pprint queue random re secrets select shlex shutil signal socket
sqlite3 ssl stat statistics string struct subprocess sys tarfile tempfile textwrap
threading time timeit traceback types typing unicodedata unittest urllib uuid warnings
weakref xml zipfile zlib
"""

MODULES = tuple(_MODULES.split())
"""Modules of the standard library that programs often import."""

_SITE = {"copyright", "credits", "exit", "help", "license", "quit"}  # of interactive sessions

_WORD = re.compile(rb"[A-Za-z0-9_\x80-\xff]+")  # bytes over 127 are letters of some script
_IDENTIFIER = re.compile(rb"(?<![0-9A-Za-z_\x80-\xff])[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*")


@dataclass(frozen=True)
class Compression:
    """How short a text becomes.

    Attributes:
        name: of the tokenizer.
        entries: of its vocabulary, special tokens left out.
        bytes: UTF-8 bytes of the text.
        tokens: of the whole text.
        bytes_per_token: their quotient, the mean length of a token.
        by_repository: the same quotient for each.
        p95_length: bytes; 95 % of the tokens are no longer.
        across_words: share of the tokens that hold (parts of) two words or more.
        fertility: tokens that a mean identifier touches (after Rust et al. 2021, "How Good is Your
            Tokenizer?", who count them for words).
        continued: share of the identifiers that more than one token touches.
        unused: entries that do not occur.
        rare: entries that occur, but less than `RARE` times.
    """

    name: str
    entries: int
    bytes: int
    tokens: int
    bytes_per_token: float
    by_repository: dict[str, float]
    p95_length: int
    across_words: float
    fertility: float
    continued: float
    unused: int
    rare: int


@dataclass(frozen=True)
class Coverage:
    """How many of a list of names are one token, alone and after a space."""

    names: int
    alone: int
    after_space: int
    missing: list[str]


def measure(
    subject: Subject, texts: dict[str, list[str]]
) -> tuple[Compression, npt.NDArray[np.int64]]:
    """Encodes `texts` (by repository) with `subject`.

    Returns:
        The figures, and how often each id occurs: int64 of shape (ids,).

    Raises:
        ValueError: if the tokens do not spell the text.
    """
    lengths = np.array([len(token) for token in subject.token_bytes], dtype=np.int64)
    counts = np.zeros(len(lengths), dtype=np.int64)
    identifiers = touched = continued = 0
    by_repository = {}
    for repository, contents in texts.items():
        size = number = 0
        for text in contents:
            content = text.encode()
            ids = np.array(subject.encode(text), dtype=np.int64)
            ends = np.cumsum(lengths[ids])
            if (int(ends[-1]) if len(ends) else 0) != len(content):
                raise ValueError(f"{subject.name} does not give back a text of {repository}")
            counts += np.bincount(ids, minlength=len(counts))
            spans = [match.span() for match in _IDENTIFIER.finditer(content)]
            if spans:
                starts, stops = np.array(spans).T
                pieces = (
                    np.searchsorted(ends, stops, "left")
                    - np.searchsorted(ends, starts, "right")
                    + 1
                )
                identifiers += len(pieces)
                touched += int(pieces.sum())
                continued += int((pieces > 1).sum())
            size += len(content)
            number += len(ids)
        by_repository[repository] = size / max(number, 1)
    tokens = int(counts.sum())
    total = int((counts * lengths).sum())
    across = np.array([len(_WORD.findall(token)) > 1 for token in subject.token_bytes])
    order = np.argsort(lengths, kind="stable")
    place = int(np.searchsorted(np.cumsum(counts[order]), 0.95 * tokens))
    text_entries = lengths > 0
    return (
        Compression(
            name=subject.name,
            entries=int(text_entries.sum()),
            bytes=total,
            tokens=tokens,
            bytes_per_token=total / max(tokens, 1),
            by_repository=by_repository,
            p95_length=int(lengths[order][min(place, len(order) - 1)]),
            across_words=float(counts[across].sum()) / max(tokens, 1),
            fertility=touched / max(identifiers, 1),
            continued=continued / max(identifiers, 1),
            unused=int(((counts == 0) & text_entries).sum()),
            rare=int(((counts > 0) & (counts < RARE)).sum()),
        ),
        counts,
    )


def coverage(subject: Subject) -> dict[str, Coverage]:
    """How much of the language is one token: keywords, builtins, modules of the library."""
    lists = {
        "keywords": keyword.kwlist,
        "builtins": sorted(name for name in dir(builtins) if name[0] != "_" and name not in _SITE),
        "modules": MODULES,
    }
    return {kind: _coverage(subject, names) for kind, names in lists.items()}


def _coverage(subject: Subject, names: Iterable[str]) -> Coverage:
    names = list(names)
    alone = [len(subject.encode(name)) == 1 for name in names]
    spaced = [len(subject.encode(f" {name}")) == 1 for name in names]
    missing = [n for n, a, s in zip(names, alone, spaced, strict=True) if not (a or s)]
    return Coverage(len(names), sum(alone), sum(spaced), missing)


@dataclass(frozen=True)
class Entries:
    """Tokens worth a look, as text; `replace` marks what is no UTF-8 of its own.

    Attributes:
        first: those learnt first.
        last: those learnt last.
        longest: the longest, in bytes.
        most_used: with their count in the text measured.
        across_words: the most used of those that hold two words or more, with their count.
    """

    first: list[str]
    last: list[str]
    longest: list[str]
    most_used: list[tuple[str, int]]
    across_words: list[tuple[str, int]]


def entries(subject: Subject, counts: npt.NDArray[np.int64], number: int = 24) -> Entries:
    """The tokens of `subject` worth a look, `number` of each kind."""
    ids = [index for index, token in enumerate(subject.token_bytes) if len(token) > 1]
    longest = sorted(ids, key=lambda index: (-len(subject.token_bytes[index]), index))
    used = sorted(ids, key=lambda index: (-int(counts[index]), index))
    across = [i for i in used if counts[i] and len(_WORD.findall(subject.token_bytes[i])) > 1]

    def text(index: int) -> str:
        return subject.token_bytes[index].decode("utf-8", "replace")

    return Entries(
        first=[text(index) for index in ids[:number]],
        last=[text(index) for index in ids[-number:]],
        longest=[text(index) for index in longest[:number]],
        most_used=[(text(index), int(counts[index])) for index in used[:number]],
        across_words=[(text(index), int(counts[index])) for index in across[:number]],
    )


def encode_speed(subject: Subject, texts: Sequence[str]) -> float:
    """Megabytes of text that one thread encodes in a second, the best of three rounds."""
    size = sum(len(text.encode()) for text in texts)
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        for text in texts:
            subject.encode(text)
        best = min(best, time.perf_counter() - start)
    return size / 1e6 / best
