"""`parrotlet bench engine`: this engine beside llama.cpp and others, with the same weights."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from parrotlet_server.backends.native import NativeBackend
from parrotlet_server.bundle import BundleError
from parrotlet_server.engine import Engine
from parrotlet_tokenizer import CodeTokenizer

from ...evaluate.cursors import CursorError
from ..corpus import machine
from ..errors import BenchmarkError
from .candidates import Files, Kind, chosen, installed
from .measure import Work, measure
from .replay import Recorded, Session, held_out, record, sessions, standard_library
from .report import notes, table, to_json, verdicts

PROMPT = 512
ANSWER = 48
"""Tokens of the figures for reading and decoding."""

Rows = tuple[list[list[int]], int]


def typing(holdout: Path, seed: int) -> tuple[list[Session], str | None]:
    """What is typed, and what the user is to know about it."""
    try:
        return list(sessions(held_out(holdout, seed))), None
    except CursorError as error:
        told = f"{error}: the standard library is typed instead, which the model may have learnt"
        return list(sessions(standard_library(seed))), told


def _texts(typed: list[Session], tokenizer: CodeTokenizer, number: int, length: int) -> Rows:
    """Rows of ids out of the files, and the bytes that all ids after the first of each say."""
    rows = []
    for session in typed:
        ids = tokenizer.encode(session.text[: 8 * length])[:length]
        if len(ids) == length:
            rows.append(ids)
        if len(rows) == number:
            break
    sizes = [len(text) for text in tokenizer.token_bytes]
    return rows, sum(sizes[token] for row in rows for token in row[1:])


def _prompt(requests: list[Recorded], size: int) -> list[int]:
    """`size` ids as the engine reads them: the end of the longest prompt, repeated if need be."""
    longest = max((one.prompt for one in requests), key=len)
    return (longest * (1 + size // len(longest)))[-size:]


def _work(arguments: argparse.Namespace, engine: Engine, typed: list[Session]) -> Work:
    context = engine.backend.context_length
    requests = record(engine, typed, arguments.requests)
    if not requests:
        raise BenchmarkError("no request reaches the model while these files are typed")
    ids = _prompt(requests, min(PROMPT, context // 2) + ANSWER)
    texts, size = _texts(typed, engine.tokenizer, arguments.texts, min(513, context))
    if not texts:
        raise BenchmarkError(f"no file of the replay has {min(513, context)} tokens")
    return Work(
        requests=requests,
        prompt=ids[:-ANSWER],
        answer=ids[-ANSWER:],
        texts=texts,
        text_bytes=size,
        rounds=arguments.rounds,
        loads=arguments.loads,
        seconds=arguments.seconds,
        threads=arguments.threads,
        number=2 if isinstance(engine.backend, NativeBackend) else 4,
    )


def _present(kinds: list[Kind], files: Files) -> tuple[list[Kind], list[str]]:
    """The kinds that can run here with their files made, and what is told of the others."""
    found, told = [], []
    for kind, reason in installed(kinds):
        if reason is None and files.path(kind.model) is None:
            reason = f"{kind.label} is left out: this model's shape does not suit it"
        if reason is None:
            found.append(kind)
        else:
            told.append(reason)
    return found, told


def run(arguments: argparse.Namespace) -> Iterator[str]:
    """The report, line by line.

    Raises:
        BenchmarkError: if there is nothing to measure, or a candidate ends.
        BundleError: if there is no such model, or no bundle is to be had of it.
    """
    counts = (arguments.requests, arguments.rounds, arguments.loads, arguments.threads)
    if min(*counts, arguments.texts) < 1 or arguments.seconds <= 0:
        raise BenchmarkError("counts are at least 1, and seconds more than 0")
    kinds = chosen(arguments.only)
    yield f"machine: {machine()}"
    engine = Engine.load(arguments.model, arguments.threads)
    bundle = engine.bundle
    assert bundle is not None
    typed, told = typing(arguments.holdout, arguments.seed)
    if told:
        yield told
    with tempfile.TemporaryDirectory(prefix="parrotlet-bench-") as folder:
        files = Files(bundle, Path(folder))
        present, left_out = _present(kinds, files)
        yield from left_out
        work = _work(arguments, engine, typed)
        del engine
        measured = measure(present, bundle, files, work, _tell if arguments.progress else _quiet)
    yield from ["", *table(measured), "", *verdicts(measured), "", *notes(measured)]
    if arguments.json:
        arguments.json.write_text(json.dumps(to_json(measured), indent=1), encoding="utf-8")
    if arguments.markdown:
        text = "\n".join([*table(measured), "", *verdicts(measured), "", *notes(measured)])
        arguments.markdown.write_text(text + "\n", encoding="utf-8")


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _quiet(text: str) -> None:
    """Nobody wants to know."""


def main(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet bench engine`."""
    try:
        for line in run(arguments):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    except (BenchmarkError, BundleError, CursorError, OSError) as error:
        sys.stderr.write(f"parrotlet: {error}\n")
        return 1
    return 0
