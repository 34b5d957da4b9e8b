"""This project's own loop, as `parrotlet train` calls it."""

from __future__ import annotations

import json
from math import gcd

from ...fim import FimOptions
from ...recipe import (
    DataOptions,
    LossOptions,
    ModelOptions,
    OptimizerOptions,
    Recipe,
    RunOptions,
    ScheduleOptions,
)
from .gate import Gate
from .plan import Plan


def recipe(plan: Plan) -> Recipe:
    """The plan as a recipe; AdamW, as the others have it."""
    streams = gcd(plan.rows, 8)
    return Recipe(
        name="benchmark",
        data=DataOptions(
            str(plan.corpus), str(plan.tokenizer), streams=streams, window=4, fim=FimOptions()
        ),
        model=ModelOptions(
            plan.shape.layers, plan.shape.width, plan.shape.heads, plan.shape.context
        ),
        loss=LossOptions(kind=plan.loss),
        optimizer=OptimizerOptions(
            name="adamw",
            learning_rate=plan.learning_rate,
            rows_per_stream=plan.rows // streams,
            micro_rows=plan.micro_rows,
        ),
        # one more than will be asked for: the last step evaluates and saves
        schedule=ScheduleOptions(steps=plan.steps + 1, warmup=min(5, plan.steps), decay=0),
        run=RunOptions(
            seed=plan.seed,
            evaluate_every=plan.steps + 1,
            checkpoint_every=plan.steps + 1,
            precision=plan.precision,
            compile=plan.compile,
        ),
    )


def run(plan: Plan, gate: Gate) -> None:
    """Trains; what each step cost stands in ``metrics.jsonl``, as always."""
    from ...metrics import METRICS
    from ...train import train

    folder = plan.folder / "run"

    def loss() -> float | None:
        file = folder / METRICS  # holds the step before the one that the optimiser has just taken
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        return float(json.loads(lines[-1])["loss"]) if lines else None

    gate.loss = loss
    gate.watch(plan.device)
    train(recipe(plan), folder)
