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

Layer normalisation takes the residual sum with it (its fourth output hands the sum on), the
activation takes its bias, and the embedding is gathered from the head's own quantised weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from .checkpoint import Architecture, Tensors
from .quantise import ZERO_POINT, Quantised, dequantise, quantise

_MICROSOFT = "com.microsoft"
_OPSET = 18
_IR_VERSION = 10
_BYTES = ".quantised"
_SCALES = ".scales"


def build_graph(architecture: Architecture, tensors: Tensors, block: int | None) -> onnx.ModelProto:
    """The graph with its weights inside.

    Args:
        architecture: its numbers.
        tensors: float32 weights, named and shaped as in `Architecture.shapes`.
        block: weights per scale at 8 bits; None keeps float32.
    """
    return _Graph(architecture, tensors, block).build()


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
        else:
            weight = dequantise(Quantised(stored[name + _BYTES], stored[name + _SCALES]))
            # The embedding is stored as the head's (outputs, inputs), the others turned to that.
            tensors[name] = weight if name == "wte.weight" else weight.T
    return tensors


class _Graph:
    """Collects nodes and initialisers."""

    def __init__(self, architecture: Architecture, tensors: Tensors, block: int | None) -> None:
        self.architecture = architecture
        self.tensors = tensors
        self.block = block
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []

    def build(self) -> onnx.ModelProto:
        shape = self.architecture
        # A projection's bias is added by the normalisation that follows it.
        added, residual = self.embed()
        own = [
            self.constant("attention.first", np.array([0], np.int64)),
            self.add("Shape", ["input_ids"], domain=""),
            self.constant("attention.axis", np.array([1], np.int64)),
        ]
        bias: str | None = None
        for layer in range(shape.layers):
            name = f"h.{layer}"
            normal, residual = self.normalise(f"{name}.ln_1", added, residual, bias)
            qkv = self.linear(f"{name}.attn.c_attn", normal, bias=True)
            added = self.linear(f"{name}.attn.c_proj", self.attend(layer, qkv, own))
            bias = f"{name}.attn.c_proj.bias"
            normal, residual = self.normalise(f"{name}.ln_2", added, residual, bias)
            inner = self.linear(f"{name}.mlp.c_fc", normal)
            inner = self.add("FastGelu", [inner, self.keep(f"{name}.mlp.c_fc.bias")])
            added = self.linear(f"{name}.mlp.c_proj", inner)
            bias = f"{name}.mlp.c_proj.bias"
        added = self.add("Gather", [added, "logit_idx"], axis=1, domain="")
        residual = self.add("Gather", [residual, "logit_idx"], axis=1, domain="")
        normal, _ = self.normalise("ln_f", added, residual, bias)
        self.head(normal)
        return self.model()

    def embed(self) -> tuple[str, str]:
        """Embeddings of the tokens and of their positions, each (1, S, width)."""
        batch = self.constant("axes.batch", np.array([0], np.int64))
        positions = self.add("Gather", [self.keep("wpe.weight"), "position_ids"], axis=0, domain="")
        positions = self.add("Unsqueeze", [positions, batch], domain="")
        if self.block is None:
            words = self.add("Gather", [self.keep("wte.weight"), "input_ids"], axis=0, domain="")
        else:
            quantised, scales = self.quantised("wte.weight", self.tensors["wte.weight"])
            steps = self.add("Gather", [quantised, "input_ids"], axis=0, domain="")
            steps = self.add("Cast", [steps], to=TensorProto.FLOAT, domain="")
            zero = self.constant("zero_point", np.array(ZERO_POINT, np.float32))
            steps = self.add("Sub", [steps, zero], domain="")
            scales = self.add("Gather", [scales, "input_ids"], axis=0, domain="")
            last = self.constant("axes.last", np.array([2], np.int64))
            scales = self.add("Unsqueeze", [scales, last], domain="")
            words = self.add("Mul", [steps, scales], domain="")
            width = self.constant("shape.words", np.array([-1, self.architecture.width], np.int64))
            words = self.add("Reshape", [words, width], domain="")
        return self.add("Unsqueeze", [words, batch], domain=""), positions

    def normalise(
        self, name: str, value: str, skip: str, bias: str | None = None
    ) -> tuple[str, str]:
        """Layer normalisation of ``value + skip + bias``, and that sum."""
        inputs = [value, skip, self.keep(f"{name}.weight"), self.keep(f"{name}.bias")]
        if bias:
            inputs.append(self.keep(bias))
        normal, residual = f"{name}.out", f"{name}.sum"
        self.nodes.append(
            helper.make_node(
                "SkipLayerNormalization",
                inputs,
                [normal, "", "", residual],
                name=name,
                domain=_MICROSOFT,
                epsilon=self.architecture.epsilon,
            )
        )
        return normal, residual

    def linear(self, name: str, value: str, bias: bool = False) -> str:
        weight = self.tensors[f"{name}.weight"]
        if self.block is None:
            out = self.add("MatMul", [value, self.keep(f"{name}.weight")], domain="")
            return self.add("Add", [out, self.keep(f"{name}.bias")], domain="") if bias else out
        inputs = [value, *self.quantised(f"{name}.weight", np.ascontiguousarray(weight.T))]
        if bias:
            inputs += ["", "", self.keep(f"{name}.bias")]
        return self.matmul_bits(name, inputs, *weight.shape)

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
        if self.block is None:
            self.nodes.append(
                helper.make_node("Gemm", [normal, "wte.weight"], ["logits"], name="head", transB=1)
            )
        else:
            inputs = [normal, f"wte.weight{_BYTES}", f"wte.weight{_SCALES}"]
            self.matmul_bits("head", inputs, shape.width, shape.vocabulary_size, "logits")

    def matmul_bits(
        self, name: str, inputs: list[str], k: int, n: int, output: str | None = None
    ) -> str:
        output = output or f"{name}.out"
        self.nodes.append(
            helper.make_node(
                "MatMulNBits",
                inputs,
                [output],
                name=name,
                domain=_MICROSOFT,
                K=k,
                N=n,
                bits=8,
                block_size=self.block,
                accuracy_level=4,  # activations to int8, blockwise, products in integers
            )
        )
        return output

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

    def quantised(self, name: str, weight: NDArray[np.float32]) -> tuple[str, str]:
        assert self.block is not None
        quantised = quantise(weight, self.block)
        return (
            self.constant(name + _BYTES, quantised.bytes),
            self.constant(name + _SCALES, quantised.scales),
        )

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
