"""Weights to 8 bits and back.

The embedding, which is also the head, is cut into blocks: each row (all inputs of one output) holds
one float32 scale and as many bytes as weights for each block, as ONNX Runtime's ``MatMulNBits``
reads them: ``weight = (byte - 128) * scale``. The matrices between have one scale for each output
and signed bytes, as ``MatMulIntegerToFloat`` reads them: ``weight = byte * scale``.

In both a scale is the weight of largest magnitude divided by -128, as in llama.cpp's Q4_0, so that
this weight becomes the least byte. A division by a power of two is exact; hence quantising what was
dequantised gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ZERO_POINT = 128
BLOCK_SIZES = (64, 32, 16)

# Below it a scale would be subnormal and lose its bits; such a block counts as zero.
_SMALLEST = 1e-35


@dataclass(frozen=True)
class Quantised:
    """A weight of shape (outputs, inputs), in blocks along its inputs.

    Attributes:
        bytes: uint8, shape (outputs, blocks, block size).
        scales: float32, shape (outputs, blocks).
    """

    bytes: NDArray[np.uint8]
    scales: NDArray[np.float32]


@dataclass(frozen=True)
class Columns:
    """A weight of shape (inputs, outputs) with one scale for each output.

    Attributes:
        bytes: int8, shape (inputs, outputs).
        scales: float32, shape (outputs,).
    """

    bytes: NDArray[np.int8]
    scales: NDArray[np.float32]


def block_size(inputs: int) -> int | None:
    """Largest size of block that divides `inputs`; None if there is none."""
    return next((size for size in BLOCK_SIZES if inputs % size == 0), None)


def quantise(weight: NDArray[np.float32], block: int) -> Quantised:
    """Quantises `weight`, float32, shape (outputs, inputs), inputs being a multiple of `block`."""
    outputs, inputs = weight.shape
    steps, scales = _steps(weight.reshape(outputs, inputs // block, block))
    return Quantised((steps + ZERO_POINT).astype(np.uint8), scales[..., 0])


def dequantise(weight: Quantised) -> NDArray[np.float32]:
    """The float32 weight of shape (outputs, inputs) that `weight` stands for."""
    outputs, blocks, block = weight.bytes.shape
    steps = weight.bytes.astype(np.float32) - np.float32(ZERO_POINT)
    return (steps * weight.scales[..., None]).reshape(outputs, blocks * block)


def quantise_columns(weight: NDArray[np.float32]) -> Columns:
    """Quantises `weight`, float32, shape (inputs, outputs)."""
    steps, scales = _steps(weight.T)
    return Columns(np.ascontiguousarray(steps.T.astype(np.int8)), scales[:, 0])


def dequantise_columns(weight: Columns) -> NDArray[np.float32]:
    """The float32 weight of shape (inputs, outputs) that `weight` stands for."""
    return weight.bytes.astype(np.float32) * weight.scales


def _steps(weight: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Whole numbers from -128 to 127, and the scales along the last axis, which becomes 1."""
    extreme = np.take_along_axis(weight, np.abs(weight).argmax(axis=-1)[..., None], axis=-1)
    extreme[np.abs(extreme) < _SMALLEST] = 0
    scales = extreme / np.float32(-ZERO_POINT)
    steps = np.divide(weight, scales, out=np.zeros_like(weight), where=scales != 0)
    np.rint(steps, out=steps)
    np.clip(steps, -ZERO_POINT, ZERO_POINT - 1, out=steps)
    return steps, scales + np.float32(0)
