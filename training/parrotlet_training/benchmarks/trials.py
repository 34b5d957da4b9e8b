"""Small models that are trained to compare something, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from parrotlet_tokenizer.files import write_aside

from .errors import BenchmarkError

CONTEXT = 512
STREAMS = 8
BATCH = STREAMS * CONTEXT
"""Tokens of a step."""


@dataclass(frozen=True)
class Shape:
    """Blocks and width of a GPT-2."""

    layers: int
    width: int

    @classmethod
    def parse(cls, text: str) -> Shape:
        """Reads ``LAYERSxWIDTH``.

        Raises:
            ValueError: if it is not of that form.
        """
        layers, _, width = text.partition("x")
        return cls(int(layers), int(width))

    def flops_per_token(self, vocabulary: int, context: int) -> int:
        """Of a training step with the whole softmax (Chowdhery et al. 2022, appendix B)."""
        weights = 12 * self.layers * self.width**2 + vocabulary * self.width
        return 6 * weights + 12 * self.layers * self.width * context


@dataclass(frozen=True)
class Trial:
    """A model to train.

    Attributes:
        name: of its recipe and run.
        corpus: to learn from.
        tokenizer: its vocabulary.
        shape: of the model; heads are 64 wide.
        schedule: as in a recipe.
        run: as in a recipe.
    """

    name: str
    corpus: Path
    tokenizer: Path
    shape: Shape
    schedule: Mapping[str, int]
    run: Mapping[str, int]

    def train(self, out: Path, run: Path, *overrides: str) -> None:
        """Trains it in the folder `run`, or goes on there; its recipe goes below `out`.

        Args:
            out: folder of the benchmark.
            run: folder of the run.
            overrides: ``KEY=VALUE``, as for `parrotlet train --set`.

        Raises:
            BenchmarkError: if it fails.
        """
        recipe = out / "recipes" / f"{self.name}.yaml"
        write_aside(recipe, yaml.safe_dump(self._recipe(), sort_keys=False))
        command = [sys.executable, "-m", "parrotlet_server", "train", str(recipe)]
        command += ["--out", str(run), *(word for one in overrides for word in ("--set", one))]
        done = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
        )
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise BenchmarkError(
                f"training {self.name} failed: {said[-1] if said else 'it said nothing'}"
            )

    def _recipe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "data": {
                "corpus": str(self.corpus),
                "tokenizer": str(self.tokenizer),
                "streams": STREAMS,
                "window": 64,
            },
            "model": {
                "layers": self.shape.layers,
                "width": self.shape.width,
                "heads": max(1, self.shape.width // 64),
                "context": CONTEXT,
            },
            # costs the same for every size, as the head of a large shape nearly does
            "loss": {"kind": "sampled", "frequent": 2048, "negatives": 1024},
            "optimizer": {
                "name": "muon",
                "learning_rate": 3e-3,
                "muon_learning_rate": 5e-3,
                "beta2": 0.99,
                "micro_rows": STREAMS,
            },
            "schedule": dict(self.schedule),
            "run": dict(self.run),
        }
