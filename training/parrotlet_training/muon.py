"""Muon, for matrices of a transformer's blocks.

`torch.optim.Muon` iterates in bfloat16, which a CPU without such instructions emulates at a
hundredth of its speed, and takes GPT-2's fused query/key/value weight for one matrix. This one
iterates in bfloat16 only where the model is computed in it and that is faster, and takes fused
weights apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from .hardware import has_fast_bf16
from .sharding import like, whole


class Muon(torch.optim.Optimizer):
    """Momentum orthogonalised by Newton-Schulz steps (Jordan et al. 2024, "Muon").

    The update is scaled to the root mean square of AdamW's, 0.2 · sqrt(max(rows, columns)) (Liu
    et al. 2025, "Muon is Scalable for LLM Training", section 2.2), with decoupled weight decay.

    A parameter group may set ``parts``: the number of equal column blocks that its matrices are
    made of, each of which is orthogonalised by itself.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.1,
        steps: int = 5,
        half: bool = False,
    ) -> None:
        """Takes 2-D parameters; iterates in bf16 if `half` and where that is faster.

        Raises:
            ValueError: if one has another number of dimensions.
        """
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "steps": steps,
            "parts": 1,
            "half": half,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            if any(weight.ndim != 2 for weight in group["params"]):
                raise ValueError("Muon is for matrices alone")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                mean = state["momentum"]
                mean.lerp_(weight.grad, 1 - group["momentum"])
                ahead = weight.grad.lerp(mean, group["momentum"])  # Nesterov
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                # an update needs all of its matrix: under FSDP each process gathers it
                updates = [
                    0.2
                    * max(direction.shape) ** 0.5
                    * orthogonalised(direction, group["steps"], group["half"])
                    for direction in whole(ahead).chunk(group["parts"], 1)
                ]
                weight.add_(like(torch.cat(updates, 1), weight), alpha=-group["lr"])
        return loss


def orthogonalised(matrix: torch.Tensor, steps: int, half: bool = False) -> torch.Tensor:
    """Nearly U Vᵀ of `matrix` = U S Vᵀ: its singular values pulled to about 1.

    Quintic Newton-Schulz iteration with the coefficients of Jordan et al. 2024; in bf16 if `half`
    and the device is faster in it.
    """
    work = matrix.bfloat16() if half and has_fast_bf16(matrix.device) else matrix
    tall = work.shape[0] > work.shape[1]
    if tall:
        work = work.T
    work = work / (work.norm() + 1e-7)
    for _ in range(steps):
        square = work @ work.T
        work = torch.addmm(work, -4.7750 * square + 2.0315 * square @ square, work, beta=3.4445)
    if tall:
        work = work.T
    return work.to(matrix.dtype)
