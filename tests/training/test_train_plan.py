"""The plan: its formulas beside what torch counts, and the command."""

from __future__ import annotations

import json
import re

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import GPT2LMHeadModel

from parrotlet_server.cli import main
from parrotlet_training.hardware import GPUS, measured, named_device, this_processor
from parrotlet_training.model import new_model, new_optimizers, parameters
from parrotlet_training.objective import Objective
from parrotlet_training.plan import (
    BYTES_PER_TOKEN,
    Plan,
    activation_bytes,
    flops_per_token,
    memory,
    parameter_count,
    vocabulary_of,
)
from parrotlet_training.recipe import (
    LossOptions,
    ModelOptions,
    OptimizerOptions,
    load_recipe,
    shipped_recipes,
)

SHAPE = ModelOptions(layers=3, width=64, heads=2, context=64)
VOCABULARY = 512


@pytest.fixture
def rows():
    return torch.randint(0, VOCABULARY, (4, 65), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", shipped_recipes())
def test_parameters_are_counted_as_the_model_has_them(name):
    shape = load_recipe(name).model
    with torch.device("meta"):
        model = GPT2LMHeadModel(
            new_model(SHAPE, 300, 1).config.__class__(
                vocab_size=16_384,
                n_positions=shape.context,
                n_embd=shape.width,
                n_layer=shape.layers,
                n_head=shape.heads,
            )
        )
    assert parameter_count(shape, 16_384) == parameters(model)


def test_flops_are_those_that_torch_counts(rows):
    """Both take attention for uncausal; biases and norms are left out."""
    model = new_model(SHAPE, VOCABULARY, 1)
    objective = Objective(model, LossOptions(), compiled=False)
    model.set_attn_implementation("eager")  # its products are counted on every device
    with FlopCounterMode(display=False) as counter:
        objective(rows).backward()
    counted = counter.get_total_flops() / rows[:, 1:].numel()
    assert flops_per_token(SHAPE, LossOptions(), VOCABULARY) == pytest.approx(counted, rel=0.02)


def kept_bytes(objective, rows):
    """Bytes that the backward pass of `rows` needs besides weights, each storage once."""
    weights = {weight.untyped_storage().data_ptr() for weight in objective.parameters()}
    found = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = objective(rows)
    kept = sum(found.values())
    del loss
    return kept


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("half", [False, True])
def test_activations_are_those_that_torch_keeps(rows, checkpointing, half):
    """A block's share is the difference that more blocks make; within a quarter."""
    sizes = []
    for layers in (1, 4):
        shape = ModelOptions(layers, SHAPE.width, SHAPE.heads, SHAPE.context)
        model = new_model(shape, VOCABULARY, 1)
        objective = Objective(model, LossOptions(), False, checkpointing=checkpointing)
        objective.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            sizes.append(kept_bytes(objective, rows))
    measured_size = (sizes[1] - sizes[0]) / 3
    expected = [
        activation_bytes(ModelOptions(n, 64, 2, 64), len(rows), half, checkpointing) for n in (1, 4)
    ]
    # under autocast, copies of the weights in 16 bits are kept too: they count as weights
    copies = 2 * 12 * SHAPE.width**2 if half and not checkpointing else 0
    assert (expected[1] - expected[0]) / 3 == pytest.approx(measured_size - copies, rel=0.25)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_optimizer_state_is_as_large_as_it_is(rows, name):
    model = new_model(SHAPE, VOCABULARY, 1)
    optimizers = new_optimizers(model, OptimizerOptions(name=name), fused=False)
    Objective(model, LossOptions(), compiled=False)(rows).backward()
    for optimizer in optimizers:
        optimizer.step()
    kept = sum(
        value.nbytes
        for optimizer in optimizers
        for state in optimizer.state.values()
        for value in state.values()
        if value.numel() > 1
    )
    overrides = ["model={layers: 3, width: 64, heads: 2, context: 64}", f"optimizer.name={name}"]
    recipe = load_recipe("cpu-9m", overrides)
    assert memory(recipe, VOCABULARY, 1, half=False).optimizer == kept


def test_sharding_and_checkpointing_make_the_large_model_fit():
    recipe = load_recipe("gpt2-xl")
    share = memory(recipe, 16_384, 8, half=True)
    whole = memory(load_recipe("gpt2-xl", ["run.parallel=ddp"]), 16_384, 8, half=True)
    kept = load_recipe("gpt2-xl", ["run.gradient_checkpointing=false"])
    assert share.total < whole.total / 2
    assert share.optimizer == whole.optimizer / 8
    assert memory(kept, 16_384, 8, half=True).activations > 5 * share.activations


def test_hours_and_money_follow_from_devices_and_price():
    recipe = load_recipe("small-47m")
    device = named_device("h100", "auto")
    plan = Plan(recipe, 16_384, True, device, 1, 0.30, 2.0)
    assert plan.hours == pytest.approx(20 / 60, rel=0.15)  # what the recipe was made for
    eight = Plan(recipe, 16_384, True, device, 8, 0.30, 2.0)
    assert eight.hours == pytest.approx(plan.hours / 8)
    cost = [line for line in eight.lines() if line.startswith("cost")]
    assert f"{plan.hours * 2:.2f} =" in cost[0]


def test_gpus_are_found_by_their_drivers_names():
    assert named_device("NVIDIA H100 80GB HBM3", "auto").peak == 989e12
    assert named_device("NVIDIA A100-SXM4-40GB", "bf16").memory == 40e9
    assert named_device("Tesla T4", "auto").precision == "fp32"
    assert named_device("Tesla T4", "fp16").peak == 65e12
    assert named_device("NVIDIA L40S", "auto").peak != named_device("NVIDIA L4", "auto").peak
    with pytest.raises(ValueError, match="no figures for a GPU named potato; known: B200"):
        named_device("potato", "auto")
    assert all(named_device(gpu.name, "auto").memory == gpu.memory for gpu in GPUS)


def test_a_processor_is_measured():
    assert measured(torch.float32, size=128, seconds=0.001) > 1e6
    assert this_processor("fp32").precision == "fp32"


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_recipe_can_be_planned_without_its_corpus(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ["--dry-run", "--device", "H100", "--gpus", "8", "--price", "2.5"]
    assert main(["train", name, *options]) == 0
    output = capsys.readouterr().out
    for word in ("parameters", "tokens", "FLOPs", "activations", "logits", "time", "cost"):
        assert re.search(rf"\b{word}\b", output), word
    assert "no corpus in corpora/" in output
    assert "16,384 assumed" in output
    assert "MFU 35% assumed" in output
    assert not list(tmp_path.iterdir())


def test_what_would_go_wrong_is_said(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "gpt2-xl", "--dry-run", "--device", "t4", "--gpus", "3"]) == 0
    output = capsys.readouterr().out
    assert "64 streams cannot be shared by 3 processes" in output
    assert "it will hardly fit: set optimizer.micro_rows=8" in output
    assert main(["train", "gpt2", "--dry-run", "--device", "potato"]) == 1
    assert "no figures for a GPU" in capsys.readouterr().err
    assert main(["train", "cpu-9m", "--dry-run", "--device", "cpu"]) == 0
    assert "(measured now)" in capsys.readouterr().out


def test_the_vocabulary_is_the_tokenizers_where_there_is_one(recipe_file):
    assert vocabulary_of(load_recipe(str(recipe_file))) == (600, True)
    assert vocabulary_of(load_recipe("gpt2", ["data.tokenizer=/nowhere"])) == (16_384, False)


def test_it_says_how_often_the_corpus_is_read(recipe_file, tmp_path, capsys):
    recipe = load_recipe(str(recipe_file))
    manifest = tmp_path / "corpus.json"
    words = ["train", str(recipe_file), "--dry-run", "--device", "H100"]
    words += ["--set", f"data.corpus={tmp_path}"]
    rows = recipe.data.streams * recipe.optimizer.rows_per_stream
    for times, warned in ((2.0, False), (40.0, True)):
        tokens = rows * recipe.model.context * recipe.schedule.steps / times
        manifest.write_text(json.dumps({"bytes": {"train": round(tokens * BYTES_PER_TOKEN)}}))
        assert main(words) == 0
        output = capsys.readouterr().out
        assert f"it is read {times} times" in output
        assert ("get more text" in output) == warned
    for broken in ("{", "[]", '{"bytes": {"train": "many"}}'):
        manifest.write_text(broken)
        assert main(words) == 0
        assert "is read" not in capsys.readouterr().out
