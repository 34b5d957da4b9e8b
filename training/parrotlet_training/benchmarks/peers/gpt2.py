"""The GPT-2 of transformers, as those who start from its configuration get it."""

from __future__ import annotations

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from .plan import Plan


def new_gpt2(plan: Plan) -> GPT2LMHeadModel:
    """Fresh weights; the attention and the activation that transformers chooses, no dropout."""
    torch.manual_seed(plan.seed)
    shape = plan.shape
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=shape.vocabulary,
            n_positions=shape.context,
            n_embd=shape.width,
            n_layer=shape.layers,
            n_head=shape.heads,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
