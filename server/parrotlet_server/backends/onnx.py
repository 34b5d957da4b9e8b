"""The model in ONNX Runtime."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from parrotlet_server.bundle import BundleError

from .base import State, check_evaluation
from .overflow import sums_overflow
from .threads import default_threads

_LARGEST_STATE = 2**32
"""Bytes; GPT-2's largest takes 0.6 GB."""


class OnnxState:
    """Keys and values in buffers of the full context length, allocated once.

    The buffers are bound to the graph as past and as present: a run writes its new rows into them
    in place, and cutting the state means counting fewer rows.

    Attributes:
        tokens: the ids whose keys and values are held, in order.
    """

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        """Allocates the buffers; memory is taken as rows are written."""
        self.tokens: list[int] = []
        self.binding = session.io_binding()
        self._buffers = []  # the binding does not keep them alive
        for value in session.get_inputs():
            if value.name.startswith("past_"):
                buffer = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
                    value.shape, np.float32, "cpu"
                )
                self._buffers.append(buffer)
                self.binding.bind_ortvalue_input(value.name, buffer)
                present = value.name.replace("past_", "present_", 1)
                self.binding.bind_ortvalue_output(present, buffer)


class OnnxBackend:
    """A `Backend` that runs a bundle's ``model.onnx`` on the processor.

    Attributes:
        context_length: most tokens that a state holds.
        vocabulary_size: number of logits.
        threads: threads that a run uses.
    """

    def __init__(self, model: Path, threads: int | None = None) -> None:
        """Loads the graph that `parrotlet_server.bundle` wrote to the file `model`.

        Args:
            model: a bundle's ``model.onnx``, verified by the caller.
            threads: None is the number of physical cores, at most 4.

        Raises:
            BundleError: if ONNX Runtime cannot load it, or it is another kind of graph.
        """
        self.threads = threads or default_threads()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Threads spin while a run lasts and sleep between runs: 0.85 ms per token (6 layers of
        # width 256, two cores) and no processor time when idle. Never spinning took 1.2 ms;
        # spinning after the run too was no faster and burns a core for 50 ms after each run.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        options.add_session_config_entry("session.force_spinning_stop", "1")
        # Probabilities that are next to nothing are subnormal numbers, with which a processor
        # reckons slowly: a prompt took 1.4 times, a token 1.1 times as long.
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        if sums_overflow():  # then the weights are turned to unsigned bytes, a little slower
            options.add_session_config_entry("session.x64quantprecision", "1")
        try:
            self._session = onnxruntime.InferenceSession(
                str(model), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime raises classes of its own, all plain Exceptions
            reason = str(error).splitlines()[0]
            raise BundleError(f"{model} does not load: {reason}") from error
        shapes = {value.name: value.shape for value in self._session.get_inputs()}
        outputs = {value.name: value.shape for value in self._session.get_outputs()}
        past = [shape for name, shape in shapes.items() if name.startswith("past_")]
        try:
            self.context_length = int(shapes["past_key.0"][2])
            self.vocabulary_size = int(outputs["logits"][1])
            shapes["attention_rows"]
            size = 4 * sum(math.prod(map(int, shape)) for shape in past)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise BundleError(f"{model} is not the graph of a Parrotlet model") from error
        if not 0 < size <= _LARGEST_STATE:
            raise BundleError(f"{model} asks for {size:,} bytes of keys and values for each file")

    def new_state(self) -> OnnxState:
        """An empty state; it takes 8 x layers x width bytes per token it will hold."""
        return OnnxState(self._session)

    def evaluate(self, state: State, keep: int, tokens: Sequence[int]) -> NDArray[np.float32]:
        """See `Backend.evaluate`."""
        last: NDArray[np.float32] = self.evaluate_rows(state, keep, tokens, 1)[0]
        return last

    def evaluate_rows(
        self, state: State, keep: int, tokens: Sequence[int], rows: int
    ) -> NDArray[np.float32]:
        """See `Backend.evaluate_rows`."""
        assert isinstance(state, OnnxState)
        check_evaluation(self, state, keep, tokens, rows)
        new, total = len(tokens), keep + len(tokens)
        del state.tokens[keep:]
        feeds = {
            "input_ids": np.asarray(tokens, dtype=np.int64),
            "position_ids": np.arange(keep, total, dtype=np.int64),
            "logit_idx": np.arange(new - rows, new, dtype=np.int64),
        }
        # a single row is read twice (see `bundle.graph`); at the very end of the context there is
        # no room for the second one
        twice = new == 1 and total < self.context_length
        rows_read = [0, 0] if twice else range(new)
        feeds["attention_rows"] = np.array(rows_read, dtype=np.int64)
        total += twice
        feeds["seqlens_k"] = np.array([total - 1], dtype=np.int32)
        feeds["total_sequence_length"] = np.array(total, dtype=np.int32)
        binding = state.binding
        for name, value in feeds.items():
            binding.bind_cpu_input(name, value)
        # A bound output keeps its first shape, so this one is bound anew.
        binding.bind_output("logits", "cpu")
        self._session.run_with_iobinding(binding)
        state.tokens.extend(tokens)
        # Bound after the buffers of the state, hence last.
        logits: NDArray[np.float32] = binding.get_outputs()[-1].numpy()
        return logits
