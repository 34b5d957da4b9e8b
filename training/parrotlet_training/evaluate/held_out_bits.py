"""`parrotlet evaluate bits`: bits per byte of a corpus's split, with its interval."""

from __future__ import annotations

import argparse

import numpy as np
import torch

from parrotlet_tokenizer import CodeTokenizer

from ..data import text_rows
from .bits import TextScore, score_rows
from .errors import EvaluationError
from .figures import Figure, ratio_interval
from .loading import load_model
from .named import named_model
from .report import Report


def measure(options: argparse.Namespace) -> Report:
    """Runs the measure.

    Raises:
        EvaluationError: if the model is missing, cannot read so much at a time, or there is too
            little text.
        ModelError: if the model cannot be loaded.
        DataError: if the corpus has no such split.
    """
    named = named_model(options.model)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with load_model(str(named.folder)) as (model, folder):
        tokenizer = CodeTokenizer.load(folder)
        most = model.config.n_positions
        context = options.context or most
        if not 2 <= context <= most:
            raise EvaluationError(f"--context is {context}; this model reads 2 to {most} tokens")
        rows = text_rows(options.corpus, options.split, tokenizer, context, options.max_bytes)
        model.to(device)
        parts = [score_rows(model, [row], tokenizer, device, batch=1) for row in rows]
    parts = [part for part in parts if part.bytes]
    if len(parts) < 2:
        raise EvaluationError(
            f"{options.corpus} holds too little text of the split {options.split} for an interval"
        )
    nats = np.array([part.nats for part in parts])
    size = np.array([float(part.bytes) for part in parts])
    whole = TextScore(float(nats.sum()), sum(p.tokens for p in parts), int(size.sum()))
    bits = nats / np.log(2)
    low, high = ratio_interval(bits, size)
    figure = Figure(
        "bits per byte",
        whole.bits_per_byte,
        low,
        high,
        whole.bytes,
        "bytes",
        "bootstrap over rows",
        "bits/byte",
    )
    return Report(
        "bits per byte",
        named.identity,
        {
            "corpus": options.corpus.name,
            "split": options.split,
            "max_bytes": options.max_bytes,
            "context": context,
        },
        [figure],
        [f"per token: loss {whole.loss:.4f} nats, perplexity {whole.perplexity:.2f}"],
        {"tokens": whole.tokens, "loss": whole.loss, "perplexity": whole.perplexity},
    )
