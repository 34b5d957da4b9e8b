"""Scores of text: what is counted, and that the number of processes does not matter."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from parrotlet_tokenizer import CodeTokenizer
from parrotlet_training.evaluate.bits import TextScore, score_rows
from parrotlet_training.model import new_model
from parrotlet_training.objective import Objective
from parrotlet_training.recipe import LossOptions, ModelOptions
from parrotlet_training.validation import validate


def test_score_counts_text_and_not_specials(tokenizer: CodeTokenizer):
    model = new_model(ModelOptions(layers=1, width=32, heads=2, context=16), 600, seed=1)
    ids = [0, *tokenizer.encode("x = 'é'\n"), 0]
    row = np.asarray(ids + [0] * (17 - len(ids)), np.int32)
    score = score_rows(model, [row], tokenizer, torch.device("cpu"))
    assert score.bytes == len("x = 'é'\n".encode())
    assert score.tokens == len(ids) - 2
    with torch.no_grad():
        logits = model(torch.tensor(row[None, :-1], dtype=torch.long)).logits[0]
    chosen = logits.log_softmax(-1)[range(16), row[1:]][: len(ids) - 2]
    assert score.nats == pytest.approx(-float(chosen.sum()), rel=1e-5)


def test_perplexity_overflows_to_infinity():
    assert TextScore(nats=1e6, tokens=1, bytes=1).perplexity == math.inf


class Rank:
    """As much of one of several processes as a score asks for; the sums are taken afterwards."""

    device = torch.device("cpu")

    def __init__(self, process_index, num_processes):
        self.process_index, self.num_processes = process_index, num_processes

    def reduce(self, values, kind):
        assert kind == "sum"
        return values


@pytest.mark.parametrize("count", [1, 5, 8])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_row_counts_once_on_however_many_ranks(tokenizer: CodeTokenizer, count, world):
    """Beside the plain score of the same rows; two real ranks are in test_train_ranks.py."""
    model = new_model(ModelOptions(layers=1, width=32, heads=2, context=16), 600, seed=1)
    draw = np.random.default_rng(count)
    rows = [draw.integers(0, 600, 17, dtype=np.int32) for _ in range(count)]
    objective = Objective(model, LossOptions(kind="sampled", frequent=9, negatives=9), False)
    objective.train()
    calls = []
    objective.register_forward_hook(lambda *_: calls.append(1))
    parts = [validate(objective, rows, tokenizer, Rank(rank, world), 2) for rank in range(world)]
    assert objective.training
    assert len(calls) == world * -(-count // (2 * world))  # as many on each rank
    expected = score_rows(model, rows, tokenizer, torch.device("cpu"))
    assert sum(part.tokens for part in parts) == expected.tokens
    assert sum(part.bytes for part in parts) == expected.bytes
    assert sum(part.nats for part in parts) == pytest.approx(expected.nats, rel=1e-5)


def test_without_rows_there_is_no_score(tokenizer: CodeTokenizer):
    model = new_model(ModelOptions(layers=1, width=32, heads=2, context=16), 600, seed=1)
    objective = Objective(model, LossOptions(), False)
    score = validate(objective, [], tokenizer, Accelerator(cpu=True), 2)
    assert (score.nats, score.tokens, score.bits_per_byte) == (0, 0, 0)
    assert math.isfinite(score.perplexity)
