"""One step of the optimisers, and the gradients that it takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch

from .sharding import whole


def update(
    optimizers: Sequence[torch.optim.Optimizer],
    weights: Iterable[torch.Tensor],
    clip: float,
    scaler: torch.amp.GradScaler | None = None,
) -> float:
    """Clips the gradient of `weights` to the norm `clip`, steps, and clears it.

    A gradient that is not finite moves nothing, in no optimiser; the scale of `scaler` then falls.
    Several optimisers share one scaler here, which each of Accelerate's would update by itself.

    Returns:
        Norm of the gradient before clipping.
    """
    for optimizer in optimizers:
        if scaler is not None:
            scaler.unscale_(optimizer)
    norm = float(whole(torch.nn.utils.clip_grad_norm_(weights, clip)))
    if math.isfinite(norm):
        for optimizer in optimizers:
            if scaler is not None:
                scaler.step(optimizer)
            else:
                optimizer.step()
    if scaler is not None:
        # the norm is the same on all processes, what each found in its own shard may not be
        scaler.update(None if math.isfinite(norm) else _lower(scaler))
    for optimizer in optimizers:
        optimizer.zero_grad()
    return norm


def _lower(scaler: torch.amp.GradScaler) -> float:
    return max(1.0, scaler.get_scale() * scaler.get_backoff_factor())
