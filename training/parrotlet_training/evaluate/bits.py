"""Bits per byte: comparable across tokenizers, since it counts text and not tokens."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from parrotlet_tokenizer import CodeTokenizer


@dataclass
class TextScore:
    """Sums over scored tokens; sums of several ranks add up.

    Attributes:
        nats: negative log-likelihood.
        tokens: scored tokens, special ones left out.
        bytes: UTF-8 bytes that these stand for.
    """

    nats: float = 0.0
    tokens: int = 0
    bytes: int = 0

    @property
    def loss(self) -> float:
        """Nats per token."""
        return self.nats / max(1, self.tokens)

    @property
    def perplexity(self) -> float:
        """exp(loss); infinite where that overflows."""
        try:
            return math.exp(self.loss)
        except OverflowError:
            return math.inf

    @property
    def bits_per_byte(self) -> float:
        """Bits per byte of text."""
        return self.nats / math.log(2) / max(1, self.bytes)


@torch.no_grad()
def score_rows(
    model: nn.Module,
    rows: Iterable[NDArray[np.int32]],
    tokenizer: CodeTokenizer,
    device: torch.device,
    batch: int = 8,
) -> TextScore:
    """Scores rows of tokens, each of shape (context + 1,), int32; special tokens are not scored."""
    lengths = torch.tensor([len(item) for item in tokenizer.token_bytes], device=device)
    score = TextScore()
    training = model.training
    model.eval()
    pending: list[NDArray[np.int32]] = []

    def flush() -> None:
        tokens = torch.from_numpy(np.stack(pending).astype(np.int64)).to(device)
        logits = model(input_ids=tokens[:, :-1], use_cache=False).logits.float()
        targets = tokens[:, 1:]
        nats = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        scored = lengths[targets].flatten()
        score.nats += float(nats[scored > 0].cpu().double().sum())
        score.tokens += int((scored > 0).sum())
        score.bytes += int(scored.sum())
        pending.clear()

    for row in rows:
        pending.append(row)
        if len(pending) == batch:
            flush()
    if pending:
        flush()
    model.train(training)
    return score
