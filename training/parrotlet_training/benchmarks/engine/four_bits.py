"""An experiment: the blocks' matrices at 4 bits, embedding and head as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from parrotlet_server.bundle.quantise import Columns, dequantise_columns

BLOCK = 32
_ZERO_POINT = 8
_ROUNDING = "QuantizeLinear"


def write_four_bits(model: Path, target: Path) -> bool:
    """Writes the graph `model` of a bundle with 4-bit blocks to `target`.

    Returns:
        False if the graph is not one at 8 bits whose matrices have rows of whole blocks.
    """
    graph = onnx.load(model)
    stored = {tensor.name: tensor for tensor in graph.graph.initializer}
    rounding = {node.output[0]: node for node in graph.graph.node if node.op_type == _ROUNDING}
    nodes = [node for node in graph.graph.node if node.op_type == "MatMulIntegerToFloat"]
    for node in nodes:
        rounded, matrix, _, factors = node.input[:4]
        bias = [name for name in node.input[6:7] if name]
        data, scales = stored[matrix], stored[factors]
        columns = Columns(numpy_helper.to_array(data), numpy_helper.to_array(scales))
        weight = np.ascontiguousarray(dequantise_columns(columns).T)
        if weight.shape[1] % BLOCK:
            return False
        packed, coarse = pack(weight)
        data.CopyFrom(numpy_helper.from_array(packed, matrix))
        scales.CopyFrom(numpy_helper.from_array(coarse, factors))
        value = rounding[rounded].input[0]
        graph.graph.node.remove(rounding[rounded])
        node.CopyFrom(
            helper.make_node(
                "MatMulNBits",
                [value, matrix, factors, *(["", "", *bias] if bias else [])],
                node.output,
                name=node.name,
                domain="com.microsoft",
                K=weight.shape[1],
                N=weight.shape[0],
                bits=4,
                block_size=BLOCK,
                accuracy_level=4,
            )
        )
    if nodes:
        onnx.save(graph, target)
    return bool(nodes)


def pack(weight: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """4-bit blocks of `weight`, float32, shape (outputs, inputs), as ``MatMulNBits`` reads them.

    Returns:
        uint8 of shape (outputs, blocks, block / 2), the earlier weight in the low half of a byte,
        and scales, float32, shape (outputs, blocks). As in llama.cpp's Q4_0 the weight of largest
        magnitude becomes -8.
    """
    outputs, inputs = weight.shape
    blocks = weight.reshape(outputs, inputs // BLOCK, BLOCK)
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2)[..., None], axis=2)
    scales = (extreme / -_ZERO_POINT).astype(np.float32)
    steps = np.divide(blocks, scales, out=np.zeros_like(blocks), where=scales != 0)
    values = (np.clip(np.rint(steps), -8, 7) + _ZERO_POINT).astype(np.uint8)
    packed: NDArray[np.uint8] = values[..., 0::2] | np.left_shift(values[..., 1::2], np.uint8(4))
    return packed, scales[..., 0]
