"""Attention by blocks of queries is torch's own, and only where it is faster."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from parrotlet_training.attention import NAME, causal_attention
from parrotlet_training.model import new_model
from parrotlet_training.objective import Objective
from parrotlet_training.plan import activation_bytes
from parrotlet_training.recipe import LossOptions, ModelOptions


def drawn(shape, dtype):
    """Three tensors that want gradients, and a fourth."""
    generator = torch.Generator().manual_seed(sum(shape))
    tensors = [torch.randn(shape, generator=generator).to(dtype) for _ in range(4)]
    return [one.requires_grad_() for one in tensors[:3]], tensors[3]


def outcome(function, inputs, gradient):
    result = function(*inputs)
    found = torch.autograd.grad(result, inputs, gradient)
    return [result.detach(), *found]


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from([1, 2, 127, 128, 129, 300, 512, 515]),
    st.sampled_from([4, 7]),
    st.sampled_from([0.25, 1.3]),
)
def test_result_and_gradients_are_those_of_torch(rows, heads, context, width, scale):
    inputs, gradient = drawn((rows, heads, context, width), torch.float32)

    def torchs(query, key, value):
        return functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scale
        )

    own = outcome(lambda *three: causal_attention(*three, scale), inputs, gradient)
    for one, expected in zip(own, outcome(torchs, inputs, gradient), strict=True):
        torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-4)


def test_in_bfloat16_it_is_nearly_as_exact_as_torchs_own():
    inputs, gradient = drawn((2, 3, 300, 16), torch.bfloat16)
    wide = [one.detach().float().requires_grad_() for one in inputs]

    def torchs(query, key, value):
        return functional.scaled_dot_product_attention(query, key, value, is_causal=True)

    exact = outcome(torchs, wide, gradient.float())
    theirs = outcome(torchs, inputs, gradient)
    own = outcome(lambda *three: causal_attention(*three, 16**-0.5), inputs, gradient)
    for one, other, expected in zip(own, theirs, exact, strict=True):
        assert one.dtype == torch.bfloat16
        error, usual = ((each.float() - expected).norm() for each in (one, other))
        assert error < 2.5 * usual  # scores are rounded too


def test_transposed_inputs_are_as_good():
    inputs, gradient = drawn((2, 130, 2, 8), torch.float32)

    def own(query, key, value):
        return causal_attention(*(one.transpose(1, 2) for one in (query, key, value)), 0.5)

    def torchs(query, key, value):
        three = (one.transpose(1, 2) for one in (query, key, value))
        return functional.scaled_dot_product_attention(*three, is_causal=True, scale=0.5)

    gradient = gradient.transpose(1, 2)
    for one, expected in zip(
        outcome(own, inputs, gradient), outcome(torchs, inputs, gradient), strict=True
    ):
        torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-4)


@pytest.fixture
def calls(monkeypatch):
    """How often attention went by blocks."""
    found = []

    def counted(*inputs):
        found.append(inputs[0].shape)
        return causal_attention(*inputs)

    monkeypatch.setattr("parrotlet_training.attention.causal_attention", counted)
    return found


def test_a_step_in_bfloat16_goes_by_blocks(calls):
    options = ModelOptions(layers=2, width=32, heads=2, context=300)
    rows = torch.randint(0, 200, (2, 301), generator=torch.Generator().manual_seed(5))
    found = []
    for blocks in (True, False):
        model = new_model(options, 200, seed=3)
        objective = Objective(model, LossOptions(), compiled=False)
        assert model.config._attn_implementation == NAME
        if not blocks:
            model.config._attn_implementation = "sdpa"
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = objective(rows)
        loss.backward()
        found.append([loss.detach(), *(weight.grad for weight in model.parameters())])
    assert calls == [(2, 2, 300, 16)] * 2
    for one, other in zip(*found, strict=True):
        assert (one - other).norm() < 0.03 * other.norm()


def test_elsewhere_it_is_torchs_own(calls):
    options = ModelOptions(layers=1, width=32, heads=2, context=64)
    model = new_model(options, 200, seed=3)
    rows = torch.randint(0, 200, (3, 41), generator=torch.Generator().manual_seed(5))
    objective = Objective(model, LossOptions(), compiled=False)
    objective(rows).backward()  # float32
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        objective(rows, each=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mask = torch.ones(3, 41, dtype=torch.int64)
        mask[1, 30:] = 0
        padded = model(input_ids=rows, attention_mask=mask).logits
        short = model(input_ids=rows[1:2, :30]).logits
        assert len(calls) == 1
        torch.testing.assert_close(padded[1, :30], short[0], rtol=0.05, atol=0.05)
        # a cache's keys are more than the queries
        with torch.enable_grad():
            state = model(input_ids=rows[:, :40], use_cache=True).past_key_values
            del calls[:]
            rest = model(input_ids=rows[:, 40:], past_key_values=state).logits
        assert not calls
        whole = model(input_ids=rows).logits[:, 40:]
        torch.testing.assert_close(rest, whole, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("context", [128, 512, 1024])
def test_a_plan_counts_what_is_kept(context):
    inputs, _ = drawn((3, 2, context, 4), torch.bfloat16)
    kept = []

    def note(tensor):
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        causal_attention(*inputs, 0.5)
    shares = sum(one.nbytes for one in kept if one.shape[-1] != 4)
    options = ModelOptions(layers=5, width=8, heads=2, context=context)
    planned = [activation_bytes(options, 3, True, False, processor) for processor in (True, False)]
    assert planned[0] - planned[1] == 5 * shares
