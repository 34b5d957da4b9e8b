"""Between the model as it was and the model as it became: as much of the new as is harmless.

Wortsman et al. 2022, "Robust fine-tuning of zero-shot models" (WiSE-FT), section 3: the weights of
a model before and after fine-tuning are averaged. Most of what is learnt stays, and most of what
was forgotten comes back, so one may train with higher rates than would be good without it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import GPT2LMHeadModel

from parrotlet_tokenizer import CodeTokenizer

from ..checkpoint import STATE
from ..data import text_rows
from ..evaluate.bits import score_rows
from ..evaluate.loading import load_model

SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
"""Of the new weights, that are tried."""


@dataclass(frozen=True)
class Merged:
    """What was taken.

    Attributes:
        share: of the new weights.
        loss: by how much bits per byte of the text that is not to get worse rose, relative; None
            if there is no such text.
    """

    share: float
    loss: float | None


def chosen(rises: Sequence[float], loss: float) -> tuple[float, float]:
    """The share to take, and what it costs.

    A little of the new weights makes the text better than it was, for it is like the general text
    that was read meanwhile; other code gains half of that at most. So the bound is not for the rise
    over the model as it was, but over the best that any share gives.

    Args:
        rises: for each of `SHARES`, by how much the text's bits per byte rose, relative.
        loss: by how much more than the least of them, and than nothing, they may.

    Returns:
        The largest share within the bound, or else the least; and its rise.
    """
    least = min(0.0, *rises)
    for share, rise in zip(SHARES, rises, strict=True):
        if 1 + rise <= (1 + least) * (1 + loss):
            return share, rise
    return SHARES[-1], rises[-1]


def merge(
    base: Path,
    checkpoint: Path,
    target: Path,
    corpus: Path,
    split: str,
    max_bytes: int,
    loss: float | None,
) -> Merged:
    """Writes `checkpoint` to the new folder `target`, its weights averaged with those of `base`.

    Args:
        base: the model as it was, a bundle or a checkpoint.
        checkpoint: the model as it became, of the same shape.
        target: gets all of the checkpoint but the training state.
        corpus: holds `split`.
        split: text that is not to get worse.
        max_bytes: of it, about, that is scored for each share.
        loss: by how much its bits per byte may rise, as for `chosen`; None if there is no such
            text: then the new weights stay as they are.

    Raises:
        ModelError: if one cannot be read.
        OSError: if it cannot be written.
    """
    shutil.copytree(checkpoint, target, ignore=shutil.ignore_patterns(STATE))
    if loss is None:
        return Merged(1.0, None)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with load_model(str(base)) as (old, _), load_model(str(checkpoint)) as (new, folder):
        tokenizer = CodeTokenizer.load(folder)
        rows = list(text_rows(corpus, split, tokenizer, new.config.n_positions, max_bytes))

        def bits(model: GPT2LMHeadModel) -> float:
            return score_rows(model.to(device), rows, tokenizer, device).bits_per_byte

        before = bits(old)
        learnt = [weight.clone() for weight in new.to(device).parameters()]

        def take(share: float) -> None:
            with torch.no_grad():
                for weight, begun, ended in zip(
                    new.parameters(), old.parameters(), learnt, strict=True
                ):
                    weight.copy_(torch.lerp(begun, ended, share))

        rises = []
        for share in SHARES:
            take(share)
            rises.append(bits(new) / before - 1)
        share, rise = chosen(rises, loss)
        take(share)
        if share < 1:
            new.save_pretrained(target)
    return Merged(share, rise)
