"""Steps of the optimisers with and without a scaled loss, spikes, and short memory."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parrotlet_training.metrics import SpikeGuard, flat
from parrotlet_training.plan import relief
from parrotlet_training.processes import is_memory_short
from parrotlet_training.recipe import load_recipe
from parrotlet_training.update import update


def pair():
    """Two weights with an optimiser each, and gradients of norm 5 together."""
    torch.manual_seed(1)
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    optimizers = [torch.optim.SGD([weight], lr=1.0) for weight in weights]
    weights[0].grad, weights[1].grad = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0])
    return weights, optimizers


def scaler_of(scale):
    scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    scaler.scale(torch.zeros(()))  # it makes its tensors when it is first used
    return scaler


@pytest.mark.parametrize("scale", [None, 1.0, 1024.0])
def test_the_whole_gradient_is_clipped_once_whatever_the_scale(scale):
    weights, optimizers = pair()
    scaler = None
    if scale is not None:
        scaler = scaler_of(scale)
        for weight in weights:
            weight.grad *= scale
    assert update(optimizers, weights, 1.0, scaler) == pytest.approx(5.0)
    torch.testing.assert_close(weights[0].detach(), torch.tensor([1 - 0.6, 1.0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(weights[1].detach(), torch.tensor([1.0, 1 - 0.8]), atol=1e-5, rtol=0)
    assert all(weight.grad is None for weight in weights)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
@pytest.mark.parametrize("scaled", [False, True])
def test_a_gradient_that_is_no_number_moves_nothing(bad, scaled):
    """Not even the optimiser whose own part of it is sound."""
    weights, optimizers = pair()
    weights[1].grad[0] = bad
    scaler = scaler_of(1024.0) if scaled else None
    assert not math.isfinite(update(optimizers, weights, 1.0, scaler))
    assert all(torch.equal(weight, torch.ones(2)) for weight in weights)
    if scaler is not None:
        assert scaler.get_scale() == 512.0
        weights[0].grad = torch.tensor([512.0, 0.0])
        weights[1].grad = torch.zeros(2)
        assert update(optimizers, weights, 9.0, scaler) == pytest.approx(1.0)
        assert float(weights[0].detach()[0]) == pytest.approx(0.0)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 5), st.floats(0.001, 0.5))
def test_noise_and_a_falling_loss_are_no_spike(seed, level, noise):
    draws = np.random.default_rng(seed).standard_normal(300)
    guard = SpikeGuard(8.0, 5)
    for step, draw in enumerate(draws.tolist()):
        loss = level * (1 + math.exp(-step / 50)) + noise * draw
        assert not guard.spiked(loss)


@pytest.mark.parametrize("patience", [1, 3, 25])
def test_a_spike_is_told_once_it_has_lasted(patience):
    guard = SpikeGuard(8.0, patience, [3.0 + 0.1 * math.sin(step) for step in range(120)])
    for _ in range(patience - 1):
        assert not guard.spiked(9.0)
    assert not guard.spiked(3.0)  # it is over in time
    answers = [guard.spiked(9.0) for _ in range(patience)]
    assert answers == [False] * (patience - 1) + [True]
    assert guard.high == patience


def test_no_patience_means_no_guard():
    guard = SpikeGuard(8.0, 0, [3.0] * 200)
    assert not any(guard.spiked(1e9) for _ in range(100))


def test_short_memory_is_told_from_other_errors():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55)
    assert is_memory_short(caught.value)
    assert is_memory_short(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_memory_short(RuntimeError("shapes differ"))


@pytest.mark.parametrize(
    ("overrides", "gpus", "words"),
    [
        ([], 1, "optimizer.micro_rows=16 "),
        (["optimizer.micro_rows=1"], 1, "set run.gradient_checkpointing=true"),
        (["optimizer.micro_rows=1", "run.gradient_checkpointing=true"], 2, "set run.parallel=fsdp"),
        (["optimizer.micro_rows=1", "run.gradient_checkpointing=true"], 1, "a smaller model"),
    ],
)
def test_what_relieves_memory_comes_in_the_order_of_its_cost(overrides, gpus, words):
    assert words in relief(load_recipe("small-47m", overrides), gpus)


def test_nested_values_are_told_to_trackers_flat():
    values = {"a": 1, "b": {"c": [1, 2], "d": {"e": True}}, "f": None}
    assert flat(values) == {"a": 1, "b.c": "[1, 2]", "b.d.e": True, "f": "None"}
