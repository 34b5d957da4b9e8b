"""Weights to 8 bits and back, in blocks, as ONNX Runtime's ``MatMulNBits`` reads them.

Each row of a weight (all inputs of one output) is cut into blocks. A block holds one float32 scale
and one byte per weight: ``weight = (byte - 128) * scale``. The scale is the block's weight of
largest magnitude divided by -128, as in llama.cpp's Q4_0, so that this weight becomes byte 0. A
division by a power of two is exact; hence quantising what was dequantised gives the same bytes.
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


def block_size(*inputs: int) -> int | None:
    """Largest size of block that divides each of `inputs`; None if there is none."""
    return next((size for size in BLOCK_SIZES if all(n % size == 0 for n in inputs)), None)


def quantise(weight: NDArray[np.float32], block: int) -> Quantised:
    """Quantises `weight`, float32, shape (outputs, inputs), inputs being a multiple of `block`."""
    outputs, inputs = weight.shape
    blocks = weight.reshape(outputs, inputs // block, block)
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2)[..., None], axis=2)
    extreme[np.abs(extreme) < _SMALLEST] = 0
    scales = extreme / np.float32(-ZERO_POINT)
    steps = np.divide(blocks, scales, out=np.zeros_like(blocks), where=scales != 0)
    np.rint(steps, out=steps)
    np.clip(steps, -ZERO_POINT, ZERO_POINT - 1, out=steps)
    return Quantised((steps + ZERO_POINT).astype(np.uint8), scales[..., 0] + np.float32(0))


def dequantise(weight: Quantised) -> NDArray[np.float32]:
    """The float32 weight of shape (outputs, inputs) that `weight` stands for."""
    outputs, blocks, block = weight.bytes.shape
    steps = weight.bytes.astype(np.float32) - np.float32(ZERO_POINT)
    return (steps * weight.scales[..., None]).reshape(outputs, blocks * block)
