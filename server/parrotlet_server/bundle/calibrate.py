"""Between which values the inputs of a model's matrices lie, found by running it over code.

The ranges are those of least squared error (Nagel et al. 2021, "A White Paper on Neural Network
Quantization", section 3.1): a few large values are cut off where that tells the many others better
apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import resources
from importlib.resources.abc import Traversable

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from parrotlet_tokenizer import CodeTokenizer
from parrotlet_tokenizer.prompt import Header, serving_head

from .checkpoint import Architecture, Tensors
from .graph import build_probe

ROWS, ROW_TOKENS = 8, 512
_BINS = 2048
_SHARES = np.linspace(0.3, 1, 15)
_STEPS = 255

Range = tuple[float, float]


def calibration_rows(
    tokenizer: CodeTokenizer, length: int, quality: int | None = None
) -> list[list[int]]:
    """Rows of at most `length` tokens of this program's own source, every second one with a suffix.

    Args:
        tokenizer: the model's.
        length: of a row; the model's context is no shorter.
        quality: level that the model's prompts ask for.
    """
    rows: list[list[int]] = []
    files = _sources(resources.files("parrotlet_server"))
    for file in files:
        text = file.read_text(encoding="utf-8")
        if len(text) < 6 * length:
            continue
        header = Header(quality=quality, path=f"server/{file.name}")
        half = text.find("\n", len(text) // 2) + 1
        suffix = text[half : half + length] if len(rows) % 2 else ""
        head = serving_head(tokenizer, header, suffix)
        rows.append([*head, *tokenizer.encode(text[:half])][:length])
        if len(rows) == ROWS:
            break
    return rows


def calibrate(
    architecture: Architecture, tensors: Tensors, rows: Sequence[Sequence[int]]
) -> dict[str, Range]:
    """The range of what goes into each matrix, by the matrix's name without ``.weight``.

    Args:
        architecture: the model's numbers.
        tensors: its weights, float32.
        rows: ids to run it over, each no longer than the context.
    """
    model, inputs = build_probe(architecture, tensors)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    wanted = list(inputs.values())

    def values() -> Iterator[list[NDArray[np.float32]]]:
        for row in rows:
            yield session.run(wanted, _feeds(architecture, row))

    # twice, so that no more than one row's values are held
    extremes = np.array([[(one.min(), one.max()) for one in found] for found in values()], float)
    lows = np.minimum(extremes[..., 0].min(axis=0), 0)
    highs = np.maximum(extremes[..., 1].max(axis=0), 0)
    counts = np.zeros((len(wanted), _BINS))
    for found in values():
        for index, one in enumerate(found):
            counts[index] += np.histogram(one, _BINS, (lows[index], highs[index]))[0]
    return {
        name: _best(count, float(low), float(high))
        for name, count, low, high in zip(inputs, counts, lows, highs, strict=True)
    }


def _best(counts: NDArray[np.float64], low: float, high: float) -> Range:
    """The range of least squared error for values in `counts` equal bins from `low` to `high`."""
    edges = np.linspace(low, high, _BINS + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    best, least = (low, high), np.inf
    for lower in low * _SHARES if low < 0 else (0.0,):
        for upper in high * _SHARES if high > 0 else (0.0,):
            step = (upper - lower) / _STEPS
            if step <= 0:
                continue
            zero = round(-lower / step)
            told = (np.clip(np.rint(centres / step) + zero, 0, _STEPS) - zero) * step
            error = float(counts @ (told - centres) ** 2)
            if error <= least:
                best, least = (float(lower), float(upper)), error
    return best


def _feeds(architecture: Architecture, row: Sequence[int]) -> dict[str, NDArray[np.generic]]:
    size = len(row)
    places = np.arange(size, dtype=np.int64)
    buffer = (1, architecture.heads, architecture.context_length, architecture.head_size)
    empty = np.zeros(buffer, np.float32)
    return {
        "input_ids": np.array(row, dtype=np.int64),
        "position_ids": places,
        "attention_rows": places,
        "seqlens_k": np.array([size - 1], np.int32),
        "total_sequence_length": np.array(size, np.int32),
        "logit_idx": places[-1:],
        **{
            f"past_{kind}.{layer}": empty
            for layer in range(architecture.layers)
            for kind in ("key", "value")
        },
    }


def _sources(folder: Traversable) -> Iterator[Traversable]:
    for one in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if one.is_dir():
            yield from _sources(one)
        elif one.name.endswith(".py"):
            yield one
