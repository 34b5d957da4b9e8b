"""The weights that a run begins with: fresh ones, or those of a model that is there."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers import GPT2LMHeadModel

from parrotlet_server.bundle.errors import BundleError
from parrotlet_server.bundle.hub import download, is_hub_name
from parrotlet_server.bundle.resolve import DEFAULT_MODEL
from parrotlet_tokenizer import CodeTokenizer

from .checkpoint import RUN_FILE, save_model, sync
from .evaluate.loading import ModelError, load_model
from .model import new_model, parameters
from .recipe import Recipe

DEFAULT = "default"
"""Name of the model that comes with Parrotlet."""


@contextmanager
def given_model(name: str) -> Iterator[tuple[GPT2LMHeadModel, Path]]:
    """A model by name, and the folder that holds its tokenizer.

    Args:
        name: folder of a checkpoint or a bundle; ``default``; or ``owner/name@commit`` on the Hub.

    Raises:
        ModelError: if there is none, or it cannot be read.
    """
    try:
        if not Path(name).exists() and name == DEFAULT:
            name = str(DEFAULT_MODEL)
        elif not Path(name).exists() and is_hub_name(name):
            name = str(download(name))
        with load_model(name) as found:
            yield found
    except BundleError as error:
        raise ModelError(str(error)) from error


def first_weights(
    recipe: Recipe, tokenizer: CodeTokenizer, init_from: str | None
) -> tuple[GPT2LMHeadModel, int]:
    """Weights of a new run, and the tokens that they have seen.

    Raises:
        ModelError: if `init_from` names no model, or one of another shape or tokenizer.
    """
    model = new_model(recipe.model, tokenizer.vocabulary_size, recipe.run.seed)
    if init_from is None:
        return model, 0
    with given_model(init_from) as (given, folder):
        if CodeTokenizer.load(folder).json != tokenizer.json:
            raise ModelError(f"{init_from} has another tokenizer than the recipe")
        try:
            if given.config.n_head != model.config.n_head:  # the weights' shapes do not tell
                raise RuntimeError("another number of heads")
            model.load_state_dict(given.state_dict())
        except RuntimeError as error:
            raise ModelError(f"{init_from} has another shape than the recipe") from error
        return model, tokens_seen(folder, "tokens", "tokens_before")


def tokens_seen(folder: Path, *names: str) -> int:
    """What a checkpoint's facts say under `names`, added up; 0 if nothing."""
    try:
        run = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))["run"]
        return sum(int(run.get(name) or 0) for name in names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0


def initialise(recipe: Recipe, folder: Path) -> int:
    """Writes a checkpoint of fresh weights, of the recipe's shape and tokenizer, to `folder`.

    `parrotlet train RECIPE --init-from FOLDER` begins with just what it begins with by itself.

    Returns:
        Number of weights.

    Raises:
        FileExistsError: if `folder` is there and not empty.
        TokenizerError: if the recipe's tokenizer cannot be read.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is there already: choose another folder")
    tokenizer = CodeTokenizer.load(Path(recipe.data.tokenizer))
    model = new_model(recipe.model, tokenizer.vocabulary_size, recipe.run.seed)
    count = parameters(model)
    facts = {"run": {"recipe": recipe.to_dict(), "parameters": count, "tokens": 0}}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        aside = Path(scratch) / "checkpoint"
        save_model(aside, model, tokenizer, facts)
        for path in [*aside.iterdir(), aside]:
            sync(path)
        aside.rename(folder)
    return count
