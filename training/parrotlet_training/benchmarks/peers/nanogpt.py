"""nanoGPT's model and loop, written anew from its published design.

Karpathy, nanoGPT (github.com/karpathy/nanoGPT), 2022: a GPT of `nn.Linear` without biases, the
exact GELU, `scaled_dot_product_attention`, tied embeddings, fused AdamW, rows cut at random out of
a memory-mapped file of tokens, the next micro-batch fetched while the backward pass runs. Its
AdamW is fused on a GPU alone, since PyTorch had no other when it was written; here it always is.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from .gate import Gate
from .plan import Plan, Shape


class LayerNorm(nn.Module):
    """With an optional bias."""

    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Of the last dimension."""
        return functional.layer_norm(hidden, self.weight.shape, self.weight, self.bias, 1e-5)


class Attention(nn.Module):
    """Causal, with query, key and value in one product."""

    def __init__(self, width: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.c_attn = nn.Linear(width, 3 * width, bias=bias)
        self.c_proj = nn.Linear(width, width, bias=bias)
        self._heads = heads

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Shape (rows, tokens, width) both ways."""
        rows, tokens, width = hidden.shape
        query, key, value = (
            part.view(rows, tokens, self._heads, width // self._heads).transpose(1, 2)
            for part in self.c_attn(hidden).split(width, dim=2)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        together = mixed.transpose(1, 2).contiguous().view(rows, tokens, width)
        projected: torch.Tensor = self.c_proj(together)
        return projected


class Feedforward(nn.Module):
    """Four times as wide inside."""

    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width, bias=bias)
        self.gelu = nn.GELU()
        self.c_proj = nn.Linear(4 * width, width, bias=bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Shape (rows, tokens, width) both ways."""
        projected: torch.Tensor = self.c_proj(self.gelu(self.c_fc(hidden)))
        return projected


class Block(nn.Module):
    """Attention, then feed-forward, each on a normed residual stream."""

    def __init__(self, width: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.ln_1 = LayerNorm(width, bias)
        self.attn = Attention(width, heads, bias)
        self.ln_2 = LayerNorm(width, bias)
        self.mlp = Feedforward(width, bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Shape (rows, tokens, width) both ways."""
        hidden = hidden + self.attn(self.ln_1(hidden))
        result: torch.Tensor = hidden + self.mlp(self.ln_2(hidden))
        return result


class GPT(nn.Module):
    """The whole model; the head is the token embedding."""

    def __init__(self, shape: Shape, bias: bool = False) -> None:
        super().__init__()
        self.wte = nn.Embedding(shape.vocabulary, shape.width)
        self.wpe = nn.Embedding(shape.context, shape.width)
        self.h = nn.ModuleList(Block(shape.width, shape.heads, bias) for _ in range(shape.layers))
        self.ln_f = LayerNorm(shape.width, bias)
        self.lm_head = nn.Linear(shape.width, shape.vocabulary, bias=False)
        self.wte.weight = self.lm_head.weight
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                last = name.endswith("c_proj.weight")
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * shape.layers) if last else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def forward(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean nats per token of int64 (rows, tokens)."""
        places = torch.arange(tokens.shape[1], device=tokens.device)
        hidden = self.wte(tokens) + self.wpe(places)
        for block in self.h:
            hidden = block(hidden)
        logits = self.lm_head(self.ln_f(hidden))
        return functional.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))


def _optimizer(model: nn.Module, rate: float) -> torch.optim.Optimizer:
    """AdamW with decay for all matrices, embeddings too."""
    weights = list(model.parameters())
    groups = [
        {"params": [w for w in weights if w.ndim >= 2], "weight_decay": 0.1},
        {"params": [w for w in weights if w.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95), fused=True)


def _rate(step: int, plan: Plan) -> float:
    """Warm-up, then a cosine to a tenth."""
    warmup = min(5, plan.steps)
    if step < warmup:
        return plan.learning_rate * (step + 1) / (warmup + 1)
    done = (step - warmup) / max(1, plan.steps - warmup)
    share = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return plan.learning_rate * (0.1 + 0.9 * share)


def run(plan: Plan, gate: Gate) -> None:
    """Trains; reads a loss every ten steps."""
    torch.manual_seed(plan.seed)
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    data = np.memmap(plan.rows_file, np.uint16, "r")
    context = plan.shape.context

    def get_batch() -> tuple[torch.Tensor, torch.Tensor]:
        starts = torch.randint(len(data) - context, (plan.micro_rows,)).tolist()
        pair = [
            torch.stack(
                [torch.from_numpy(data[s + o : s + o + context].astype(np.int64)) for s in starts]
            )
            for o in (0, 1)
        ]
        if plan.device == "cuda":
            pair = [part.pin_memory().to("cuda", non_blocking=True) for part in pair]
        return pair[0], pair[1]

    def autocast() -> AbstractContextManager[Any]:
        if plan.precision == "bf16":
            return torch.autocast(plan.device, torch.bfloat16)
        return nullcontext()

    model: Any = GPT(plan.shape).to(plan.device)
    optimizer = _optimizer(model, plan.learning_rate)
    if plan.compile:
        model = torch.compile(model)
    gate.watch(plan.device)
    inputs, targets = get_batch()
    for step in range(plan.steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = _rate(step, plan)
        for _ in range(plan.accumulation):
            with autocast():
                loss = model(inputs, targets) / plan.accumulation
            inputs, targets = get_batch()
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        newest = loss.detach()
        gate.loss = lambda newest=newest: float(newest) * plan.accumulation
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 10 == 0:
            print(f"step {step}: loss {float(newest) * plan.accumulation:.4f}")  # noqa: T201
