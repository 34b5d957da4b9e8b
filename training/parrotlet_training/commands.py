"""What `parrotlet train` and `parrotlet evaluate` run."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import NoReturn

import torch
from transformers.utils import logging

from .recipe import RecipeError, load_recipe

logging.disable_progress_bar()  # for models that load in a blink


def train(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet train`: alone, or as one of the processes of a launch."""
    gpus = torch.cuda.device_count()
    launched = "RANK" in os.environ or "ACCELERATE_MIXED_PRECISION" in os.environ
    if gpus > 1 and not launched:
        _relaunch(gpus)
    from parrotlet_tokenizer import TokenizerError

    from .dataset import DataError
    from .evaluate.loading import ModelError
    from .train import DivergedError
    from .train import train as run_training

    try:
        recipe = load_recipe(arguments.recipe, arguments.set)
        run = arguments.out or Path("runs") / recipe.name
        last = run_training(recipe, run, arguments.init_from)
    except (RecipeError, DataError, ModelError, TokenizerError, DivergedError) as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(str(error))
    print(f"checkpoint: {last}")
    return 0


def evaluate_bits(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet evaluate bits`."""
    from parrotlet_tokenizer import CodeTokenizer, TokenizerError

    from .dataset import DataError, text_rows
    from .evaluate.bits import score_rows
    from .evaluate.loading import ModelError, load_model

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        with load_model(arguments.model) as (model, folder):
            tokenizer = CodeTokenizer.load(folder)
            rows = text_rows(
                arguments.corpus,
                arguments.split,
                tokenizer,
                model.config.n_positions,
                arguments.max_bytes,
            )
            score = score_rows(model.to(device), rows, tokenizer, device)
    except (ModelError, DataError, TokenizerError, OSError) as error:
        return _fail(str(error))
    values = {
        "model": arguments.model,
        "corpus": str(arguments.corpus),
        "split": arguments.split,
        "bytes": score.bytes,
        "tokens": score.tokens,
        "loss": score.loss,
        "perplexity": score.perplexity,
        "bits_per_byte": score.bits_per_byte,
    }
    if arguments.json:
        print(json.dumps(values))
    else:
        print("\n".join(f"{key}: {value}" for key, value in values.items()))
    return 0


def release(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet release`."""
    from parrotlet_server.bundle import BundleError
    from parrotlet_tokenizer import TokenizerError

    from .dataset import DataError
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


def _relaunch(processes: int) -> NoReturn:
    """Becomes the launcher of this very command, once per GPU, so that signals reach it."""
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    launcher += ["--num_processes", str(processes), "--module", "parrotlet_server"]
    os.execv(sys.executable, [*launcher, *sys.argv[1:]])


def _fail(message: str) -> int:
    print(f"parrotlet: {message}", file=sys.stderr)
    return 1
