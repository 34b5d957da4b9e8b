"""What llama.cpp is given: our weights in its format, and prompts as we serve them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from parrotlet_server.bundle import Bundle, open_bundle
from parrotlet_server.bundle.export import export_checkpoint, restore_checkpoint
from parrotlet_server.bundle.resolve import DEFAULT_MODEL
from parrotlet_server.engine import Request
from parrotlet_server.engine.prompt import Prompt, build_prompt

ROOT = Path(__file__).parents[2]
PROMPTS = 20


@pytest.fixture(scope="session")
def requests() -> list[Request]:
    """Cursors at places spread over files of this repository."""
    files = sorted((ROOT / "server/parrotlet_server").rglob("*.py"))
    files = [file for file in files if file.stat().st_size > 2000][:PROMPTS]
    assert len(files) == PROMPTS
    found = []
    for number, file in enumerate(files):
        text = file.read_text(encoding="utf-8")
        at = len(text) * (number + 1) // (PROMPTS + 1)
        found.append(Request(text[:at], text[text.find("\n", at) :], path=file.name))
    return found


@pytest.fixture(scope="session")
def bundled() -> Bundle:
    """The model that comes with the program."""
    return open_bundle(DEFAULT_MODEL)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its weights as a checkpoint."""
    folder = tmp_path_factory.mktemp("peers") / "checkpoint"
    restore_checkpoint(DEFAULT_MODEL, folder)
    return folder


@pytest.fixture(scope="session")
def exact(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The same weights, computed with in float32."""
    return export_checkpoint(checkpoint, tmp_path_factory.mktemp("peers") / "f32", bits=32)


@pytest.fixture(scope="session")
def served(bundled: Bundle, requests: list[Request]) -> list[Prompt]:
    """What the model is given for `requests`."""
    manifest, tokenizer = bundled.manifest, bundled.tokenizer
    context, quality = manifest.architecture.context_length, manifest.best_quality
    return [build_prompt(tokenizer, request, context, quality) for request in requests]


@pytest.fixture(scope="session")
def prompts(served: list[Prompt]) -> list[list[int]]:
    """Its token ids."""
    return [prompt.ids for prompt in served]


@pytest.fixture(scope="session")
def rests(served: list[Prompt]) -> list[str]:
    """How its answers should begin, since the cursor stands after that."""
    return [prompt.rest.decode() for prompt in served]


@pytest.fixture(scope="session")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Gives the bundled model in as many bits a weight, as a user would export it."""
    made: dict[int, Path] = {}

    def give(bits: int) -> Path:
        if bits not in made:
            file = tmp_path_factory.mktemp("peers") / f"{bits}-bits.gguf"
            command = [sys.executable, "-m", "parrotlet_server", "export", "--format", "gguf"]
            command += ["--bits", str(bits), str(DEFAULT_MODEL), str(file)]
            subprocess.run(command, check=True, timeout=600)
            made[bits] = file
        return made[bits]

    return give
