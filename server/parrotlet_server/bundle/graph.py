"""A GPT-2 as an ONNX graph, written operator by operator, and its weights read back.

Inputs, with S new tokens, T rows for the attention and R rows of logits wanted::

    input_ids              int64    (S)         the new tokens
    position_ids           int64    (S)         their positions
    attention_rows         int64    (T)         which of the S rows the attention gets: all, in
                                                order, and then perhaps one of them again
    seqlens_k              int32    (1)         rows in the state after the run, less one
    total_sequence_length  int32    ()          rows in the state after the run
    logit_idx              int64    (R)         which of the S rows get logits
    past_key.<layer>       float32  (1, heads, context length, head size)
    past_value.<layer>     float32  the same

Outputs: ``logits`` float32 (R, vocabulary size), ``present_key.<layer>`` and
``present_value.<layer>``. Past and present are meant to be one buffer: the attention writes the new
rows into it and reads only the first `total_sequence_length`.

The attention of ONNX Runtime takes another way through its products where it has a single row, and
their sums then differ in the last bit; rounding activations to 8 bits, layer by layer, makes as
much as an eighth of the logits' spread of that. So a single row is to be given twice
(`attention_rows` 0, 0); what comes of the second is dropped, and its keys and values lie beyond
what the state counts. All other operators give a row the same bits however many there are.

At 8 bits the products are those of whole numbers: each matrix has signed bytes with a scale for
each output, and its inputs become unsigned bytes by a scale and a zero point that were fixed when
the graph was made (`calibrate`). So rounding an input does not ask what else is in the pass, and
sums of whole numbers are exact. The head reads its weights in blocks (``MatMulNBits``), since the
embedding is gathered from them.

The residual sum is an operator of its own: ONNX Runtime's ``SkipLayerNormalization`` takes three
times as long as a sum and a ``LayerNormalization``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from .checkpoint import Architecture, Tensors
from .quantise import (
    Columns,
    Quantised,
    dequantise,
    dequantise_columns,
    quantise,
    quantise_columns,
)

_MICROSOFT = "com.microsoft"
_OPSET = 18
_IR_VERSION = 10
_BYTES = ".quantised"
_SCALES = ".scales"


@dataclass(frozen=True)
class EightBits:
    """How a graph is rounded to 8 bits.

    Attributes:
        block: weights per scale of the embedding and head.
        ranges: of what goes into each matrix, by the matrix's name without ``.weight``: the least
            and the largest value that are told apart.
    """

    block: int
    ranges: Mapping[str, tuple[float, float]]


def build_graph(
    architecture: Architecture, tensors: Tensors, rounding: EightBits | None
) -> onnx.ModelProto:
    """The graph with its weights inside.

    Args:
        architecture: its numbers.
        tensors: float32 weights, named and shaped as in `Architecture.shapes`.
        rounding: None keeps float32.
    """
    return _Graph(architecture, tensors, rounding).build()


def build_probe(
    architecture: Architecture, tensors: Tensors
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """A float32 graph that also gives what goes into each matrix.

    Returns:
        The graph, and the name of the output, float32 (1, S, inputs), for each matrix's name.
    """
    graph = _Graph(architecture, tensors, None)
    model = graph.build()
    for value in graph.inputs.values():
        model.graph.output.append(helper.make_tensor_value_info(value, TensorProto.FLOAT, None))
    return model, graph.inputs


def rounded(architecture: Architecture, tensors: Tensors, block: int) -> Tensors:
    """`tensors` as a graph at 8 bits computes with them."""
    found = dict(tensors)
    for name, shape in architecture.shapes().items():
        if name == "wte.weight":
            found[name] = dequantise(quantise(tensors[name], block))
        elif len(shape) == 2 and name != "wpe.weight":
            found[name] = dequantise_columns(quantise_columns(tensors[name]))
    return found


def read_weights(model: onnx.ModelProto, architecture: Architecture) -> Tensors:
    """The float32 weights of a graph that `build_graph` made, dequantised.

    Raises:
        KeyError: if a weight is missing.
    """
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    tensors: Tensors = {}
    for name in architecture.shapes():
        if name in stored:
            tensors[name] = stored[name]
            continue
        data, scales = stored[name + _BYTES], stored[name + _SCALES]
        if name == "wte.weight":
            tensors[name] = dequantise(Quantised(data, scales))
        else:
            tensors[name] = dequantise_columns(Columns(data, scales))
    return tensors


class _Graph:
    """Collects nodes and initialisers.

    Attributes:
        inputs: the value that goes into each matrix, by its name without ``.weight``.
    """

    def __init__(
        self, architecture: Architecture, tensors: Tensors, rounding: EightBits | None
    ) -> None:
        self.architecture = architecture
        self.tensors = tensors
        self.rounding = rounding
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []
        self.inputs: dict[str, str] = {}

    def build(self) -> onnx.ModelProto:
        shape = self.architecture
        residual = self.embed()
        own = [
            self.constant("attention.first", np.array([0], np.int64)),
            self.add("Shape", ["input_ids"], domain=""),
            self.constant("attention.axis", np.array([1], np.int64)),
        ]
        for layer in range(shape.layers):
            name = f"h.{layer}"
            normal = self.normalise(f"{name}.ln_1", residual)
            qkv = self.linear(f"{name}.attn.c_attn", normal)
            added = self.linear(f"{name}.attn.c_proj", self.attend(layer, qkv, own))
            residual = self.add("Add", [residual, added], domain="")
            normal = self.normalise(f"{name}.ln_2", residual)
            inner = self.linear(f"{name}.mlp.c_fc", normal, bias=False)
            inner = self.add("FastGelu", [inner, self.keep(f"{name}.mlp.c_fc.bias")])
            added = self.linear(f"{name}.mlp.c_proj", inner)
            residual = self.add("Add", [residual, added], domain="")
        residual = self.add("Gather", [residual, "logit_idx"], axis=1, domain="")
        self.head(self.normalise("ln_f", residual))
        return self.model()

    def embed(self) -> str:
        """Embeddings of the tokens and of their positions, summed, shape (1, S, width)."""
        positions = self.add("Gather", [self.keep("wpe.weight"), "position_ids"], axis=0, domain="")
        name = "wte.weight"
        if self.rounding is None:
            words = self.add("Gather", [self.keep(name), "input_ids"], axis=0, domain="")
        else:
            block = self.rounding.block
            quantised = quantise(self.tensors[name], block)
            last = self.constant("axes.last", np.array([2], np.int64))
            # the head reads the same bytes; the scales differ in their shape alone
            scales = self.constant(name + _SCALES, quantised.scales)
            scales = self.add("Unsqueeze", [scales, last], domain="")
            words = self.add(
                "GatherBlockQuantized",
                [self.constant(name + _BYTES, quantised.bytes), "input_ids", scales],
                bits=8,
                block_size=block,
                gather_axis=0,
                quantize_axis=2,
            )
            width = self.constant("shape.words", np.array([-1, self.architecture.width], np.int64))
            words = self.add("Reshape", [words, width], domain="")
        words = self.add("Add", [words, positions], domain="")
        batch = self.constant("axes.batch", np.array([0], np.int64))
        return self.add("Unsqueeze", [words, batch], domain="")

    def normalise(self, name: str, value: str) -> str:
        weights = [self.keep(f"{name}.weight"), self.keep(f"{name}.bias")]
        epsilon = self.architecture.epsilon
        return self.add("LayerNormalization", [value, *weights], domain="", epsilon=epsilon)

    def linear(self, name: str, value: str, bias: bool = True) -> str:
        """`value` times the matrix `name`, and its bias unless whoever comes next adds that."""
        self.inputs[name] = value
        weight = self.tensors[f"{name}.weight"]
        if self.rounding is None:
            out = self.add("MatMul", [value, self.keep(f"{name}.weight")], domain="")
            return self.add("Add", [out, self.keep(f"{name}.bias")], domain="") if bias else out
        columns = quantise_columns(weight)
        step, zero = _steps(*self.rounding.ranges[name])
        scale = self.constant(f"{name}.step", np.array(step, np.float32))
        offset = self.constant(f"{name}.zero", np.array(zero, np.uint8))
        inputs = [
            self.add("QuantizeLinear", [value, scale, offset], domain=""),
            self.constant(f"{name}.weight{_BYTES}", columns.bytes),
            scale,
            self.constant(f"{name}.weight{_SCALES}", columns.scales),
            offset,
        ]
        if bias:
            inputs += ["", self.keep(f"{name}.bias")]
        return self.add("MatMulIntegerToFloat", inputs)

    def attend(self, layer: int, qkv: str, own: list[str]) -> str:
        """The attention of `qkv`; `own` cuts off the row that is there twice."""
        qkv = self.add("Gather", [qkv, "attention_rows"], axis=1, domain="")
        outputs = [f"h.{layer}.attn.out", f"present_key.{layer}", f"present_value.{layer}"]
        inputs = [
            qkv,
            "",
            "",
            f"past_key.{layer}",
            f"past_value.{layer}",
            "seqlens_k",
            "total_sequence_length",
        ]
        self.nodes.append(
            helper.make_node(
                "GroupQueryAttention",
                inputs,
                outputs,
                name=f"h.{layer}.attn",
                domain=_MICROSOFT,
                num_heads=self.architecture.heads,
                kv_num_heads=self.architecture.heads,
            )
        )
        return self.add("Slice", [outputs[0], *own], domain="")

    def head(self, normal: str) -> None:
        """Logits of `normal`, shape (1, R, width)."""
        shape = self.architecture
        rows = self.constant("shape.rows", np.array([-1, shape.width], np.int64))
        normal = self.add("Reshape", [normal, rows], domain="")
        if self.rounding is None:
            node = helper.make_node(
                "Gemm", [normal, "wte.weight"], ["logits"], name="head", transB=1
            )
        else:
            node = helper.make_node(
                "MatMulNBits",
                [normal, f"wte.weight{_BYTES}", f"wte.weight{_SCALES}"],
                ["logits"],
                name="head",
                domain=_MICROSOFT,
                K=shape.width,
                N=shape.vocabulary_size,
                bits=8,
                block_size=self.rounding.block,
                accuracy_level=4,  # activations to int8, blockwise, products in integers
            )
        self.nodes.append(node)

    def add(self, kind: str, inputs: list[str], domain: str = _MICROSOFT, **attributes: Any) -> str:
        """Appends an operator with one output, whose name is returned."""
        name = f"{kind}.{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, inputs, [f"{name}.out"], name=name, domain=domain, **attributes)
        )
        return f"{name}.out"

    def keep(self, name: str) -> str:
        """Puts a weight in as it is."""
        return self.constant(name, self.tensors[name])

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.initialisers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def model(self) -> onnx.ModelProto:
        shape = self.architecture
        integer, real = TensorProto.INT64, TensorProto.FLOAT
        buffer = [1, shape.heads, shape.context_length, shape.head_size]
        kinds = ("key", "value")
        layers = range(shape.layers)
        info = helper.make_tensor_value_info
        inputs = [
            info("input_ids", integer, ["S"]),
            info("position_ids", integer, ["S"]),
            info("attention_rows", integer, ["T"]),
            info("seqlens_k", TensorProto.INT32, [1]),
            info("total_sequence_length", TensorProto.INT32, []),
            info("logit_idx", integer, ["R"]),
            *(info(f"past_{kind}.{layer}", real, buffer) for layer in layers for kind in kinds),
        ]
        outputs = [
            info("logits", real, ["R", shape.vocabulary_size]),
            *(info(f"present_{kind}.{layer}", real, buffer) for layer in layers for kind in kinds),
        ]
        graph = helper.make_graph(self.nodes, "gpt2", inputs, outputs, self.initialisers)
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(_MICROSOFT, 1)],
            ir_version=_IR_VERSION,
            producer_name="parrotlet",
        )


def _steps(low: float, high: float) -> tuple[float, int]:
    """Step and zero point of an unsigned byte that tells apart values from `low` to `high`."""
    low, high = min(low, 0.0), max(high, 0.0)  # zero is a whole number of steps
    step = (high - low) / 255 or 1.0
    return step, round(-low / step)
