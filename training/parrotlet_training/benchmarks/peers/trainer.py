"""Hugging Face's `Trainer`, on a GPT-2, with its defaults."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset
from transformers import GPT2LMHeadModel, Trainer, TrainingArguments

from .gate import Gate
from .gpt2 import new_gpt2
from .plan import Plan


class _Rows(IterableDataset[dict[str, torch.Tensor]]):
    """The rows that our loader makes, read from a file: labels are the inputs, as usual there."""

    def __init__(self, plan: Plan) -> None:
        rows = np.memmap(plan.rows_file, np.uint16, "r")
        self._rows = rows.reshape(-1, plan.shape.context + 1)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        while True:
            for row in self._rows:
                ids = torch.from_numpy(row[:-1].astype(np.int64))
                yield {"input_ids": ids, "labels": ids}


def run(plan: Plan, gate: Gate) -> None:
    """Trains with a cosine schedule; logs every 500 steps, as it does unless told otherwise."""
    model: GPT2LMHeadModel = new_gpt2(plan)
    newest: deque[torch.Tensor] = deque(maxlen=plan.accumulation)

    def keep(_module: Any, _inputs: Any, output: Any) -> None:
        newest.append(output["loss"].detach())

    if not plan.compile:  # a hook would be compiled with the model
        model.register_forward_hook(keep)
        gate.loss = lambda: float(sum(newest))  # each is divided by the tokens of the step
    gate.watch(plan.device)
    arguments = TrainingArguments(
        output_dir=str(plan.folder / "trainer"),
        max_steps=plan.steps + 1,
        per_device_train_batch_size=plan.micro_rows,
        gradient_accumulation_steps=plan.accumulation,
        learning_rate=plan.learning_rate,
        weight_decay=0.1,
        warmup_steps=min(5, plan.steps),
        lr_scheduler_type="cosine",
        use_cpu=plan.device == "cpu",
        bf16=plan.precision == "bf16",
        torch_compile=plan.compile,
        save_strategy="no",
        report_to="none",
        seed=plan.seed,
    )
    Trainer(model=model, args=arguments, train_dataset=_Rows(plan)).train()
