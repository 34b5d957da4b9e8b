"""Weights, optimisers, schedule: what a model is made of before it trains."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from parrotlet_training.model import new_model, new_optimizers, rate_factor, rates, set_rates
from parrotlet_training.muon import Muon, orthogonalised
from parrotlet_training.recipe import ModelOptions, OptimizerOptions, ScheduleOptions


def test_weight_decay_spares_biases_norms_and_embeddings():
    model = new_model(ModelOptions(layers=1, width=32, heads=2, context=16), 300, seed=1)
    (optimizer,) = new_optimizers(model, OptimizerOptions(), fused=False)
    names = {id(weight): name for name, weight in model.named_parameters()}
    decayed = {
        names[id(weight)]
        for group in optimizer.param_groups
        for weight in group["params"]
        if group["weight_decay"]
    }
    assert decayed == {
        f"transformer.h.0.{name}.weight"
        for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    }
    count = sum(len(group["params"]) for group in optimizer.param_groups)
    assert count == len(list(model.parameters()))


def test_fresh_weights_depend_on_the_seed_alone():
    options = ModelOptions(layers=1, width=32, heads=2, context=16)
    one, two, other = (new_model(options, 300, seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.transformer.wte.weight, other.transformer.wte.weight)


def test_schedule_rises_stays_and_falls():
    options = ScheduleOptions(steps=100, warmup=10, decay=40, floor=0.1)
    rates = [rate_factor(step, options) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:60] == [1.0] * 51
    assert all(a > b for a, b in pairwise(rates[60:]))
    assert rates[99] == pytest.approx(0.1)
    cosine = ScheduleOptions(steps=100, warmup=0, decay=100, shape="cosine")
    assert rate_factor(49, cosine) == pytest.approx(0.5)


@pytest.mark.parametrize("shape", [(8, 32), (32, 8), (16, 16)])
@pytest.mark.parametrize("half", [False, True])
def test_orthogonalised_has_singular_values_near_one(shape, half):
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))
    scales = torch.tensor([1e-3, 1.0, 1e3])[:, None, None]
    values = torch.linalg.svdvals(orthogonalised(scales * matrices, 5, half))
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_muon_moves_each_matrix_as_if_it_were_alone(monkeypatch):
    """Whether those of one shape are worked on together, two at a time or one by one."""
    torch.manual_seed(1)
    shapes = [(8, 32), (32, 8), (8, 32), (8, 32), (16, 16)]
    start = [(torch.randn(shape), torch.randn(shape)) for shape in shapes]

    def moved(chosen):
        weights = [torch.nn.Parameter(weight.clone()) for weight, _ in chosen]
        for weight, (_, slope) in zip(weights, chosen, strict=True):
            weight.grad = slope.clone()
        optimizer = Muon([*weights, torch.nn.Parameter(torch.ones(8, 32))], lr=0.1)
        for _ in range(3):
            optimizer.step()
        return weights

    alone = [moved([one])[0] for one in start]
    for most in (2**24, 2 * 8 * 32, 1):
        monkeypatch.setattr("parrotlet_training.muon._TOGETHER", most)
        torch.testing.assert_close(moved(start), alone)


def test_muon_takes_fused_weights_apart():
    torch.manual_seed(1)
    start, gradient = torch.randn(8, 24), torch.randn(8, 24)
    fused = torch.nn.Parameter(start.clone())
    fused.grad = gradient.clone()
    Muon([{"params": [fused], "parts": 3}], lr=0.1, weight_decay=0.0).step()
    for part, before, slope in zip(
        fused.chunk(3, 1), start.chunk(3, 1), gradient.chunk(3, 1), strict=True
    ):
        single = torch.nn.Parameter(before.clone())
        single.grad = slope.clone()
        Muon([single], lr=0.1, weight_decay=0.0).step()
        torch.testing.assert_close(part, single)
    with pytest.raises(ValueError, match="matrices alone"):
        Muon([torch.nn.Parameter(torch.zeros(3))], lr=0.1)


def test_rates_are_told_as_they_are():
    model = new_model(ModelOptions(layers=1, width=32, heads=2, context=16), 300, seed=1)
    options = OptimizerOptions(name="muon", learning_rate=1e-3, muon_learning_rate=2e-2)
    optimizers = new_optimizers(model, options, fused=False)
    set_rates(optimizers, 0.5)
    assert rates(optimizers) == {"learning_rate": 5e-4, "muon_learning_rate": 1e-2}
