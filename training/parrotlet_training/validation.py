"""The validation score while a run goes on, shared out over its processes."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import nn

from parrotlet_tokenizer import CodeTokenizer
from parrotlet_tokenizer.specials import END_OF_TEXT_ID

from .evaluate.bits import TextScore


@torch.no_grad()
def validate(
    objective: nn.Module,
    rows: Iterable[NDArray[np.int32]],
    tokenizer: CodeTokenizer,
    accelerator: Accelerator,
    batch: int,
) -> TextScore:
    """Score of `rows`, the same whatever the number of processes; all of them call it.

    Each process takes every n-th row of a round. All run the same number of batches, since sharded
    weights are gathered in each: rows of end-of-text, which is never scored, fill the last round.

    Args:
        objective: an `Objective`, prepared or not.
        rows: int32, each of shape (context + 1,); the same on all processes.
        tokenizer: tells how many bytes a token stands for, 0 for special ones.
        accelerator: of this process.
        batch: rows that a process takes at once.
    """
    device, world = accelerator.device, accelerator.num_processes
    lengths = torch.tensor([len(item) for item in tokenizer.token_bytes], device=device)
    sums = torch.zeros(3, dtype=torch.float64, device=device)
    training = objective.training
    objective.eval()
    rows = iter(rows)
    while all_rows := list(islice(rows, world * batch)):
        own = all_rows[accelerator.process_index :: world]
        filling = np.full_like(all_rows[0], END_OF_TEXT_ID)
        tokens = np.stack(own + [filling] * (batch - len(own))).astype(np.int64)
        ids = torch.from_numpy(tokens).to(device)
        nats = objective(ids, True)
        scored = lengths[ids[:, 1:]]
        sums += torch.stack(
            [nats[scored > 0].double().sum(), (scored > 0).sum().double(), scored.sum().double()]
        )
    objective.train(training)
    nats_sum, count, size = accelerator.reduce(sums, "sum").tolist()
    return TextScore(nats_sum, round(count), round(size))
