"""CodeParrot's training loop, written anew from its description.

Tunstall et al., "Natural Language Processing with Transformers", 2022, chapter 10, and the project
codeparrot of huggingface/transformers-research-projects: Accelerate, a streamed data set cut into
rows of constant length, AdamW with two groups, a cosine schedule, gradient accumulation that waits
for the loss of every micro-batch, gradient checkpointing, float32. Its model is configured as GPT-2
is (a dropout of a tenth everywhere), but for attention that is scaled by the layer's number and
reordered for stability; transformers computed it step by step then. What differs: as many rows are
tokenised at once as a step takes (it was 1,024, which comes to the same for each token but not for
each step).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import torch
from accelerate import Accelerator
from datasets import load_dataset
from torch.utils.data import DataLoader, IterableDataset
from transformers import AutoTokenizer, GPT2LMHeadModel, get_scheduler

from ...corpus.shards import shard_files
from .gate import Gate
from .gpt2 import new_gpt2
from .plan import Plan

_SHUFFLED = 256
"""Documents and rows that are shuffled together: 1,000 and more there, which takes longer to fill
at the start and no longer afterwards."""


class ConstantLength(IterableDataset[torch.Tensor]):
    """Rows of one length out of documents that are joined by end-of-text; never ends."""

    def __init__(self, tokenizer: Any, documents: Any, context: int, rows: int) -> None:
        """Tokenises about `rows` rows of text at once, at 3.6 characters a token."""
        self._tokenizer = tokenizer
        self._documents = documents
        self._context = context
        self._characters = int(context * 3.6 * rows)

    def __iter__(self) -> Iterator[torch.Tensor]:
        documents = iter(self._documents)
        while True:
            texts: list[str] = []
            held = 0
            while held < self._characters:
                try:
                    texts.append(next(documents)["content"])
                except StopIteration:
                    documents = iter(self._documents)
                    continue
                held += len(texts[-1])
            tokens: list[int] = []
            for ids in self._tokenizer(texts, truncation=False)["input_ids"]:
                tokens += [*ids, self._tokenizer.eos_token_id]
            for start in range(0, len(tokens) - self._context + 1, self._context):
                yield torch.tensor(tokens[start : start + self._context])


def _groups(model: torch.nn.Module) -> list[dict[str, Any]]:
    """Decay for all but biases and norms: embeddings have it too."""
    without = ("bias", "ln_1.weight", "ln_2.weight", "ln_f.weight")
    decayed: list[torch.Tensor] = []
    others: list[torch.Tensor] = []
    for name, weight in model.named_parameters():
        (others if any(part in name for part in without) else decayed).append(weight)
    return [
        {"params": decayed, "weight_decay": 0.1},
        {"params": others, "weight_decay": 0.0},
    ]


def run(plan: Plan, gate: Gate) -> None:
    """Trains the model as published."""
    published = new_gpt2(
        plan,
        dropout=0.1,
        attn_implementation="eager",
        scale_attn_by_inverse_layer_idx=True,
        reorder_and_upcast_attn=True,
    )
    train(published, plan, gate)


def train(model: GPT2LMHeadModel, plan: Plan, gate: Gate) -> None:
    """The loop; logs every micro-batch."""
    accelerator = Accelerator(mixed_precision="bf16" if plan.precision == "bf16" else "no")
    logger = logging.getLogger(__name__)
    files = [str(file) for file in shard_files(plan.corpus, "train")]
    documents = load_dataset("parquet", data_files=files, split="train", streaming=True)
    documents = documents.shuffle(buffer_size=_SHUFFLED, seed=plan.seed)
    rows = ConstantLength(
        AutoTokenizer.from_pretrained(plan.tokenizer), documents, plan.shape.context, plan.rows
    )
    model.gradient_checkpointing_enable()
    optimizer = torch.optim.AdamW(_groups(model), lr=plan.learning_rate)
    schedule = get_scheduler(
        "cosine", optimizer, num_warmup_steps=min(5, plan.steps), num_training_steps=plan.steps + 1
    )
    loader = DataLoader(rows, batch_size=plan.micro_rows)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    gate.watch(plan.device)
    model.train()
    tracked = 0.0
    began = time.time()
    for number, batch in enumerate(loader, start=1):
        loss = model(batch, labels=batch, use_cache=False).loss
        average = accelerator.gather(loss.repeat(plan.micro_rows)).mean()
        tracked += average.item() / plan.accumulation
        logger.info("micro-batch %d: loss %f", number, loss.item())
        accelerator.backward(loss / plan.accumulation)
        if number % plan.accumulation == 0:
            accelerator.clip_grad_norm_(model.parameters(), 1.0)
            newest = tracked
            gate.loss = lambda newest=newest: newest
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            logger.info("loss %f, %f s", tracked, time.time() - began)
            tracked, began = 0.0, time.time()
