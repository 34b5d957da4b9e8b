"""The folder of a run: whose it is, and that one training at a time writes there."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from accelerate import Accelerator

from parrotlet_tokenizer import CodeTokenizer

from .checkpoint import TrainingState, write_whole
from .data import TrainingData
from .recipe import Recipe, RecipeError, load_recipe

RECIPE = "recipe.yaml"

log = logging.getLogger("parrotlet_training.train")


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Keeps other trainings out of `run`, until the block or the process ends.

    Raises:
        RecipeError: if one goes on there.
    """
    try:
        import fcntl
    except ImportError:  # no POSIX
        yield
        return
    run.mkdir(parents=True, exist_ok=True)
    with (run / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RecipeError(
                f"another training writes to {run}: choose another --out, or wait for it"
            ) from None
        except OSError:  # a file system without locks
            log.debug("%s cannot be locked", run)
        yield


def claim(recipe: Recipe, run: Path, accelerator: Accelerator) -> None:
    """Writes the recipe into a new run's folder, or checks that an old one's agrees.

    Raises:
        RecipeError: if the folder belongs to another recipe.
    """
    file = run / RECIPE
    if file.is_file() and not recipe.defines_same_run(load_recipe(str(file))):
        raise RecipeError(
            f"{run} was begun with another model, data, seed or batch: "
            "choose another --out, or remove it"
        )
    accelerator.wait_for_everyone()  # all have read it before it is written
    if accelerator.is_main_process:
        (run / "checkpoints").mkdir(parents=True, exist_ok=True)
        write_whole(file, yaml.safe_dump(recipe.to_dict(), sort_keys=False))
    accelerator.wait_for_everyone()


def check_same_data(
    folder: Path,
    state: TrainingState,
    recipe: Recipe,
    data: TrainingData,
    tokenizer: CodeTokenizer,
) -> None:
    """Refuses to go on where cursors and token ids would mean something else than before.

    Raises:
        RecipeError: if the corpus or the tokenizer is another one than the checkpoint's.
    """
    if CodeTokenizer.load(folder).json != tokenizer.json:
        raise RecipeError(f"the tokenizer has changed since {folder}: choose another --out")
    if state.corpus and state.corpus != data.fingerprint:
        raise RecipeError(
            f"{recipe.data.corpus} was built anew since {folder}: choose another --out, and go on "
            f"from its weights with --init-from {folder}"
        )
