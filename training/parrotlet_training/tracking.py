"""TensorBoard and Weights & Biases, through Accelerate."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from .checkpoint import write_whole
from .metrics import flat
from .recipe import Recipe

_ID = "wandb-id"


def open_trackers(accelerator: Accelerator, recipe: Recipe, run: Path, step: int) -> None:
    """Opens the recipe's trackers on the first process; a resumed run goes on in the same curves.

    Files lie in ``logs`` of `run`: event files of TensorBoard in a folder named after the recipe,
    those of Weights & Biases in ``wandb``, whatever ``WANDB_MODE`` says about sending them.

    Args:
        accelerator: made with the recipe's trackers.
        recipe: its values are told to the trackers.
        run: folder of the run.
        step: gone on from; what TensorBoard has of later ones is dropped.
    """
    if not recipe.run.trackers:
        return
    options: dict[str, dict[str, Any]] = {}
    if accelerator.is_main_process:
        logs = run / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        options["tensorboard"] = {"purge_step": step + 1}
        if "wandb" in recipe.run.trackers:
            file = logs / _ID
            if not file.is_file():
                write_whole(file, secrets.token_hex(8))
            options["wandb"] = {
                "dir": str(logs),
                "id": file.read_text(encoding="utf-8"),
                "name": run.name,
                "resume": "allow",
            }
    accelerator.init_trackers(
        recipe.name,
        config=flat(recipe.to_dict()),
        init_kwargs={name: options.get(name, {}) for name in recipe.run.trackers},
    )
