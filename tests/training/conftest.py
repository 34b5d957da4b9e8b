"""A small real corpus, tokenizer and recipe, made once."""

from __future__ import annotations

import argparse
import inspect
import json
import textwrap
import typing
from pathlib import Path

import pytest
import yaml
from tests.support.forked_train import ForkServer

from parrotlet_tokenizer import CodeTokenizer
from parrotlet_tokenizer.train import train_tokenizer
from parrotlet_training.corpus.build import build_corpus
from parrotlet_training.corpus.recipe import CorpusRecipe
from parrotlet_training.corpus.sources import Folder

MODULES = [argparse, inspect, json, typing]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    """Ten repositories of generated but real Python, so that both splits hold some."""
    root = tmp_path_factory.mktemp("corpus")
    text = "\n".join(inspect.getsource(module) for module in MODULES)
    chunks = text.split("\ndef ")
    # row groups of a few files, so that several streams have some of their own
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr("parrotlet_training.corpus.shards.ROW_GROUP_BYTES", 8 * 1024)
    sources = []
    for index in range(12):
        folder = root / "sources" / f"project{index}"
        folder.mkdir(parents=True)
        for number, chunk in enumerate(chunks[index::12]):
            (folder / f"m{number}.py").write_text(f"# {index}\n\ndef {chunk}\n")
        sources.append(Folder(folder))
    build_corpus(
        sources, root / "out", CorpusRecipe(validation_share=0.5, near_dedup=False), progress=False
    )
    monkeypatch.undo()
    return root / "out"


@pytest.fixture(scope="session")
def held_out(tmp_path_factory) -> Path:
    """A hold-out of one file."""
    root = tmp_path_factory.mktemp("held-out")
    (root / "black").mkdir()
    (root / "black" / "m.py").write_text(inspect.getsource(textwrap))
    source = Folder(root / "black", "psf/black")
    build_corpus([source], root / "out", CorpusRecipe(holdout=True), progress=False)
    return root / "out"


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer([inspect.getsource(module) for module in MODULES], 600).save(folder)
    return folder


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder) -> CodeTokenizer:
    return CodeTokenizer.load(tokenizer_folder)


@pytest.fixture
def recipe_file(tmp_path, corpus, tokenizer_folder) -> Path:
    """A recipe that trains in seconds."""
    content = {
        "name": "tiny",
        "data": {"corpus": str(corpus), "tokenizer": str(tokenizer_folder), "streams": 2},
        "model": {"layers": 2, "width": 32, "heads": 2, "context": 64},
        "optimizer": {"learning_rate": 3e-3, "rows_per_stream": 2, "micro_rows": 2},
        "schedule": {"steps": 12, "warmup": 2, "decay": 4},
        "run": {"evaluate_every": 6, "evaluate_bytes": 4000, "checkpoint_every": 4, "keep": 2},
    }
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.fixture(scope="session")
def forked(tmp_path_factory):
    """Trainings in processes of their own; see `ForkServer`."""
    server = ForkServer(tmp_path_factory.mktemp("forked"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory, corpus, tokenizer_folder, forked) -> tuple[Path, Path]:
    """A recipe and an uninterrupted run of it, which others are held against."""
    folder = tmp_path_factory.mktemp("whole")
    recipe = folder / "tiny.yaml"
    content = {
        "name": "tiny",
        "data": {"corpus": str(corpus), "tokenizer": str(tokenizer_folder), "streams": 2},
        "model": {"layers": 2, "width": 32, "heads": 2, "context": 64},
        "loss": {"kind": "sampled", "frequent": 100, "negatives": 100},
        "optimizer": {"name": "muon", "rows_per_stream": 2, "micro_rows": 2},
        "schedule": {"steps": 12, "warmup": 2, "decay": 4},
        "run": {"evaluate_every": 6, "evaluate_bytes": 4000, "checkpoint_every": 4, "keep": 2}
        | {"precision": "fp32"},  # runs are held against each other to five digits
    }
    recipe.write_text(yaml.safe_dump(content))
    assert "checkpoint:" in forked.train(recipe, folder / "run")
    return recipe, folder / "run"


def losses(run: Path) -> list[float]:
    """Training loss of each step of a run."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [value["loss"] for value in map(json.loads, lines) if "loss" in value]


def scores(run: Path) -> list[float]:
    """Bits per byte of each evaluation of a run."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [v["bits_per_byte"] for v in map(json.loads, lines) if "bits_per_byte" in v]
