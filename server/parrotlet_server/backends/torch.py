"""The model in PyTorch, on a GPU or where ONNX Runtime does not run. Needs torch; nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from parrotlet_server.bundle import BundleError
from parrotlet_server.bundle.checkpoint import Architecture

from .base import State, check_evaluation


class TorchState:
    """Keys and values of shape (layers, 2, heads, context length, head size), allocated once.

    Attributes:
        tokens: the ids whose keys and values are held, in order.
    """

    def __init__(self, shape: Architecture, device: torch.device) -> None:
        """Allocates the buffer on `device`."""
        self.tokens: list[int] = []
        self.held = torch.zeros(
            (shape.layers, 2, shape.heads, shape.context_length, shape.head_size), device=device
        )


class TorchBackend:
    """A `Backend` that computes in float32 on a device of torch's.

    Attributes:
        context_length: most tokens that a state holds.
        vocabulary_size: number of logits.
        device: where it runs.
    """

    def __init__(
        self,
        architecture: Architecture,
        tensors: Mapping[str, NDArray[np.float32]],
        device: str | None = None,
        threads: int | None = None,
    ) -> None:
        """Puts the weights on a device.

        Args:
            architecture: the model's numbers.
            tensors: float32 weights, named and shaped as in `Architecture.shapes`.
            device: as torch names it, such as "cuda:1"; None is CUDA or MPS where there is one.
            threads: of the processor, for the whole process; None leaves torch's choice.

        Raises:
            BundleError: if there is no such device, or the weights do not fit it.
        """
        self.context_length = architecture.context_length
        self.vocabulary_size = architecture.vocabulary_size
        self._shape = architecture
        if threads:
            torch.set_num_threads(threads)
        try:
            self.device = torch.device(device or _best_device())
            self._weights = {
                name: torch.from_numpy(np.array(tensor)).to(self.device)
                for name, tensor in tensors.items()
            }
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise BundleError(f"torch cannot use the device {device!r}: {reason}") from error

    def new_state(self) -> TorchState:
        """An empty state; it takes 8 x layers x width bytes for each token of the context."""
        return TorchState(self._shape, self.device)

    def evaluate(self, state: State, keep: int, tokens: Sequence[int]) -> NDArray[np.float32]:
        """See `Backend.evaluate`."""
        last: NDArray[np.float32] = self.evaluate_rows(state, keep, tokens, 1)[0]
        return last

    @torch.inference_mode()
    def evaluate_rows(
        self, state: State, keep: int, tokens: Sequence[int], rows: int
    ) -> NDArray[np.float32]:
        """See `Backend.evaluate_rows`."""
        assert isinstance(state, TorchState)
        check_evaluation(self, state, keep, tokens, rows)
        del state.tokens[keep:]
        weights, total = self._weights, keep + len(tokens)
        ids = torch.tensor(tokens, device=self.device)
        hidden = weights["wte.weight"][ids] + weights["wpe.weight"][keep:total]
        # a new token sees all that is held and the new ones up to itself
        seen = torch.ones(len(tokens), total, dtype=torch.bool, device=self.device).tril(keep)
        for layer in range(self._shape.layers):
            hidden = self._block(hidden, f"h.{layer}", state.held[layer], keep, seen)
        logits = self._normal(hidden[-rows:], "ln_f") @ weights["wte.weight"].T
        found: NDArray[np.float32] = logits.cpu().numpy()
        state.tokens.extend(tokens)
        return found.copy()  # not an inference tensor's memory: the caller may write to it

    def _block(self, hidden: Tensor, name: str, held: Tensor, keep: int, seen: Tensor) -> Tensor:
        new, total = len(hidden), keep + len(hidden)
        inner = self._linear(self._normal(hidden, f"{name}.ln_1"), f"{name}.attn.c_attn")
        query, key, value = (
            part.view(new, self._shape.heads, self._shape.head_size).transpose(0, 1)
            for part in inner.chunk(3, dim=-1)
        )
        held[0, :, keep:total], held[1, :, keep:total] = key, value
        out = functional.scaled_dot_product_attention(
            query[None], held[0, :, :total][None], held[1, :, :total][None], attn_mask=seen
        )[0]
        out = out.transpose(0, 1).reshape(new, self._shape.width)
        hidden = hidden + self._linear(out, f"{name}.attn.c_proj")
        inner = self._linear(self._normal(hidden, f"{name}.ln_2"), f"{name}.mlp.c_fc")
        inner = functional.gelu(inner, approximate="tanh")
        return hidden + self._linear(inner, f"{name}.mlp.c_proj")

    def _linear(self, value: Tensor, name: str) -> Tensor:
        return torch.addmm(self._weights[f"{name}.bias"], value, self._weights[f"{name}.weight"])

    def _normal(self, value: Tensor, name: str) -> Tensor:
        return functional.layer_norm(
            value,
            (self._shape.width,),
            self._weights[f"{name}.weight"],
            self._weights[f"{name}.bias"],
            self._shape.epsilon,
        )


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
