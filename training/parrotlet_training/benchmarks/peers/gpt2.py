"""The GPT-2 of transformers, as those who start from its configuration get it."""

from __future__ import annotations

from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from .plan import Plan


def new_gpt2(plan: Plan, *, dropout: float = 0.0, **options: Any) -> GPT2LMHeadModel:
    """Fresh weights; the attention and the activation that transformers chooses.

    Args:
        plan: shape and seed.
        dropout: of embeddings, attention and what the blocks add.
        options: further ones of `GPT2Config`.
    """
    torch.manual_seed(plan.seed)
    shape = plan.shape
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=shape.vocabulary,
            n_positions=shape.context,
            n_embd=shape.width,
            n_layer=shape.layers,
            n_head=shape.heads,
            resid_pdrop=dropout,
            embd_pdrop=dropout,
            attn_pdrop=dropout,
            bos_token_id=0,
            eos_token_id=0,
            **options,
        )
    )
