"""Muon, for matrices of a transformer's blocks.

`torch.optim.Muon` iterates in bfloat16, which a CPU without such instructions emulates at a
hundredth of its speed, and takes GPT-2's fused query/key/value weight for one matrix. This one
iterates in bfloat16 only where the model is computed in it and that is faster, and takes fused
weights apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
            for weights in _alike(group["params"]):
                # an update needs all of its matrix: under FSDP each process gathers it
                directions = [
                    part
                    for weight in weights
                    for part in whole(self._ahead(weight, group["momentum"])).chunk(
                        group["parts"], 1
                    )
                ]
                updates = orthogonalised(torch.stack(directions), group["steps"], group["half"])
                updates *= 0.2 * max(updates.shape[1:]) ** 0.5
                for weight, parts in zip(
                    weights, torch.split(updates, group["parts"]), strict=True
                ):
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    update = torch.cat(tuple(parts), 1)
                    weight.add_(like(update, weight), alpha=-group["lr"])
        return loss

    def _ahead(self, weight: torch.Tensor, momentum: float) -> torch.Tensor:
        """Takes up the gradient of `weight`, and gives where Nesterov's momentum points."""
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        mean: torch.Tensor = state["momentum"]
        assert weight.grad is not None
        mean.lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(mean, momentum)


_TOGETHER = 2**24
"""Most elements that are worked on at once: small products alone do not fill a device."""


def _alike(weights: Iterable[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Those with a gradient, by shape, in lists of at most `_TOGETHER` elements or one weight."""
    shapes: dict[torch.Size, list[torch.Tensor]] = {}
    for weight in weights:
        if weight.grad is not None:
            shapes.setdefault(weight.shape, []).append(weight)
    for shape, found in shapes.items():
        count = max(1, _TOGETHER // shape.numel())
        yield from (found[start : start + count] for start in range(0, len(found), count))


def orthogonalised(matrices: torch.Tensor, steps: int, half: bool = False) -> torch.Tensor:
    """Nearly U Vᵀ of each matrix U S Vᵀ: its singular values pulled to about 1.

    Quintic Newton-Schulz iteration with the coefficients of Jordan et al. 2024; in bf16 if `half`
    and the device is faster in it.

    Args:
        matrices: shape (number, rows, columns).
        steps: of the iteration.
        half: see above.
    """
    work = matrices.bfloat16() if half and has_fast_bf16(matrices.device) else matrices
    tall = work.shape[1] > work.shape[2]
    if tall:
        work = work.mT
    work = work / (work.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = torch.bmm(work, work.mT)
        powers = torch.baddbmm(square, square, square, beta=-4.7750, alpha=2.0315)
        work = torch.baddbmm(work, powers, work, beta=3.4445)
    if tall:
        work = work.mT
    return work.to(matrices.dtype)
