"""Models to be measured: checkpoints, and bundles as they are served."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers import GPT2LMHeadModel
from transformers.utils import logging

from parrotlet_server.bundle.export import restore_checkpoint
from parrotlet_server.bundle.manifest import is_bundle

logging.disable_progress_bar()  # for models that load in a blink


class ModelError(ValueError):
    """A model to be measured is missing or unreadable."""


@contextmanager
def load_model(name: str) -> Iterator[tuple[GPT2LMHeadModel, Path]]:
    """The model of a checkpoint folder or a bundle, and the folder that holds its tokenizer.

    A bundle's weights are those that it serves, so that its score tells what quantising costs.

    Raises:
        ModelError: if `name` is neither, or cannot be read.
    """
    folder = Path(name)
    with tempfile.TemporaryDirectory() as scratch:
        if is_bundle(folder):
            restored = Path(scratch) / "checkpoint"
            restore_checkpoint(folder, restored)
            folder = restored
        if not (folder / "config.json").is_file():
            raise ModelError(f"{name} is neither a checkpoint folder nor a bundle")
        try:
            model = GPT2LMHeadModel.from_pretrained(folder, attn_implementation="sdpa")
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(f"cannot load {name}: {error}") from error
        yield model, folder
