"""The corpus recipe: what it takes, and what it says of what it does not take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from parrotlet_training.corpus.holdout import is_held_out
from parrotlet_training.corpus.licences import PERMISSIVE, is_permissive
from parrotlet_training.corpus.recipe import (
    CorpusRecipe,
    GitEntry,
    HubEntry,
    NearDedup,
    PypiEntry,
    RepositoryEntry,
    load_corpus_recipe,
    shipped_corpus_recipes,
)
from parrotlet_training.typed_yaml import RecipeError, build, plain

WHOLE = """
sources:
  - stdlib
  - {git: 'https://host/alice/kit.git', commit: abc, exclude: [a.py]}
  - {pypi: attrs==25.1.0}
  - {hub: owner/data, revision: abc, text: code, licence: ''}
repositories:
  - {repository: bob/tool, commit: abc, licence: MIT}
exclude_repositories: [Carol/Shy]
licences: [MIT]
filters: {long lines: {longest: 500, share: 0.5}, generated: false}
redact: false
decontaminate: [humaneval.jsonl]
near_dedup: {threshold: 0.8, against: [corpora/holdout]}
max_bytes_per_repository: 1000000
validation_share: 5e-2
"""


def load(tmp_path, text):
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    return load_corpus_recipe(str(file))


def test_a_whole_recipe(tmp_path):
    recipe = load(tmp_path, WHOLE)
    assert recipe.sources == (
        "stdlib",
        GitEntry("https://host/alice/kit.git", commit="abc", exclude=("a.py",)),
        PypiEntry("attrs==25.1.0"),
        HubEntry("owner/data", revision="abc", text="code", licence=""),
    )
    assert recipe.repositories == (RepositoryEntry("bob/tool", "abc", "MIT"),)
    assert recipe.filters == {"long lines": {"longest": 500, "share": 0.5}, "generated": False}
    assert recipe.near == NearDedup(0.8, ("corpora/holdout",))
    assert recipe.validation_share == 0.05
    assert recipe.excludes("carol/shy")
    assert not recipe.excludes("carol/other")


def test_plain_values_give_the_same_recipe_again(tmp_path):
    recipe = load(tmp_path, WHOLE)
    values = json.loads(json.dumps(recipe.to_dict()))
    assert build(CorpusRecipe, values) == recipe
    assert build(CorpusRecipe, yaml.safe_load(yaml.safe_dump(values))) == recipe


def test_an_empty_recipe_has_the_defaults():
    recipe = build(CorpusRecipe, {})
    assert set(recipe.licences) == PERMISSIVE
    assert recipe.near == NearDedup()
    assert build(CorpusRecipe, {"near_dedup": False}).near is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("source: []", "unknown field source; known here: sources, repositories"),
        ("sources: stdlib", "sources is a list, not 'stdlib'"),
        ("sources: [1]", r"sources\[0\] is str or a mapping of fields"),
        ("sources: [{svn: x}]", r"sources\[0\] names one of folder, git, .*; it has \['svn'\]"),
        ("sources: [{git: x, pypi: y==1}]", r"sources\[0\] names one of"),
        ("sources: [{git: x, comit: y}]", r"unknown field sources\[0\].comit; known here: git"),
        ("sources: [{git: 1}]", r"sources\[0\].git is of type str, not 1"),
        ("sources: [{git: x, exclude: a.py}]", r"sources\[0\].exclude is a list"),
        ("repositories: [{commit: x}]", r"the field repositories\[0\].repository is missing"),
        ("repositories: [{repository: x, commit: y}]", r"repositories\[0\]: repository is owner"),
        ("repositories: [{repository: a/b, commit: 123}]", r"commit is of type str, not 123"),
        ("exclude_repositories: [kit]", "'kit' is not owner/name"),
        ("filters: {long: 3}", "filters.long is bool or a mapping, not 3"),
        ("filters: {long: {longest: [1]}}", "filters.long.longest is bool or int or"),
        ("filters: {1: true}", "filters: the key 1 is no text; quote it"),
        ("near_dedup: {threshold: 2}", "near_dedup: threshold lies above 0"),
        ("near_dedup: 0.7", "near_dedup is bool or a mapping of fields, not 0.7"),
        ("redact: 1", "redact is of type bool, not 1"),
        ("min_bytes: 5\nmax_bytes: 4", "recipe: min_bytes is not negative"),
        ("validation_share: 1.0", "validation_share lies between 0 and 1"),
        ("validation_share: much", "validation_share is a number, not 'much'"),
        ("max_bytes_per_repository: 0", "max_bytes_per_repository is positive or null"),
        ("max_bytes_per_repository: 1.5", "max_bytes_per_repository is int or null, not 1.5"),
        ("licences: []", "licences names at least one"),
        ("- a", "is no mapping of fields"),
        ("a: [", "cannot read the recipe"),
    ],
)
def test_mistakes_are_named(tmp_path, text, words):
    with pytest.raises(RecipeError, match=words):
        load(tmp_path, text)


def test_no_such_recipe():
    with pytest.raises(RecipeError, match="no recipe absent: give a YAML file or one of corpus-"):
        load_corpus_recipe("absent")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["git", "pypi", "commit", "threshold", "x"]), inner)
    ),
    max_leaves=6,
)
FIELDS = st.sampled_from([*CorpusRecipe.__dataclass_fields__, "other"])


@given(st.dictionaries(FIELDS, JSON, max_size=4))
def test_any_values_are_read_or_refused(values):
    try:
        recipe = build(CorpusRecipe, values)
    except RecipeError:
        return
    assert build(CorpusRecipe, plain(recipe)) == recipe


@pytest.mark.parametrize("name", shipped_corpus_recipes())
def test_shipped_recipes_keep_the_rules(name):
    recipe = load_corpus_recipe(name)
    assert len(recipe.repositories) > 5
    for entry in recipe.repositories:
        assert is_held_out(entry.repository) == (name == "corpus-holdout")
        assert is_permissive(entry.licence, recipe.licences)
        assert len(entry.commit) == 40


def test_a_file_goes_before_a_shipped_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("corpus-default").write_text("min_bytes: 7\n")
    assert load_corpus_recipe("corpus-default").min_bytes == 7
