"""Whether the input keeps up with the model: tokens a second that one gives and the other takes.

Three measurements of one process: rows streamed from text, rows from a cache of the same text, and
steps of the recipe's model on this device. Input and model are measured apart; on a GPU they run
side by side, and on a processor they share it, for which the input's part of the time is told.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from parrotlet_tokenizer import CodeTokenizer, TokenizerError

from ..data import DataError, RowLoader, TrainingData
from ..data.cache import Origin, is_cache, tokenizer_hash, write_manifest, write_part
from ..data.cached import Cache
from ..data.sequences import Sequences
from ..model import new_model, new_optimizers
from ..objective import Objective
from ..processes import precision_of
from ..recipe import Recipe, RecipeError, load_recipe
from ..update import update
from .corpus import machine

CACHED_UNITS = 64
"""Units of text that are put into a cache where the recipe names none: 16 MiB."""

ENOUGH = 1.5
"""How many times as fast as the model an input has to be: it comes in bursts, one a window."""


@dataclass(frozen=True)
class Rate:
    """How fast something went.

    Attributes:
        tokens: a second.
        processor: processor seconds that a token took, of all threads.
        first: seconds until the first rows were there.
    """

    tokens: float
    processor: float
    first: float


def run(recipe: Recipe, seconds: float, steps: int) -> Iterator[str]:
    """Measures; yields the lines of the report as they are known.

    Args:
        recipe: whose data and model are measured.
        seconds: for which each kind of input is read.
        steps: optimiser steps of the model; one more comes before.

    Raises:
        DataError: if the data cannot be read.
    """
    yield f"machine: {machine()}"
    tokenizer = CodeTokenizer.load(Path(recipe.data.tokenizer))
    options = recipe.optimizer
    found: dict[str, Rate] = {}

    data = TrainingData.open(recipe.data, tokenizer, recipe.model.context, recipe.run.seed)
    with tempfile.TemporaryDirectory() as scratch:
        if is_cache(recipe.data.corpus) or recipe.data.cache:
            cached = data
        else:
            with data.loader() as loader:
                found["streaming"] = input_rate(loader, options.rows_per_stream, seconds)
            yield _line("streaming", found["streaming"])
            cache = sample_cache(Path(scratch), data.sequences, recipe, tokenizer)
            streams = min(recipe.data.streams, len(cache.train))
            cached = replace(
                data,
                sequences=cache.train,
                options=replace(data.options, streams=streams),
            )
        with cached.loader() as loader:
            found["pretokenised"] = input_rate(loader, options.rows_per_stream, seconds)
            yield _line("pretokenised", found["pretokenised"])
            batch = [loader.next_rows(options.rows_per_stream) for _ in range(2)]
    model = model_rate(recipe, tokenizer, np.concatenate(batch), steps)
    yield f"{'model, on ' + _device().type:<16}{model:>14,.0f} tokens/s"
    yield ""
    for name, rate in found.items():
        yield verdict(name, rate, model)


def input_rate(loader: RowLoader, rows_per_stream: int, seconds: float) -> Rate:
    """Rows of `loader` for `seconds`, as fast as they come."""
    began = time.perf_counter()
    loader.next_rows(rows_per_stream)
    first = time.perf_counter() - began
    tokens = 0
    began, spent = time.perf_counter(), time.process_time()
    while (passed := time.perf_counter() - began) < seconds:
        rows = loader.next_rows(rows_per_stream)
        tokens += rows.shape[0] * (rows.shape[1] - 1)
    return Rate(tokens / passed, (time.process_time() - spent) / max(1, tokens), first)


def sample_cache(
    folder: Path, sequences: Sequences, recipe: Recipe, tokenizer: CodeTokenizer
) -> Cache:
    """A cache of the first `CACHED_UNITS` units, in `folder`."""
    vocabulary, context = tokenizer.vocabulary_size, recipe.model.context
    origin = Origin(
        "", "", tokenizer_hash(tokenizer), vocabulary, context, recipe.run.seed, 1, recipe.data.fim
    )
    units = []
    for unit in range(min(CACHED_UNITS, len(sequences))):
        window = sequences.window([unit], 0)
        units.append(window.ids(range(len(window))))
    part = write_part(folder, "train-00000", origin.token, [units])
    write_manifest(folder, origin, {}, False, {"train": [part], "validation": []})
    return Cache(folder)


def model_rate(
    recipe: Recipe, tokenizer: CodeTokenizer, rows: NDArray[np.int32], steps: int
) -> float:
    """Tokens a second of whole training steps, uncompiled, on `rows` of shape (n, context + 1)."""
    device, options = _device(), recipe.optimizer
    model = new_model(recipe.model, tokenizer.vocabulary_size, recipe.run.seed).to(device)
    optimizers = new_optimizers(model, options, fused=True)
    objective = Objective(model, recipe.loss, compiled=False)
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision_of(recipe))
    whole = torch.from_numpy(rows.astype(np.int64)).to(device)
    batch = whole[: max(1, len(whole) // 2)]

    def step() -> None:
        for micro in torch.split(batch, options.micro_rows):
            with torch.autocast(device.type, half) if half else nullcontext():
                loss = objective(micro) * (len(micro) / len(batch))
            loss.backward()
        update(optimizers, model.parameters(), options.clip)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    step()
    began = time.perf_counter()
    for _ in range(steps):
        step()
    return steps * len(batch) * recipe.model.context / (time.perf_counter() - began)


def verdict(name: str, rate: Rate, model: float) -> str:
    """What the two speeds mean."""
    ratio = rate.tokens / model
    share = f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.1f}"
    if ratio >= ENOUGH:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        part = 100 * rate.processor * model / (cores or 1)
        cost = f" and takes {part:.1f} % of the processors" if _device().type == "cpu" else ""
        return f"{name}: {share} times as fast as the model{cost}; not the bottleneck"
    advice = "" if name == "pretokenised" else ": try `parrotlet pretokenize`"
    return f"{name}: {share} times as fast as the model; the bottleneck{advice}"


def _line(name: str, rate: Rate) -> str:
    return (
        f"{name:<16}{rate.tokens:>14,.0f} tokens/s, {1e6 * rate.processor:.2f} processor seconds a "
        f"million, the first rows after {rate.first:.1f} s"
    )


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def main(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet bench input`."""
    try:
        changes = [
            f"data.{name}={value}"
            for name in ("corpus", "tokenizer")
            if (value := getattr(arguments, name))
        ]
        recipe = load_recipe(arguments.recipe, [*changes, *arguments.set])
        if arguments.seconds <= 0 or arguments.steps < 1:
            raise RecipeError("--seconds is positive and --steps at least 1")
        for line in run(recipe, arguments.seconds, arguments.steps):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    except (RecipeError, DataError, TokenizerError, OSError) as error:
        sys.stderr.write(f"parrotlet: {error}\n")
        return 1
    return 0
