"""The weights that a run begins with: fresh ones, or those of a model that is there."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor
from transformers import GPT2LMHeadModel

from parrotlet_server.bundle.errors import BundleError
from parrotlet_server.bundle.hub import download, is_hub_name
from parrotlet_server.bundle.resolve import DEFAULT_MODEL
from parrotlet_tokenizer import CodeTokenizer

from .checkpoint import RUN_FILE, save_model, sync
from .evaluate.loading import ModelError, load_model
from .model import new_model, parameters
from .recipe import Recipe
from .transfer import spelt, with_vocabulary

DEFAULT = "default"
"""Name of the model that comes with Parrotlet."""

_EMBEDDINGS = ("transformer.wte.weight", "lm_head.weight")
"""One and the same matrix."""


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
            raise ModelError(
                f"{init_from} has another tokenizer than the recipe: `parrotlet init RECIPE DIR "
                "--from MODEL` makes a model of it that has the recipe's"
            )
        _take(model, given, given.state_dict(), init_from)
        return model, tokens_seen(folder, "tokens", "tokens_before")


def _take(
    model: GPT2LMHeadModel, given: GPT2LMHeadModel, weights: dict[str, Tensor], name: str
) -> None:
    """Puts `weights`, those of `given`, into `model`.

    Raises:
        ModelError: if they do not fit.
    """
    try:
        if given.config.n_head != model.config.n_head:  # the weights' shapes do not tell
            raise RuntimeError("another number of heads")
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(f"{name} has another shape than the recipe") from error


def tokens_seen(folder: Path, *names: str) -> int:
    """What a checkpoint's facts say under `names`, added up; 0 if nothing."""
    try:
        run = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))["run"]
        return sum(int(run.get(name) or 0) for name in names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0


@dataclass(frozen=True)
class Initial:
    """A checkpoint that training can begin with.

    Attributes:
        parameters: number of weights.
        entries: of the vocabulary.
        kept: entries that the model it was made from has too; None for fresh weights.
    """

    parameters: int
    entries: int
    kept: int | None = None


def initialise(recipe: Recipe, folder: Path, given: str | None = None) -> Initial:
    """Writes a checkpoint of the recipe's shape and tokenizer to `folder`.

    `parrotlet train RECIPE --init-from FOLDER` begins with just what it begins with by itself.

    Args:
        recipe: its shape, tokenizer and seed.
        folder: is made.
        given: a model of that shape whose weights are taken, in the recipe's vocabulary (see
            `transfer`); None is fresh weights.

    Raises:
        FileExistsError: if `folder` is there and not empty.
        TokenizerError: if the recipe's tokenizer cannot be read.
        ModelError: if `given` names no model, or one of another shape.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is there already: choose another folder")
    tokenizer = CodeTokenizer.load(Path(recipe.data.tokenizer))
    model = new_model(recipe.model, tokenizer.vocabulary_size, recipe.run.seed)
    initial = Initial(parameters(model), tokenizer.vocabulary_size)
    run = {"recipe": recipe.to_dict(), "parameters": initial.parameters, "tokens": 0}
    if given is not None:
        with given_model(given) as (source, where):
            spelling = spelt(tokenizer, CodeTokenizer.load(where))
            weights = source.state_dict()
            embedding = with_vocabulary(weights["transformer.wte.weight"], spelling)
            _take(model, source, weights | dict.fromkeys(_EMBEDDINGS, embedding), given)
            run["tokens_before"] = tokens_seen(where, "tokens", "tokens_before")
            initial = replace(initial, kept=spelling.same)
    facts = {"run": run}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        aside = Path(scratch) / "checkpoint"
        save_model(aside, model, tokenizer, facts)
        for path in [*aside.iterdir(), aside]:
            sync(path)
        aside.rename(folder)
    return initial
