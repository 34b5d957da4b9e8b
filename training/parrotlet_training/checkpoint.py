"""Checkpoints: a Hugging Face folder plus what an exact resume needs."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2LMHeadModel

from parrotlet_tokenizer import CodeTokenizer

STATE = "training_state"
RUN_FILE = "parrotlet_run.json"
"""What the exported bundle's manifest says of corpus, run and evaluation."""

_NAME = re.compile(r"step-(\d{8})")


@dataclass
class TrainingState:
    """What a checkpoint holds besides weights and tokenizer.

    Attributes:
        step: global batches done.
        tokens: tokens predicted so far.
        streams: states of all logical streams.
        optimizers: state of each optimiser.
        random: state of torch's generator.
        best: lowest validation bits per byte so far.
        recipe: plain values of the recipe.
        best_step: step of the checkpoint that reached it; 0 if there is none.
        evaluation: the last evaluation, with its step.
        corpus: SHA-256 of the corpus's manifest; "" where it had none.
    """

    step: int
    tokens: int
    streams: list[dict[str, Any]]
    optimizers: list[dict[str, Any]]
    random: torch.Tensor
    best: float
    recipe: dict[str, Any]
    best_step: int = 0
    evaluation: dict[str, float] = field(default_factory=dict)
    corpus: str = ""

    @classmethod
    def fresh(cls, recipe: dict[str, Any], corpus: str) -> TrainingState:
        """The state before the first step."""
        return cls(0, 0, [], [], torch.get_rng_state(), math.inf, recipe, corpus=corpus)


def checkpoints(run: Path) -> list[Path]:
    """Whole checkpoints of a run, oldest first."""
    folder = run / "checkpoints"
    found = [p for p in folder.iterdir() if _NAME.fullmatch(p.name)] if folder.is_dir() else []
    return sorted(found)


def checkpoint_folder(run: Path, step: int) -> Path:
    """Where the checkpoint of `step` lies."""
    return run / "checkpoints" / f"step-{step:08d}"


def save_checkpoint(
    run: Path,
    model: GPT2LMHeadModel,
    tokenizer: CodeTokenizer,
    state: TrainingState,
    facts: dict[str, Any],
) -> Path:
    """Writes ``checkpoints/step-N`` aside and renames it, so that it is whole or absent.

    Args:
        run: the run's folder.
        model: weights to save.
        tokenizer: saved with them.
        state: for the resume.
        facts: content of ``parrotlet_run.json``.
    """
    final = checkpoint_folder(run, state.step)
    aside = final.parent / f".{final.name}.tmp"
    shutil.rmtree(aside, ignore_errors=True)
    save_model(aside, model, tokenizer, facts)
    (aside / STATE).mkdir()
    torch.save(vars(state), aside / STATE / "state.pt")
    shutil.rmtree(final, ignore_errors=True)
    return aside.rename(final)


def save_model(
    folder: Path, model: GPT2LMHeadModel, tokenizer: CodeTokenizer, facts: dict[str, Any]
) -> None:
    """Writes the Hugging Face folder: weights, configuration, tokenizer, and `facts`."""
    model.save_pretrained(folder)
    tokenizer.save(folder, model.config.n_positions)
    (folder / RUN_FILE).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def newest_checkpoint(run: Path) -> Iterator[tuple[Path, GPT2LMHeadModel, TrainingState]]:
    """Readable checkpoints, newest first; damaged ones are passed over with a warning."""
    from accelerate.logging import get_logger

    for folder in reversed(checkpoints(run)):
        try:
            model = GPT2LMHeadModel.from_pretrained(folder, attn_implementation="sdpa")
            content = torch.load(folder / STATE / "state.pt", map_location="cpu", weights_only=True)
            yield folder, model, TrainingState(**content)
        except Exception as error:  # any damage: pickle, zip, safetensors, JSON, missing file
            get_logger(__name__).warning("%s is damaged (%s), trying the one before", folder, error)


def prune(run: Path, keep: int, best_step: int) -> None:
    """Removes all but the `keep` newest checkpoints and the one of `best_step`."""
    for folder in checkpoints(run)[:-keep]:
        if folder != checkpoint_folder(run, best_step):
            shutil.rmtree(folder, ignore_errors=True)
