"""Models for the tests below: one that knows a few files by heart, and random ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from parrotlet_server.bundle.checkpoint import Architecture, Checkpoint, write_checkpoint
from parrotlet_server.bundle.export import export_checkpoint
from parrotlet_server.engine import Engine
from parrotlet_tokenizer.train import train_tokenizer

from ..support.tiny_model import DOCUMENTS, VOCABULARY_SIZE, tiny_bundle


@pytest.fixture(scope="session")
def bundle():
    """Folder of the bundle of the tiny model. Not to be changed."""
    return tiny_bundle()


@pytest.fixture(scope="session")
def engine(bundle):
    return Engine.load(str(bundle), threads=1)


@pytest.fixture(scope="session")
def tokenizer():
    return train_tokenizer(DOCUMENTS.values(), VOCABULARY_SIZE)


@pytest.fixture(scope="session")
def make_checkpoint(tokenizer):
    """Writes a checkpoint of random weights into a folder, which may not exist yet."""

    def make(folder: Path, seed: int = 0, **numbers) -> Path:
        shape = {
            "vocabulary_size": VOCABULARY_SIZE,
            "context_length": 256,
            "width": 64,
            "layers": 2,
            "heads": 2,
            "epsilon": 1e-5,
            **numbers,
        }
        shape.setdefault("inner", 4 * shape["width"])
        architecture = Architecture(**shape)
        random = np.random.default_rng(seed)
        tensors = {
            name: random.standard_normal(size).astype(np.float32) * np.float32(0.2)
            for name, size in architecture.shapes().items()
        }
        for name in tensors:
            if name.endswith(("ln_1.weight", "ln_2.weight", "ln_f.weight")):
                tensors[name] += 1
        notes = {"corpus": {"documents": 5}, "run": {"steps": 0}, "evaluation": {}}
        folder.mkdir(parents=True)
        write_checkpoint(Checkpoint(architecture, tensors, tokenizer, notes, "MIT"), folder)
        return folder

    return make


@pytest.fixture(scope="session")
def random_checkpoint(make_checkpoint, tmp_path_factory):
    """Folder of a checkpoint of random weights. Not to be changed."""
    return make_checkpoint(tmp_path_factory.mktemp("random") / "checkpoint")


@pytest.fixture(scope="session")
def random_bundle(random_checkpoint, tmp_path_factory):
    """Folder of the bundle made of `random_checkpoint`. Not to be changed."""
    folder = tmp_path_factory.mktemp("random") / "bundle"
    export_checkpoint(random_checkpoint, folder)
    return folder


@pytest.fixture(scope="session")
def random_engine(random_bundle):
    return Engine.load(str(random_bundle), threads=1)
