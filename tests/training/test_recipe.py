"""Recipes: what they may say, and that the shipped ones say it."""

from __future__ import annotations

import pytest

from parrotlet_training.recipe import RecipeError, load_recipe, shipped_recipes


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_are_sound(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.model.context == 1024


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "no mapping"),
        ("name: x", "data is missing"),
        ("{name: x, data: {corpus: a, tokenizer: b}, modle: {}}", "unknown field modle"),
        ("{name: x, data: {corpus: a, tokenizer: b}, model: {layers: two}}", "model.layers is of"),
        ("{name: x, data: {corpus: a, tokenizer: b}, model: {width: 30}}", "no multiple of heads"),
        (
            "{name: x, data: {corpus: a, tokenizer: b}, optimizer: {name: sgd}}",
            "one of adamw, muon",
        ),
        ("{name: x, data: {corpus: a, tokenizer: b, fim: {rate: 2}}}", "share between 0 and 1"),
        ("{name: x, data: {corpus: a, tokenizer: b}, schedule: {steps: 5}}", "exceed steps"),
        ("a: [", "cannot read the recipe"),
        ("{name: x, data: {corpus: a, tokenizer: b}, run: {trackers: [mlflow]}}", "tensorboard"),
        ("{name: x, data: {corpus: a, tokenizer: b}, run: {parallel: tp}}", "one of ddp, fsdp"),
        ("{name: x, data: {corpus: a, tokenizer: b}, run: {spike_steps: -1}}", "not negative"),
    ],
)
def test_bad_recipes_are_refused_clearly(tmp_path, text, message):
    file = tmp_path / "r.yaml"
    file.write_text(text)
    with pytest.raises(RecipeError, match=message):
        load_recipe(str(file))


def test_unknown_recipe_names_the_known_ones():
    with pytest.raises(RecipeError, match="cpu-9m"):
        load_recipe("nonesuch")


def test_a_recipe_survives_its_own_values():
    import yaml

    from parrotlet_training.recipe import Recipe
    from parrotlet_training.typed_yaml import build

    recipe = load_recipe("cpu-9m", ["run.trackers=[tensorboard, wandb]"])
    assert build(Recipe, yaml.safe_load(yaml.safe_dump(recipe.to_dict()))) == recipe


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ("schedule.steps=9999", True),
        ("run.precision=fp32", True),
        ("run.parallel=fsdp", True),
        ("run.seed=2", False),
        ("model.layers=7", False),
        ("optimizer.rows_per_stream=2", False),
        ("optimizer.name=adamw", False),
    ],
)
def test_what_may_change_between_stops(change, same):
    assert load_recipe("cpu-9m", [change]).defines_same_run(load_recipe("cpu-9m")) is same
