"""FSDP: weights, gradients and optimiser states shared out over the GPUs, and gathered again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from accelerate.utils import FullyShardedDataParallelPlugin
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.distributed.tensor import DTensor, distribute_tensor

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def fsdp_plugin(precision: str) -> FullyShardedDataParallelPlugin:
    """Accelerate's FSDP2: each block is a unit, the embeddings with the loss the last one.

    Blocks compute in `precision` (``no``, ``bf16``, ``fp16``); master weights and the sums of
    gradients are float32, and so is the loss, which Accelerate's own policy would round.
    """
    policy = MixedPrecisionPolicy(param_dtype=_DTYPES.get(precision), reduce_dtype=torch.float32)
    return FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=["GPT2Block"],
        mixed_precision_policy=policy,
        cpu_ram_efficient_loading=False,
    )


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """`tensor` with the shards of all processes; every process has to call it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def like(tensor: torch.Tensor, pattern: torch.Tensor) -> torch.Tensor:
    """The shard of `tensor` that this process holds, if `pattern` is sharded.

    Args:
        tensor: whole, the same on all processes.
        pattern: of the same shape.
    """
    if not isinstance(pattern, DTensor):
        return tensor
    tensor = tensor.to(pattern.device)
    return distribute_tensor(tensor, pattern.device_mesh, pattern.placements, src_data_rank=None)


def is_sharded(model: nn.Module) -> bool:
    """Whether this process holds only a part of `model`."""
    return any(isinstance(weight, DTensor) for weight in model.parameters())


def whole_weights(model: nn.Module, keep: bool) -> dict[str, torch.Tensor]:
    """All weights, gathered one by one; every process has to call it.

    Args:
        model: sharded.
        keep: whether this process wants them; the others get none and spend no memory.
    """
    found: dict[str, torch.Tensor] = {}
    gathered: dict[int, torch.Tensor] = {}
    for name, weight in model.state_dict(keep_vars=True).items():
        if id(weight) not in gathered:  # tied ones once
            full = whole(weight).detach()
            gathered[id(weight)] = full.cpu() if keep else torch.empty(0)
        if keep:
            found[name] = gathered[id(weight)]
    return found


def whole_state(optimizer: torch.optim.Optimizer, keep: bool) -> dict[str, Any]:
    """State of `optimizer` with whole tensors; every process has to call it.

    Args:
        optimizer: of weights that may be sharded.
        keep: whether this process wants it; the others get an empty one.
    """
    content = optimizer.state_dict()
    states: dict[int, dict[str, Any]] = {}
    for index, state in content["state"].items():
        values = {}
        for key, value in state.items():
            if isinstance(value, torch.Tensor):
                value = whole(value).cpu()
            values[key] = value
        if keep:
            states[index] = values
    return {**content, "state": states} if keep else {}


def restore_state(optimizer: torch.optim.Optimizer, content: Mapping[str, Any]) -> None:
    """Takes a state of `whole_state`, each process its shard of it.

    Rates, decays and other options stay those of `optimizer`: the recipe rules.
    """
    options = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state = {
        index: {
            key: like(value, weights[index])
            if isinstance(value, torch.Tensor) and value.shape == weights[index].shape
            else value
            for key, value in values.items()
        }
        for index, values in content["state"].items()
    }
    optimizer.load_state_dict({**content, "state": state})
    for group, own in zip(optimizer.param_groups, options, strict=True):
        group.update(own)
