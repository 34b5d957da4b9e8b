"""How long, how much and with which rates: the recipe that an adaptation makes for itself."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch

from parrotlet_server.bundle.manifest import Bundle

from ..evaluate.loading import load_model
from ..fim import FimOptions
from ..hardware import kept_memory, this_device
from ..model import new_optimizers
from ..objective import Objective
from ..recipe import (
    DataOptions,
    LossOptions,
    ModelOptions,
    OptimizerOptions,
    Recipe,
    RunOptions,
    ScheduleOptions,
)

ROWS = 4
"""Rows of a batch: a small one, since time is short and the weights are good already."""

ROUNDS = 6
"""How often one's own code is to be read; time beyond that goes into more general Python."""

MOST_ROUNDS = 8
"""How often it is read at most."""

USED_SHARE = 0.85
"""Of the minutes given, for training; the rest goes into scoring and writing."""

LEAST_STEPS = 20


@dataclass(frozen=True)
class Settings:
    """What was found by measurement; see docs/experiments.md.

    Attributes:
        general_share: of general Python in the text that is learnt, at least.
        most_general_share: likewise, where there is time for it.
        optimizer: as in a recipe.
        learning_rate: peak, of AdamW.
        muon_learning_rate: peak, of Muon.
        weight_decay: as in a recipe.
        general_loss: by how much bits per byte of general Python may rise, relative; new weights
            are averaged with the old ones until they do not rise more.
        fim: how documents become sequences.
    """

    general_share: float = 0.5
    most_general_share: float = 0.75
    optimizer: str = "muon"
    learning_rate: float = 2e-3
    muon_learning_rate: float = 2e-3
    weight_decay: float = 0.0
    general_loss: float = 0.01
    fim: FimOptions = field(
        default_factory=lambda: FimOptions(
            rate=0.9, spm_share=0.95, line_share=0.9, path_share=0.5, quality_share=0.5
        )
    )


def tokens_per_second(bundle: Bundle, seconds: float = 4.0) -> float:
    """How fast this machine trains `bundle`'s model, by steps whose weights are thrown away."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    keeping = kept_memory() if device.type == "cpu" else nullcontext()
    generator = torch.Generator().manual_seed(0)
    shape = bundle.manifest.architecture
    random = torch.get_rng_state()
    half = this_device("auto").precision == "bf16"
    with keeping, load_model(str(bundle.folder)) as (model, _):
        objective = Objective(model.to(device), _loss(), compiled=False)
        optimizers = new_optimizers(model, OptimizerOptions(name="muon"), fused=True, half=half)
        done, began = 0, 0.0
        while True:
            size = (ROWS, shape.context_length + 1)
            # low ids come more often, as in text
            ids = torch.rand(size, generator=generator).square() * (shape.vocabulary_size - 32)
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                loss = objective((ids + 32).long().to(device))
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if began:
                done += ROWS * shape.context_length
                if time.perf_counter() - began > seconds:
                    break
            began = began or time.perf_counter()  # the first is slower than the others
    torch.set_rng_state(random)
    return done / (time.perf_counter() - began)


def _loss() -> LossOptions:
    return LossOptions(kind="sampled" if not torch.cuda.is_available() else "full")


def steps_for(
    minutes: float,
    speed: float,
    context: int,
    own_bytes: int,
    bytes_per_token: float,
    settings: Settings,
) -> tuple[int, float]:
    """Batches that fit into `minutes`, and the share of general Python in them.

    Fewer batches where they would read one's own code too often.

    Args:
        minutes: in all.
        speed: tokens a second.
        context: tokens of a row.
        own_bytes: of one's own code that is learnt.
        bytes_per_token: of one's own code.
        settings: bounds of the share.
    """
    tokens = minutes * 60 * USED_SHARE * speed
    own = own_bytes / bytes_per_token
    most = max(settings.general_share, settings.most_general_share)
    share = min(max(1 - ROUNDS * own / tokens, settings.general_share), most)
    enough = MOST_ROUNDS * own / (1 - share)
    return max(LEAST_STEPS, int(min(tokens, enough) / (ROWS * context))), share


def make_recipe(
    name: str, bundle: Bundle, corpus: Path, tokenizer: Path, steps: int, settings: Settings
) -> Recipe:
    """The recipe of `steps` batches that begin with `bundle`'s weights."""
    shape = bundle.manifest.architecture
    model = ModelOptions(shape.layers, shape.width, shape.heads, shape.context_length)
    warmup = min(20, steps // 10)
    return Recipe(
        name=name,
        data=DataOptions(
            corpus=str(corpus), tokenizer=str(tokenizer), streams=1, window=256, fim=settings.fim
        ),
        model=model,
        loss=_loss(),
        optimizer=OptimizerOptions(
            name="muon" if settings.optimizer == "muon" else "adamw",
            learning_rate=settings.learning_rate,
            muon_learning_rate=settings.muon_learning_rate,
            weight_decay=settings.weight_decay,
            beta2=0.99,
            rows_per_stream=ROWS,
            micro_rows=ROWS,
        ),
        schedule=ScheduleOptions(steps=steps, warmup=warmup, decay=steps - warmup),
        run=RunOptions(
            evaluate_every=max(10, -(-steps // 4)),
            evaluate_bytes=60_000,
            checkpoint_every=max(5, steps // 20),
            keep=1,
        ),
    )
