"""The GPT-2 of a recipe and the optimisers of its weights."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from parrotlet_tokenizer.specials import END_OF_TEXT_ID

from .muon import Muon
from .recipe import ModelOptions, OptimizerOptions, ScheduleOptions


def new_model(options: ModelOptions, vocabulary_size: int, seed: int) -> GPT2LMHeadModel:
    """Fresh weights by `seed`, as GPT-2 draws them (Radford et al. 2019, section 2.3)."""
    torch.manual_seed(seed)
    configuration = GPT2Config(
        vocab_size=vocabulary_size,
        n_positions=options.context,
        n_embd=options.width,
        n_layer=options.layers,
        n_head=options.heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=END_OF_TEXT_ID,
        eos_token_id=END_OF_TEXT_ID,
        use_cache=True,
        attn_implementation="sdpa",
    )
    model = GPT2LMHeadModel(configuration)
    model.generation_config.pad_token_id = END_OF_TEXT_ID
    return model


def new_optimizers(
    model: nn.Module, options: OptimizerOptions, fused: bool, half: bool = False
) -> list[torch.optim.Optimizer]:
    """Optimisers over `model`'s weights; each group carries its peak rate as ``peak``.

    Weight decay falls on the blocks' matrices alone. Muon (Jordan et al. 2024) orthogonalises the
    update of those matrices, in bf16 if `half` and where that is faster.
    """
    matrices, fused_weights, others = [], [], []
    for name, weight in model.named_parameters():
        if weight.ndim != 2 or "wte" in name or "wpe" in name:
            others.append(weight)
        elif "c_attn" in name:  # query, key and value side by side
            fused_weights.append(weight)
        else:
            matrices.append(weight)
    muon = options.name == "muon"
    groups = [{"params": others, "weight_decay": 0.0}]
    if not muon:
        decayed = [*fused_weights, *matrices]
        groups.append({"params": decayed, "weight_decay": options.weight_decay})
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(
            groups, lr=options.learning_rate, betas=(options.beta1, options.beta2), fused=fused
        )
    ]
    if muon:
        optimizers.append(
            Muon(
                [{"params": fused_weights, "parts": 3}, {"params": matrices}],
                lr=options.muon_learning_rate,
                weight_decay=options.weight_decay,
                half=half,
            )
        )
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers


def rate_factor(step: int, options: ScheduleOptions) -> float:
    """Share of the peak learning rate at `step` (from 0): warm-up, plateau, decay."""
    if step < options.warmup:
        return (step + 1) / options.warmup
    start = options.steps - options.decay
    if step < start:
        return 1.0
    done = min(1.0, (step - start + 1) / max(1, options.decay))
    if options.shape == "cosine":
        left = 0.5 * (1 + float(torch.cos(torch.tensor(done * torch.pi))))
    else:
        left = 1 - done
    return options.floor + (1 - options.floor) * left


def set_rates(optimizers: Iterable[torch.optim.Optimizer], factor: float) -> None:
    """Sets each group's learning rate to `factor` of its peak."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * factor


def rates(optimizers: Iterable[torch.optim.Optimizer]) -> dict[str, float]:
    """The learning rate that each optimiser has now, as metrics name them."""
    return {
        "muon_learning_rate" if isinstance(optimizer, Muon) else "learning_rate": float(
            optimizer.param_groups[0]["lr"]
        )
        for optimizer in optimizers
    }


def parameters(model: nn.Module) -> int:
    """Number of weights, tied ones once."""
    return sum(weight.numel() for weight in model.parameters())
