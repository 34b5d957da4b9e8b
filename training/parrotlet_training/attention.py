"""Causal attention for training on a processor, block by block of queries.

torch's own (flash attention, Dao et al. 2022) computes the probabilities twice, in tiles too small
for a processor's matrix units. Here a block of queries sees the keys up to its own end in one
product, and its probabilities are kept for the backward pass, in the products' precision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "parrotlet_blocks"

BLOCK = 128
"""Queries: fewer make the matrices too small, more compute too much that lies in the future."""


def use_blocks(model: PreTrainedModel) -> None:
    """Has `model` attend block by block where that is faster, and by torch's own elsewhere."""
    # not above: a plan needs BLOCK alone
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.config._attn_implementation = NAME


def causal_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
) -> torch.Tensor:
    """Softmax of the scaled scores of each query with the keys up to its own place, times values.

    Args:
        query: float, shape (rows, heads, context, width).
        key: of the same shape and dtype.
        value: likewise.
        scale: of the scores.

    Returns:
        The same shape.
    """
    result: torch.Tensor = _Blocks.apply(query, key, value, scale)  # type: ignore[no-untyped-call]
    return result


def _attend(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """As transformers calls it; see `sdpa_attention_forward`."""
    if (
        query.device.type == "cpu"
        and query.dtype == torch.bfloat16  # in float32 torch's own is as fast
        and query.shape == key.shape
        and attention_mask is None
        and is_causal is not False
        and not dropout
        and torch.is_grad_enabled()
        and query.requires_grad
        and not torch.compiler.is_compiling()
    ):
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        return causal_attention(query, key, value, scale).transpose(1, 2).contiguous(), None
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    result: tuple[torch.Tensor, None] = sdpa_attention_forward(
        module,
        query,
        key,
        value,
        attention_mask,
        dropout=dropout,
        scaling=scaling,
        is_causal=is_causal,
        **kwargs,
    )
    return result


class _Blocks(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        query, key, value = (query * scale).contiguous(), key.contiguous(), value.contiguous()
        context = query.shape[2]
        future = torch.full((BLOCK, BLOCK), float("-inf"), dtype=query.dtype).triu(1)
        result = torch.empty_like(query)
        kept = []
        for start in range(0, context, BLOCK):
            end = min(start + BLOCK, context)
            scores = query[:, :, start:end] @ key[:, :, :end].transpose(-1, -2)
            scores[..., start:] += future[: end - start, : end - start]
            shares = scores.softmax(-1)
            result[:, :, start:end] = shares @ value[:, :, :end]
            kept.append(shares)
        ctx.scale = scale
        ctx.save_for_backward(query, key, value, *kept)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        query, key, value, *kept = ctx.saved_tensors
        gradient = gradient.contiguous()
        to_query = torch.empty_like(query)
        to_key, to_value = torch.zeros(key.shape), torch.zeros(value.shape)
        start = 0
        for shares in kept:
            end = shares.shape[-1]
            own = gradient[:, :, start:end]
            to_value[:, :, :end] += shares.transpose(-1, -2) @ own
            change = own @ value[:, :, :end].transpose(-1, -2)
            change = torch._softmax_backward_data(change, shares, -1, shares.dtype)
            to_query[:, :, start:end] = change @ key[:, :, :end]
            to_key[:, :, :end] += change.transpose(-1, -2) @ query[:, :, start:end]
            start = end
        return to_query.mul_(ctx.scale), to_key.to(key.dtype), to_value.to(value.dtype), None
