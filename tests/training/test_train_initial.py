"""What a run begins with: fresh weights, a checkpoint, a bundle, a model of the Hub."""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from tests.support.hub import Hub
from tests.support.upload_hub import TOKEN, UploadHub

from parrotlet_server.bundle import resolve
from parrotlet_server.bundle.export import export_checkpoint
from parrotlet_server.cli import main
from parrotlet_tokenizer import CodeTokenizer
from parrotlet_tokenizer.train import train_tokenizer
from parrotlet_training.evaluate.loading import ModelError
from parrotlet_training.initial import first_weights, given_model, initialise
from parrotlet_training.recipe import load_recipe

COMMIT = "a" * 40


def weights_of(model):
    return {name: weight for name, weight in model.state_dict().items() if name != "lm_head.weight"}


def test_init_writes_what_a_run_would_begin_with(recipe_file, tmp_path, capsys):
    folder = tmp_path / "models" / "fresh"
    assert main(["init", str(recipe_file), str(folder)]) == 0
    recipe = load_recipe(str(recipe_file))
    tokenizer = CodeTokenizer.load(folder)
    own, _ = first_weights(recipe, tokenizer, None)
    given, seen = first_weights(recipe, tokenizer, str(folder))
    assert seen == 0
    assert all(torch.equal(a, b) for a, b in zip(own.parameters(), given.parameters(), strict=True))
    assert [path.name for path in folder.parent.iterdir()] == ["fresh"]
    assert main(["init", str(recipe_file), str(folder)]) == 1
    assert "is there already" in capsys.readouterr().err


def test_init_with_a_bad_name_writes_nothing(recipe_file, tmp_path, capsys):
    folder = tmp_path / "fresh"
    assert main(["init", str(recipe_file), str(folder), "--push-to", "no name"]) == 1
    assert capsys.readouterr().err.startswith("parrotlet: ")
    assert not folder.exists()


def test_init_publishes_what_it_wrote(recipe_file, tmp_path):
    """In a process of its own: the Hub's address is read at import."""
    folder = tmp_path / "fresh"
    with UploadHub("model", "someone/model") as hub:
        command = [sys.executable, "-m", "parrotlet_server", "init", str(recipe_file), str(folder)]
        environment = {
            **os.environ,
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
        }
        done = subprocess.run(
            [*command, "--push-to", "someone/model", "--private"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert hub.private is True
        files = hub.branches["main"]
        assert files["model.safetensors"] == (folder / "model.safetensors").read_bytes()
        assert {"config.json", "tokenizer.json"} <= set(files)


def test_weights_come_from_a_checkpoint_a_bundle_or_the_hub(
    recipe_file, tmp_path, monkeypatch, capsys
):
    recipe = load_recipe(str(recipe_file))
    folder = tmp_path / "fresh"
    initialise(recipe, folder)
    facts = json.loads((folder / "parrotlet_run.json").read_text())
    facts["run"] |= {"tokens": 100, "tokens_before": 11}
    (folder / "parrotlet_run.json").write_text(json.dumps(facts))
    tokenizer = CodeTokenizer.load(folder)
    expected = load_file(folder / "model.safetensors")

    model, seen = first_weights(recipe, tokenizer, str(folder))
    assert seen == 111
    assert all(torch.equal(w, expected[n]) for n, w in weights_of(model).items())

    bundle = tmp_path / "bundle"
    export_checkpoint(folder, bundle)
    monkeypatch.setattr("parrotlet_training.initial.DEFAULT_MODEL", bundle)
    for name in (str(bundle), "default"):
        model, _ = first_weights(recipe, tokenizer, name)
        for key, weight in weights_of(model).items():  # 8 bits
            torch.testing.assert_close(weight, expected[key], atol=2e-3, rtol=0)

    with pytest.raises(ModelError, match="neither a checkpoint folder nor a bundle"):
        first_weights(recipe, tokenizer, str(tmp_path))
    other = load_recipe(str(recipe_file), ["model.layers=3"])
    with pytest.raises(ModelError, match="another shape than the recipe"):
        first_weights(other, tokenizer, str(folder))


PROGRAM = """
import sys
from parrotlet_training.evaluate.loading import ModelError
from parrotlet_training.initial import given_model
for name in sys.argv[1:]:
    try:
        with given_model(name) as (model, folder):
            print(model.config.n_embd)
    except ModelError as error:
        print(error)
"""


def test_a_model_of_the_hub_is_pinned(recipe_file, tmp_path):
    folder = tmp_path / "fresh"
    initialise(load_recipe(str(recipe_file)), folder)
    with Hub({"someone/model": (COMMIT, folder)}) as hub:
        environment = {
            **os.environ,
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
        }
        names = [f"someone/model@{COMMIT}", "someone/model@main"]
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *names],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    pinned, moving = done.stdout.splitlines()
    assert pinned == "32"
    assert f"pin it: someone/model@{COMMIT}" in moving


def test_the_bundled_model_is_there_by_name():
    assert resolve.DEFAULT_MODEL.is_dir()
    with given_model("default") as (model, folder):
        assert model.config.n_positions >= 512
        assert CodeTokenizer.load(folder).vocabulary_size == model.config.vocab_size


@pytest.fixture(scope="module")
def vocabularies(tmp_path_factory):
    """Two that share some entries; the new one has parts of foreign characters."""
    folder = tmp_path_factory.mktemp("vocabularies")
    # of these, the first two bytes are alike, the last is not
    japanese = f"# {''.join(map(chr, range(0x3041, 0x307F)))}\n" * 300
    train_tokenizer([inspect.getsource(argparse)], 400).save(folder / "old")
    train_tokenizer([inspect.getsource(ast), japanese], 420).save(folder / "new")
    return folder


class TestAnotherVocabulary:
    """Weights that were learnt with another vocabulary than the recipe's."""

    def begin(self, recipe_file, tokenizer, folder, *words):
        return main(
            ["init", str(recipe_file), str(folder), "--set", f"data.tokenizer={tokenizer}", *words]
        )

    def test_shared_entries_stay_and_others_are_the_mean_of_their_pieces(
        self, recipe_file, vocabularies, tmp_path, capsys
    ):
        old, new = vocabularies / "old", vocabularies / "new"
        assert self.begin(recipe_file, old, tmp_path / "first") == 0
        given = ("--from", str(tmp_path / "first"), "--set", "run.seed=7")
        assert self.begin(recipe_file, new, tmp_path / "second", *given) == 0
        output = capsys.readouterr().out
        before, after = (
            load_file(tmp_path / name / "model.safetensors") for name in ("first", "second")
        )
        name = next(name for name in before if name.endswith("wte.weight"))
        for other in before.keys() - {name}:
            assert torch.equal(before[other], after[other]), other
        one, two = CodeTokenizer.load(old), CodeTokenizer.load(new)
        where = {text: index for index, text in enumerate(one.token_bytes) if text}
        kept = pieces = parts = 0
        for index, text in enumerate(two.token_bytes):
            row = after[name][index]
            if not text:
                assert torch.equal(row, before[name][index])
            elif text in where:
                assert torch.equal(row, before[name][where[text]])
            else:
                try:
                    ids = one.encode(text.decode())
                    pieces += 1
                except UnicodeDecodeError:
                    ids = [where[bytes([byte])] for byte in text]
                    parts += 1
                assert b"".join(one.token_bytes[i] for i in ids) == text
                assert torch.allclose(row, before[name][ids].mean(dim=0))
                continue
            kept += 1
        assert pieces
        assert parts
        assert f"{kept:,} of {two.vocabulary_size:,} entries" in output
        assert CodeTokenizer.load(tmp_path / "second").json == two.json

    def test_what_was_seen_before_is_still_counted(self, recipe_file, vocabularies, tmp_path):
        old, new = vocabularies / "old", vocabularies / "new"
        assert self.begin(recipe_file, old, tmp_path / "first") == 0
        file = tmp_path / "first" / "parrotlet_run.json"
        facts = json.loads(file.read_text())
        facts["run"] |= {"tokens": 40, "tokens_before": 2}
        file.write_text(json.dumps(facts))
        given = ("--from", str(tmp_path / "first"))
        assert self.begin(recipe_file, new, tmp_path / "second", *given) == 0
        recipe = load_recipe(str(recipe_file), [f"data.tokenizer={new}"])
        _, seen = first_weights(recipe, CodeTokenizer.load(new), str(tmp_path / "second"))
        assert seen == 42

    @pytest.mark.parametrize("words", [("--set", "model.width=16"), ("--set", "model.heads=1")])
    def test_another_shape_is_refused(self, recipe_file, vocabularies, tmp_path, capsys, words):
        old, new = vocabularies / "old", vocabularies / "new"
        assert self.begin(recipe_file, old, tmp_path / "first") == 0
        given = ("--from", str(tmp_path / "first"))
        assert self.begin(recipe_file, new, tmp_path / "second", *given, *words) == 1
        assert "another shape" in capsys.readouterr().err
        assert not (tmp_path / "second").exists()

    def test_a_run_says_how_to_get_there(self, recipe_file, vocabularies, tmp_path):
        old, new = vocabularies / "old", vocabularies / "new"
        assert self.begin(recipe_file, old, tmp_path / "first") == 0
        recipe = load_recipe(str(recipe_file), [f"data.tokenizer={new}"])
        with pytest.raises(ModelError, match="parrotlet init RECIPE DIR --from MODEL"):
            first_weights(recipe, CodeTokenizer.load(new), str(tmp_path / "first"))
