"""The loss: over the whole vocabulary, and its sampled estimate."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from parrotlet_training.cross_entropy import linear_cross_entropy
from parrotlet_training.model import new_model
from parrotlet_training.objective import Objective, candidates
from parrotlet_training.recipe import LossOptions, ModelOptions

VOCABULARY = 300


@pytest.fixture
def model():
    return new_model(ModelOptions(layers=1, width=16, heads=2, context=16), VOCABULARY, seed=3)


@pytest.fixture
def rows():
    return torch.randint(0, VOCABULARY, (4, 17), generator=torch.Generator().manual_seed(5))


def sampled(model, **options):
    return Objective(model, LossOptions(kind="sampled", **options), compiled=False)


@given(
    st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=60),
    st.integers(1, 400),
    st.integers(1, 400),
)
def test_candidates_hold_every_target_once(targets, frequent, negatives):
    wanted = torch.tensor(targets)
    ids, places, shift = candidates(wanted, frequent, negatives, VOCABULARY)
    assert len(set(ids.tolist())) == len(ids)
    assert torch.equal(ids[places], wanted)
    assert set(range(min(frequent, VOCABULARY))) <= set(ids.tolist())
    # each drawn id stands for as many as were left out beside it: all ids are accounted for
    assert shift.exp().sum().item() == pytest.approx(VOCABULARY, rel=1e-4)


def test_full_loss_is_the_models_cross_entropy(model, rows):
    logits = model(input_ids=rows[:, :-1]).logits
    expected = functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
    assert Objective(model, LossOptions(), compiled=False)(rows).item() == pytest.approx(
        expected.item(), rel=1e-5
    )


@settings(deadline=None)
@given(st.sampled_from([1, 2, 700, 1023, 1024, 1025, 2048, 2500]), st.integers(2, 90))
def test_the_loss_in_chunks_is_the_same_and_so_are_its_gradients(rows, vocabulary):
    generator = torch.Generator().manual_seed(rows * vocabulary)
    found = []
    for function in (
        linear_cross_entropy,
        lambda hidden, head, targets: functional.cross_entropy(hidden @ head.T, targets),
    ):
        generator.manual_seed(rows)
        hidden = torch.randn(rows, 8, generator=generator, requires_grad=True)
        head = torch.randn(vocabulary, 8, generator=generator, requires_grad=True)
        targets = torch.randint(0, vocabulary, (rows,), generator=generator)
        loss = function(hidden, head, targets)
        (3 * loss).backward()  # as accumulation and the scale of fp16 do
        found.append((loss.detach(), hidden.grad, head.grad))
    for own, expected in zip(*found, strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("frequent", "negatives"), [(VOCABULARY, 1), (20, VOCABULARY)])
def test_with_all_candidates_loss_and_gradients_are_exact(model, rows, frequent, negatives):
    exact = Objective(model, LossOptions(), compiled=False)(rows)
    exact.backward()
    gradients = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    model.zero_grad()
    estimate = sampled(model, frequent=frequent, negatives=negatives)(rows)
    estimate.backward()
    assert estimate.item() == pytest.approx(exact.item(), rel=1e-5)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight.grad, gradients[name], rtol=1e-3, atol=1e-6)


def test_partition_sums_are_estimated_without_bias(model, rows):
    """The mean of many draws of each row's sum of exponentials is the whole vocabulary's."""
    hidden = model.transformer(rows[:, :-1]).last_hidden_state.flatten(0, 1)
    head = model.lm_head.weight * 15  # far from uniform
    targets = rows[:, 1:].flatten()
    whole = (hidden @ head.T).logsumexp(1)
    total = torch.zeros_like(whole)
    torch.manual_seed(11)
    for _ in range(1500):
        ids, _, shift = candidates(targets, 40, 60, VOCABULARY)
        total += (hidden @ head[ids].T + shift).logsumexp(1).exp() / 1500
    torch.testing.assert_close(total.log(), whole, atol=0.05, rtol=0)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 9))
def test_the_draw_follows_the_random_state_that_checkpoints_hold(seed):
    targets = torch.arange(50, 90)
    torch.manual_seed(seed)
    state = torch.get_rng_state()
    first, _, _ = candidates(targets, 30, 40, VOCABULARY)
    second, _, _ = candidates(targets, 30, 40, VOCABULARY)
    torch.set_rng_state(state)
    again, _, _ = candidates(targets, 30, 40, VOCABULARY)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_a_fresh_model_is_near_chance(model, rows):
    loss = sampled(model, frequent=50, negatives=60)(rows)
    assert loss.item() == pytest.approx(math.log(VOCABULARY), abs=0.3)


@pytest.mark.parametrize(
    ("options", "sharded"),
    [(LossOptions(), False), (LossOptions(), True), (LossOptions(kind="sampled"), False)],
)
def test_compiled_it_is_the_same(model, rows, options, sharded):
    """As a whole, block by block for FSDP, and with a sampled loss outside."""
    found = []
    for compiled in (False, True):
        objective = Objective(model, options, compiled=compiled, sharded=sharded)
        torch.manual_seed(1)  # of what a sampled loss draws
        loss = objective(rows)
        model.zero_grad()
        loss.backward()
        gradients = [weight.grad.clone() for weight in model.parameters()]
        found.append((loss.item(), gradients))
    (plain, expected), (loss, gradients) = found
    assert loss == pytest.approx(plain, rel=1e-5)
    for one, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from([1, 127, 128, 129, 1024, 1500]),
    st.sampled_from([2, 50, 2_500, 20_000]),
    st.booleans(),
)
def test_the_loss_in_chunks_takes_a_shift(rows, entries, shifted):
    generator = torch.Generator().manual_seed(rows * entries)
    hidden = torch.randn(rows, 8, generator=generator, requires_grad=True)
    head = torch.randn(entries, 8, generator=generator, requires_grad=True)
    shift = 5 * torch.randn(entries, generator=generator) if shifted else None
    targets = torch.randint(0, entries, (rows,), generator=generator)
    found = []
    for loss in (
        linear_cross_entropy(hidden, head, targets, shift),
        functional.cross_entropy(hidden @ head.T + (0 if shift is None else shift), targets),
    ):
        found.append([loss.detach(), *torch.autograd.grad(loss, [hidden, head])])
    for own, expected in zip(*found, strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-5)


def test_the_loss_in_chunks_in_bfloat16():
    generator = torch.Generator().manual_seed(2)
    hidden = torch.randn(3000, 16, generator=generator, requires_grad=True)
    head = torch.randn(700, 16, generator=generator, requires_grad=True)
    targets = torch.randint(0, 700, (3000,), generator=generator)
    exact = linear_cross_entropy(hidden, head, targets)
    wanted = torch.autograd.grad(exact, [hidden, head])
    errors = []
    for function in (
        linear_cross_entropy,
        lambda *given: functional.cross_entropy(functional.linear(*given[:2]).float(), given[2]),
    ):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = function(hidden, head, targets)
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(exact.item(), rel=1e-3)
        gradients = torch.autograd.grad(loss, [hidden, head])
        assert [one.dtype for one in gradients] == [torch.float32] * 2
        errors.append([(one - other).norm() for one, other in zip(gradients, wanted, strict=True)])
    for own, usual in zip(*errors, strict=True):
        assert own < 1.5 * usual


@pytest.mark.parametrize("frozen", ["hidden", "head"])
def test_only_what_wants_a_gradient_gets_one(frozen):
    hidden = torch.randn(200, 8, requires_grad=frozen != "hidden")
    head = torch.randn(50, 8, requires_grad=frozen != "head")
    targets = torch.randint(0, 50, (200,))
    linear_cross_entropy(hidden, head, targets).backward()
    for one in (hidden, head):
        assert (one.grad is not None) == one.requires_grad
    with torch.no_grad():
        assert not linear_cross_entropy(hidden, head, targets).requires_grad
    plain = linear_cross_entropy(hidden.detach(), head.detach(), targets)
    assert not plain.requires_grad


def test_logits_that_are_far_apart_do_no_harm():
    hidden = torch.full((4, 1), 300.0, requires_grad=True)
    head = torch.tensor([[1.0], [-1.0], [0.0]], requires_grad=True)
    loss = linear_cross_entropy(hidden, head, torch.tensor([0, 1, 2, 0]))
    loss.backward()
    assert loss.item() == pytest.approx((600 + 300) / 4)
    assert hidden.grad.isfinite().all()
    assert head.grad.isfinite().all()
