"""What every training loop of a comparison is told."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Shape:
    """Of a GPT-2.

    Attributes:
        layers: transformer blocks.
        width: of the residual stream.
        heads: of attention.
        context: tokens of a row.
        vocabulary: entries.
    """

    layers: int
    width: int
    heads: int
    context: int
    vocabulary: int


@dataclass(frozen=True)
class Plan:
    """One contender's orders.

    Attributes:
        shape: of the model.
        rows: rows of a step, a multiple of `micro_rows`.
        micro_rows: rows of one forward pass.
        steps: most optimiser steps that will be asked for.
        device: ``cpu`` or ``cuda``.
        precision: ``fp32`` or ``bf16``.
        compile: whether the model goes through `torch.compile`.
        loss: ``sampled`` is ours alone.
        corpus: folder of shards with a training and a validation split.
        tokenizer: folder of the vocabulary, as `AutoTokenizer` reads it.
        rows_file: the rows that our loader makes of the corpus: uint16, (any, context + 1).
        folder: for what the loop itself writes.
        learning_rate: peak.
        seed: of weights and draws.
    """

    shape: Shape
    rows: int
    micro_rows: int
    steps: int
    device: Literal["cpu", "cuda"]
    precision: Literal["fp32", "bf16"]
    compile: bool
    loss: Literal["full", "sampled"]
    corpus: Path
    tokenizer: Path
    rows_file: Path
    folder: Path
    learning_rate: float = 5e-4
    seed: int = 1

    @property
    def accumulation(self) -> int:
        """Forward passes of a step."""
        return self.rows // self.micro_rows

    @property
    def tokens(self) -> int:
        """Of a step."""
        return self.rows * self.shape.context

    def to_json(self) -> str:
        """For `from_json`."""
        return json.dumps(dataclasses.asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """The plan that was written."""
        values = json.loads(text)
        for name in ("corpus", "tokenizer", "rows_file", "folder"):
            values[name] = Path(values[name])
        return cls(**{**values, "shape": Shape(**values["shape"])})


def product_size(device: str) -> int:
    """Rows and columns of the matrices whose product tells the peak: large enough to reach it."""
    return 8192 if device == "cuda" else 1536


def product_flops(device: str) -> int:
    """Of one such product."""
    return 2 * product_size(device) ** 3
