"""OpenVINO, a stateful model with int8 weights, as optimum-intel exports them, without torch.

The state is cut to the shared prefix by reading it, copying its beginning and setting it again,
as OpenVINO GenAI does: there is no other way. Only the last row of logits is computed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino
from openvino import opset13 as ops
from reuse import common

if TYPE_CHECKING:
    from .host import Clock


class Adapter:
    """See `host.Adapter`; the model is what `convert` wrote."""

    def __init__(self, model: str, threads: int, context: int) -> None:
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        self._request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
        self.forget()

    def forget(self) -> None:
        """See `host.Adapter`."""
        self._request.reset_state()
        self._held: list[int] = []

    def suggest(self, prompt: list[int], answer: list[int], clock: Clock) -> list[int]:
        """See `host.Adapter`."""
        keep = common(self._held, prompt)
        if keep == 0:
            self.forget()
        elif keep < len(self._held):
            for state in self._request.query_state():
                held = np.ascontiguousarray(state.state.data[:, :, :keep])
                state.state = openvino.Tensor(held)
            del self._held[keep:]
        chosen = [self._read(prompt[keep:])]
        clock.first()
        for token in answer[:-1]:
            chosen.append(self._read([token]))
        return chosen

    def _read(self, tokens: list[int]) -> int:
        begin = len(self._held)
        self._held += tokens
        positions = np.arange(begin, len(self._held), dtype=np.int64)
        found = self._request.infer(
            {
                "input_ids": np.array([tokens], dtype=np.int64),
                "position_ids": positions[None],
                "beam_idx": np.zeros(1, dtype=np.int32),
            },
            share_inputs=True,
            share_outputs=True,
        )
        return int(found[0].argmax())


def convert(checkpoint: str, target: str) -> None:
    """Writes the GPT-2 in the folder `checkpoint` as a stateful model to the file `target`."""
    from safetensors.numpy import load_file

    config = json.loads((Path(checkpoint) / "config.json").read_text())
    tensors = load_file(Path(checkpoint) / "model.safetensors")
    weights = {name.removeprefix("transformer."): value for name, value in tensors.items()}
    openvino.save_model(_Builder(config, weights).model(), target, compress_to_fp16=False)


def _compressed(weight: Any) -> Any:
    """`weight`, shape (outputs, inputs), as NNCF's INT8_ASYM: 8 bits, a scale for each output."""
    low = np.minimum(weight.min(axis=1, keepdims=True), 0)
    high = np.maximum(weight.max(axis=1, keepdims=True), 0)
    scale = np.maximum((high - low) / 255, 1e-12).astype(np.float32)
    zero = np.clip(np.rint(-low / scale), 0, 255)
    steps = np.clip(np.rint(weight / scale) + zero, 0, 255).astype(np.uint8)
    exact = ops.convert(ops.constant(steps), "f32")
    shift = ops.convert(ops.constant(zero.astype(np.uint8)), "f32")
    return ops.multiply(ops.subtract(exact, shift), ops.constant(scale))


class _Builder:
    """GPT-2, operator by operator."""

    def __init__(self, config: dict[str, Any], weights: dict[str, Any]) -> None:
        self._layers, self._heads = config["n_layer"], config["n_head"]
        self._width = config["n_embd"]
        self._epsilon = config["layer_norm_epsilon"]
        self._weights = weights
        self._sinks: list[Any] = []

    def model(self) -> Any:
        ids = ops.parameter([1, -1], np.int64, "input_ids")
        positions = ops.parameter([1, -1], np.int64, "position_ids")
        self._beam = ops.parameter([1], np.int32, "beam_idx")
        for node, name in (
            (ids, "input_ids"),
            (positions, "position_ids"),
            (self._beam, "beam_idx"),
        ):
            node.get_output_tensor(0).set_names({name})
        axis = ops.constant(np.int64(0))
        embedding = _compressed(self._weights["wte.weight"])
        places = ops.gather(ops.constant(self._weights["wpe.weight"]), positions, axis)
        hidden = ops.add(ops.gather(embedding, ids, axis), places)
        mask = self._mask(positions)
        for layer in range(self._layers):
            name = f"h.{layer}"
            hidden = ops.add(hidden, self._attend(name, self._norm(f"{name}.ln_1", hidden), mask))
            inner = self._linear(f"{name}.mlp.c_fc", self._norm(f"{name}.ln_2", hidden))
            inner = ops.gelu(inner, "tanh")
            hidden = ops.add(hidden, self._linear(f"{name}.mlp.c_proj", inner))
        last = ops.gather(hidden, ops.constant(np.array([-1])), ops.constant(np.int64(1)))
        logits = ops.matmul(self._norm("ln_f", last), embedding, False, True)
        return openvino.Model(
            [ops.result(logits)], self._sinks, [ids, positions, self._beam], "gpt2"
        )

    def _mask(self, positions: Any) -> Any:
        """Which earlier tokens each new one sees, shape (1, 1, new, all)."""
        zero, one = ops.constant(np.int64(0)), ops.constant(np.int64(1))
        total = ops.add(ops.reduce_max(positions, ops.constant(np.array([0, 1]))), one)
        every = ops.range(zero, total, one, "i64")
        rows = ops.unsqueeze(ops.unsqueeze(positions, ops.constant(np.int64(1))), ops.constant(-1))
        return ops.less_equal(every, rows)

    def _attend(self, name: str, value: Any, mask: Any) -> Any:
        size = self._width // self._heads
        order = ops.constant(np.array([0, 2, 1, 3]))
        parts = ops.split(self._linear(f"{name}.attn.c_attn", value), ops.constant(2), 3)
        shape = ops.constant(np.array([0, 0, self._heads, size]))
        query, key, new = (
            ops.transpose(ops.reshape(part, shape, True), order) for part in parts.outputs()
        )
        key, new = self._kept(f"{name}.key", key, size), self._kept(f"{name}.value", new, size)
        attended = ops.scaled_dot_product_attention(query, key, new, mask)
        attended = ops.transpose(attended, order)
        joined = ops.reshape(attended, ops.constant(np.array([0, 0, self._width])), True)
        return self._linear(f"{name}.attn.c_proj", joined)

    def _kept(self, name: str, new: Any, size: int) -> Any:
        """The rows kept in the state `name`, with those of `new` after them."""
        shape = [1, self._heads, -1, size]
        empty = ops.constant(np.zeros((1, self._heads, 0, size), dtype=np.float32))
        held = ops.read_value(empty, name, openvino.Type.f32, openvino.PartialShape(shape))
        held = ops.gather(held, self._beam, ops.constant(np.int64(0)))
        rows = ops.concat([held, new], 2)
        self._sinks.append(ops.assign(rows, name))
        return rows

    def _linear(self, name: str, value: Any) -> Any:
        weight = _compressed(np.ascontiguousarray(self._weights[f"{name}.weight"].T))
        product = ops.matmul(value, weight, False, True)
        return ops.add(product, ops.constant(self._weights[f"{name}.bias"]))

    def _norm(self, name: str, value: Any) -> Any:
        axes = ops.constant(np.array([-1]))
        normal = ops.mvn(value, axes, True, self._epsilon, "inside_sqrt")
        scaled = ops.multiply(normal, ops.constant(self._weights[f"{name}.weight"]))
        return ops.add(scaled, ops.constant(self._weights[f"{name}.bias"]))
