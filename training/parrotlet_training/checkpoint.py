"""Checkpoints: a Hugging Face folder plus what an exact resume needs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import re
import shutil
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2LMHeadModel

from parrotlet_tokenizer import CodeTokenizer

STATE = "training_state"
RUN_FILE = "parrotlet_run.json"
"""What the exported bundle's manifest says of corpus, run and evaluation."""

_SUMS = f"{STATE}/files.json"
_NAME = re.compile(r"step-(\d{8})")
_LEFT = re.compile(r"(?:\.|damaged-)step-(\d{8}).*")

log = logging.getLogger(__name__)


@dataclass
class TrainingState:
    """What a checkpoint holds besides weights and tokenizer.

    Random numbers need no state: they are derived from seed, step and place.

    Attributes:
        step: global batches done.
        tokens: tokens predicted so far.
        streams: states of all logical streams.
        optimizers: whole state of each optimiser, however it was shared out.
        best: lowest validation bits per byte so far.
        recipe: plain values of the recipe.
        best_step: step of the checkpoint that reached it; 0 if there is none.
        evaluation: the last evaluation, with its step.
        corpus: SHA-256 of the corpus's manifest; "" where it had none.
        scaler: state of the loss scaler of fp16; empty without one.
    """

    step: int
    tokens: int
    streams: list[dict[str, Any]]
    optimizers: list[dict[str, Any]]
    best: float
    recipe: dict[str, Any]
    best_step: int = 0
    evaluation: dict[str, float] = field(default_factory=dict)
    corpus: str = ""
    scaler: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def fresh(cls, recipe: dict[str, Any], corpus: str) -> TrainingState:
        """The state before the first step."""
        return cls(0, 0, [], [], math.inf, recipe, corpus=corpus)

    @classmethod
    def saved(cls, content: dict[str, Any]) -> TrainingState:
        """The state as a file has it; what other versions added is left out."""
        known = {entry.name for entry in fields(cls)}
        return cls(**{key: value for key, value in content.items() if key in known})


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
    weights: Mapping[str, torch.Tensor] | None = None,
) -> Path:
    """Writes ``checkpoints/step-N`` aside and renames it, so that it is whole or absent.

    All of it is on the disk before the rename, and the rename before this returns.

    Args:
        run: the run's folder.
        model: weights to save.
        tokenizer: saved with them.
        state: for the resume.
        facts: content of ``parrotlet_run.json``.
        weights: those of `model` where it holds only a shard of them.
    """
    final = checkpoint_folder(run, state.step)
    aside = final.parent / f".{final.name}.tmp"
    shutil.rmtree(aside, ignore_errors=True)
    save_model(aside, model if weights is None else _with(model, weights), tokenizer, facts)
    (aside / STATE).mkdir()
    torch.save(vars(state), aside / STATE / "state.pt")
    sums = {
        path.relative_to(aside).as_posix(): _sum(path)
        for path in sorted(aside.rglob("*"))
        if path.is_file()
    }
    (aside / _SUMS).write_text(json.dumps(sums, indent=1) + "\n", encoding="utf-8")
    for path in [*aside.rglob("*"), aside]:
        sync(path)
    shutil.rmtree(final, ignore_errors=True)
    aside.rename(final)
    sync(final.parent)
    return final


def save_model(
    folder: Path, model: GPT2LMHeadModel, tokenizer: CodeTokenizer, facts: dict[str, Any]
) -> None:
    """Writes the Hugging Face folder: weights, configuration, tokenizer, and `facts`."""
    model.save_pretrained(folder)
    tokenizer.save(folder, model.config.n_positions)
    (folder / RUN_FILE).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def newest_checkpoint(run: Path) -> Path | None:
    """The newest sound checkpoint; damaged ones after it are moved out of the way."""
    for folder in reversed(checkpoints(run)):
        harm = damage(folder)
        if harm is None:
            return folder
        aside = folder.with_name(f"damaged-{folder.name}")
        log.warning("%s is damaged (%s): moved to %s", folder, harm, aside.name)
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
    return None


def damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint's files; None if they are as they were written."""
    file = folder / _SUMS
    try:
        if not file.is_file():  # of an earlier version: whether it loads is all there is to ask
            load_checkpoint(folder)
            return None
        sums = json.loads(file.read_text(encoding="utf-8"))
        for name, expected in sums.items():
            if _sum(folder / name) != expected:
                return f"{name} has changed"
        missing = {"config.json", "model.safetensors", f"{STATE}/state.pt"} - set(sums)
        return f"{min(missing)} is missing" if missing else None
    except Exception as error:  # any damage: pickle, zip, safetensors, JSON, missing file
        return str(error).strip().partition("\n")[0] or type(error).__name__


def load_checkpoint(folder: Path) -> tuple[GPT2LMHeadModel, TrainingState]:
    """Weights and state; the state's tensors stay on the disk until they are read."""
    model = GPT2LMHeadModel.from_pretrained(folder, attn_implementation="sdpa")
    content = torch.load(
        folder / STATE / "state.pt", map_location="cpu", weights_only=True, mmap=True
    )
    return model, TrainingState.saved(content)


def prune(run: Path, keep: int, also: Container[Path]) -> None:
    """Removes all but the `keep` newest checkpoints and those of `also`.

    What was damaged or left half-written goes too, once `keep` whole ones are newer.
    """
    whole = checkpoints(run)
    for folder in whole[:-keep]:
        if folder not in also:
            shutil.rmtree(folder, ignore_errors=True)
    if len(whole) < keep:
        return
    for path in (run / "checkpoints").iterdir():
        left = _LEFT.fullmatch(path.name)
        if left and f"step-{left[1]}" <= whole[-keep].name:
            shutil.rmtree(path, ignore_errors=True)


def write_whole(file: Path, text: str) -> None:
    """Writes `file` so that it has its old or its new content, whatever happens."""
    aside = file.with_name(f".{file.name}.tmp")
    aside.write_text(text, encoding="utf-8")
    sync(aside)
    aside.replace(file)
    sync(file.parent)


def sync(path: Path) -> None:
    """Waits until a file, or a folder's entries, are on the disk."""
    with contextlib.suppress(PermissionError, IsADirectoryError):  # folders, on some systems
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _with(model: GPT2LMHeadModel, weights: Mapping[str, torch.Tensor]) -> GPT2LMHeadModel:
    """A model of the same shape that holds `weights`."""
    with torch.device("meta"):
        whole = GPT2LMHeadModel(model.config)
    whole.load_state_dict(dict(weights), assign=True)
    whole.tie_weights()
    whole.generation_config = model.generation_config
    return whole


def _sum(path: Path) -> list[Any]:
    with path.open("rb") as file:
        return [path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()]
