"""What `parrotlet train`, `init` and `release` run."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers.utils import logging

from .recipe import Recipe, RecipeError, load_recipe

if TYPE_CHECKING:
    from .initial import Initial

logging.disable_progress_bar()  # for models that load in a blink


def train(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet train`: alone, as the launcher of one process a GPU, or as one of these."""
    from parrotlet_server.bundle import BundleError
    from parrotlet_tokenizer import TokenizerError

    from .data import DataError
    from .evaluate.loading import ModelError
    from .hub.failure import PushError
    from .processes import launch_command
    from .train import DivergedError, MemoryShortError

    try:
        recipe = load_recipe(arguments.recipe, _overrides(arguments))
        if arguments.dry_run:
            return _plan(arguments, recipe)
        devices = torch.cuda.device_count()
        command = launch_command(sys.argv[1:], devices, recipe.data.streams)
        if command is not None:
            os.execv(command[0], command)  # becomes the launcher, so that signals reach it
        last = _train(arguments, recipe)
    except (MemoryShortError, OSError) as error:
        return _fail(str(error))
    except (
        RecipeError,
        DataError,
        ModelError,
        BundleError,
        TokenizerError,
        PushError,
        DivergedError,
    ) as error:  # the same on all processes: one says it
        return _fail(str(error)) if _is_first() else 1
    if last is not None:
        print(f"checkpoint: {last}")
    return 0


def _overrides(arguments: argparse.Namespace) -> list[str]:
    """What the options of the command line set in the recipe."""
    found: list[str] = list(arguments.set)
    if arguments.push_to:
        found.append(f"run.push_to={arguments.push_to}")
    if arguments.private:
        found.append("run.private=true")
    return found


def _train(arguments: argparse.Namespace, recipe: Recipe) -> Path | None:
    """Trains, and publishes what the recipe wants published; None but on the first process."""
    from .train import train as run_training

    run = arguments.out or Path("runs") / recipe.name
    if not (recipe.run.push_to and _is_first()):
        last = run_training(recipe, run, arguments.init_from)
        return last if _is_first() else None
    from .checkpoint import checkpoint_folder
    from .hub.publisher import Publisher

    publisher = Publisher(run, recipe.run.push_to, recipe.run.private, arguments.with_state)
    final: Path | None = None
    try:
        last = run_training(recipe, run, arguments.init_from, publisher.offer)
        if last == checkpoint_folder(run, recipe.schedule.steps):
            final = last
    finally:
        for line in publisher.close(final):
            print(line)
    return last


def _is_first() -> bool:
    """Whether this is the first process of a launch, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def _plan(arguments: argparse.Namespace, recipe: Recipe) -> int:
    """Runs `parrotlet train --dry-run`."""
    from .hardware import named_device, this_device, this_processor
    from .plan import CPU_MFU, GPU_MFU, Plan, vocabulary_of

    precision = recipe.run.precision
    try:
        if arguments.device is None:
            device = this_device(precision)
        elif arguments.device.lower() == "cpu":
            device = this_processor(precision)
        else:
            device = named_device(arguments.device, precision)
    except ValueError as error:
        return _fail(str(error))
    here = torch.cuda.device_count() if arguments.device is None else 1
    vocabulary, known = vocabulary_of(recipe)
    mfu = arguments.mfu or (GPU_MFU if device.is_gpu else CPU_MFU)
    gpus = arguments.gpus or max(1, here)
    print("\n".join(Plan(recipe, vocabulary, known, device, gpus, mfu, arguments.price).lines()))
    return 0


def init(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet init`."""
    from parrotlet_tokenizer import TokenizerError

    from .evaluate.loading import ModelError
    from .hub.failure import PushError, check_name
    from .hub.upload import Upload, upload
    from .initial import initialise

    try:
        recipe = load_recipe(arguments.recipe, arguments.set)
        if arguments.push_to:
            check_name(arguments.push_to)
        initial = initialise(recipe, arguments.folder, arguments.given)
        print(_begun(initial, arguments))
        if arguments.push_to:
            message = f"First weights of {recipe.name}"
            folder = str(arguments.folder)
            item = Upload(folder, arguments.push_to, "main", message, arguments.private)
            print(f"pushed to {upload(item)}")
    except (RecipeError, TokenizerError, ModelError, PushError, OSError) as error:
        return _fail(str(error))
    return 0


def _begun(initial: Initial, arguments: argparse.Namespace) -> str:
    """What `parrotlet init` has made, in a line."""
    if initial.kept is None:
        return f"{initial.parameters:,} fresh weights written to {arguments.folder}"
    return (
        f"{initial.parameters:,} weights written to {arguments.folder}: those of "
        f"{arguments.given}, with {initial.kept:,} of {initial.entries:,} entries of the "
        "vocabulary kept and the others made of their pieces"
    )


def release(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet release`."""
    from parrotlet_server.bundle import BundleError
    from parrotlet_tokenizer import TokenizerError

    from .data import DataError
    from .evaluate.loading import ModelError
    from .release import cost_percent
    from .release import release as run_release

    try:
        done = run_release(
            arguments.checkpoint, arguments.folder, arguments.corpus, arguments.max_bytes
        )
    except (BundleError, DataError, ModelError, TokenizerError, OSError) as error:
        return _fail(str(error))
    size = sum(size for size, _ in done.bundle.manifest.files.values())
    print(f"held-out bits per byte: {done.full.bits_per_byte:.4f} (float32)")
    print(
        f"held-out bits per byte: {done.quantised.bits_per_byte:.4f} "
        f"(8 bits, {cost_percent(done.full, done.quantised):+.2f} %)"
    )
    print(f"{size / 1e6:.1f} MB written to {arguments.folder}")
    return 0


def _fail(message: str) -> int:
    print(f"parrotlet: {message}", file=sys.stderr)
    return 1
