"""Training loops side by side: ours, CodeParrot's, Hugging Face's `Trainer`, nanoGPT's.

Each runs in its own process, which a gate stops between two optimiser steps. They take turns for a
few steps at a time, round after round in another order, so that whatever else the machine does
hits all of them, and ratios are of the same round.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from parrotlet_tokenizer import CodeTokenizer, TokenizerError
from parrotlet_tokenizer.files import write_aside
from parrotlet_tokenizer.train import train_tokenizer

from ..corpus.document import Document
from ..corpus.manifest import MANIFEST, Manifest
from ..corpus.shards import ShardWriter, shard_files
from ..data import DataError, TrainingData
from ..recipe import RecipeError, load_recipe
from .errors import BenchmarkError
from .peers.comparison import CONTENDERS, Contender, compare, verdict
from .peers.parrotlet import recipe
from .peers.plan import Plan, Shape
from .pipeline import documents


def chosen(names: Sequence[str], device: str) -> list[Contender]:
    """Contenders by name; without names all of the device, compiled ones where that is possible.

    Raises:
        BenchmarkError: if there is no such name.
    """
    by_name = {contender.name: contender for contender in CONTENDERS}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise BenchmarkError(f"no contender {unknown[0]!r}: choose of {', '.join(by_name)}")
    if names:
        return [by_name[name] for name in names]
    compiler = device == "cuda" or any(map(shutil.which, ("g++", "clang++", "c++")))
    return [c for c in CONTENDERS if device in c.lists and (compiler or not c.compiled)]


def standard_corpus(folder: Path, bytes_wanted: int) -> Path:
    """A corpus of the standard library's files, for who has none.

    Raises:
        BenchmarkError: if this Python has no library in source form.
    """
    place = Path(sysconfig.get_path("stdlib"))
    taken = 0
    with ShardWriter(folder, "train") as train, ShardWriter(folder, "validation") as validation:
        for number, (path, text) in enumerate(documents(place)):
            if path.startswith("site-packages/"):
                continue
            held_out = number % 50 == 0
            (validation if held_out else train).add(_document(path, text))
            taken += 0 if held_out else len(text)
            if taken >= bytes_wanted:
                break
    manifest = Manifest({}, shards=[*train.shards, *validation.shards])
    (folder / MANIFEST).write_text(json.dumps(manifest.to_json()), encoding="utf-8")
    return folder


def _document(path: str, text: str) -> Document:
    return Document(text, path, "python/cpython", "", "PSF-2.0", "stdlib")


def write_rows(plan: Plan) -> None:
    """Writes the rows that contenders without a tokenizer read: those of our own loader.

    Raises:
        DataError: if the corpus is too small.
    """
    made = recipe(plan)
    tokenizer = CodeTokenizer.load(plan.tokenizer)
    data = TrainingData.open(made.data, tokenizer, plan.shape.context, plan.seed)
    with data.loader() as loader, plan.rows_file.open("wb") as file:
        for _ in range(plan.steps):
            rows = loader.next_rows(made.optimizer.rows_per_stream)
            file.write(rows.astype(np.uint16).tobytes())


def _tokenizer(arguments: argparse.Namespace, corpus: Path, folder: Path) -> CodeTokenizer:
    """The one given, a new one of the wanted size, or the bundled model's; saved in `folder`."""
    if arguments.vocabulary is not None:
        texts = (text for _, text in islice(documents(corpus), 3000))
        tokenizer = train_tokenizer(texts, arguments.vocabulary)
    elif arguments.tokenizer is not None:
        tokenizer = CodeTokenizer.load(arguments.tokenizer)
    else:
        from parrotlet_server.bundle.resolve import DEFAULT_MODEL

        tokenizer = CodeTokenizer.load(DEFAULT_MODEL)
    tokenizer.save(folder)
    return tokenizer


def _plan(arguments: argparse.Namespace, folder: Path) -> Plan:
    given = load_recipe(arguments.recipe)
    layers, width, heads = given.model.layers, given.model.width, given.model.heads
    if arguments.shape:
        layers, width = _shape(arguments.shape)
        heads = max(1, width // 64)
    context = arguments.context or given.model.context
    rows = arguments.rows or given.optimizer.rows_per_stream * given.data.streams
    micro_rows = arguments.micro_rows or min(rows, given.optimizer.micro_rows)
    counts = (arguments.rounds, arguments.steps, arguments.warmup, arguments.threads)
    if min(*counts, layers, heads, rows, micro_rows) < 1 or context < 8:
        raise BenchmarkError("counts are at least 1, and the context at least 8")
    if width % heads:
        raise BenchmarkError(f"width {width} is no multiple of its {heads} heads")
    if rows % micro_rows:
        raise BenchmarkError(f"{rows} rows are no multiple of {micro_rows} at a time")
    steps = arguments.warmup + arguments.rounds * arguments.steps
    corpus = arguments.corpus
    if corpus is None:
        text = max(4_000_000, steps * rows * context * 4)
        corpus = standard_corpus(folder / "corpus", text)
    elif not shard_files(corpus, "train") or not shard_files(corpus, "validation"):
        raise BenchmarkError(f"{corpus} has no training or no validation shards")
    tokenizer = folder / "tokenizer"
    vocabulary = _tokenizer(arguments, corpus, tokenizer).vocabulary_size
    if vocabulary > 1 << 16:
        raise BenchmarkError("nanoGPT's file of tokens holds no ids above 65,535")
    return Plan(
        shape=Shape(layers, width, heads, context, vocabulary),
        rows=rows,
        micro_rows=micro_rows,
        steps=steps,
        device=arguments.device,
        precision=arguments.precision or ("bf16" if arguments.device == "cuda" else "fp32"),
        compile=False,
        loss="full",
        corpus=corpus,
        tokenizer=tokenizer,
        rows_file=folder / "rows.bin",
        folder=folder,
    )


def _shape(text: str) -> tuple[int, int]:
    layers, _, width = text.partition("x")
    if not (layers.isdecimal() and width.isdecimal()):
        raise BenchmarkError(f"{text!r} is no shape: give LAYERSxWIDTH, such as 12x768")
    return int(layers), int(width)


def run(arguments: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Measures, prints and writes what `parrotlet bench train` is asked for.

    Raises:
        BenchmarkError: if the arguments do not fit together or a contender fails.
        RecipeError: if there is no such recipe.
        DataError: if the corpus is too small.
        TokenizerError: if the vocabulary cannot be read or made.
    """
    contenders = chosen(arguments.only, arguments.device)
    with tempfile.TemporaryDirectory(prefix="parrotlet-bench-") as name:
        plan = _plan(arguments, Path(name))
        write_rows(plan)
        comparison = compare(
            plan,
            contenders,
            arguments.rounds,
            arguments.steps,
            arguments.warmup,
            arguments.threads,
            say,
        )
    header = comparison.header()
    found = ["", *comparison.markdown(), "", *verdict(comparison)]
    say("\n".join(["", *header, *found]))
    _write(arguments.json, [json.dumps(comparison.to_dict(), indent=1)])
    _write(arguments.markdown, [*(f"- {line}" for line in header), *found])


def _write(file: Path | None, lines: Iterable[str]) -> None:
    if file is not None:
        write_aside(file, "\n".join(lines).rstrip() + "\n")


def main(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet bench train`."""
    try:
        run(arguments, lambda line: print(line, flush=True))  # noqa: T201
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped\n")
        return 130
    except (BenchmarkError, RecipeError, DataError, TokenizerError, OSError, ValueError) as error:
        sys.stderr.write(f"parrotlet: {error}\n")
        return 1
    return 0
