"""The loop: what it learns, leaves behind, refuses, and says when it goes wrong."""

from __future__ import annotations

import inspect
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import yaml
from tests.support.upload_hub import TOKEN, UploadHub
from transformers import AutoModelForCausalLM, AutoTokenizer

from parrotlet_tokenizer import CodeTokenizer
from parrotlet_tokenizer.train import train_tokenizer
from parrotlet_training.checkpoint import checkpoints
from parrotlet_training.recipe import RecipeError, load_recipe
from parrotlet_training.run_folder import locked
from parrotlet_training.train import DivergedError, MemoryShortError, train

from .conftest import losses, scores


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """The matrices are too small to share, and threads that wait for each other burn the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def lines_of(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_learns_and_leaves_what_it_should(whole_run):
    _, run = whole_run
    curve = losses(run)
    assert len(curve) == 12
    assert curve[-1] < curve[0]
    lines = lines_of(run)
    evaluations = [line for line in lines if "bits_per_byte" in line]
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in evaluations] == [6, 12]
    assert evaluations[-1]["perplexity"] == pytest.approx(
        math.exp(evaluations[-1]["validation_loss"])
    )
    assert steps[-1]["tokens"] == 12 * 4 * 64
    assert [line["rate"] for line in steps[:3]] == [0.5, 1.0, 1.0]
    assert [line["learning_rate"] for line in steps[:2]] == [0.75e-3, 1.5e-3]
    assert steps[0]["muon_learning_rate"] == 2.5e-3
    assert all(a["seconds"] < b["seconds"] for a, b in pairwise(steps))
    assert all(line["tokens_per_second"] > 0 and line["mfu"] > 0 for line in steps)
    assert [p.name for p in checkpoints(run)] == ["step-00000008", "step-00000012"]
    facts = json.loads((checkpoints(run)[-1] / "parrotlet_run.json").read_text())
    assert facts["run"]["step"] == 12
    assert facts["evaluation"]["validation_bits_per_byte"] == evaluations[-1]["bits_per_byte"]
    assert facts["corpus"]["repositories"] > 1
    assert facts["run"]["best_quality"] == 4  # the corpus is rated, so serving asks for the best
    assert "bits per byte" in (run / "logs" / "rank-0.log").read_text()


def test_a_checkpoint_is_a_plain_hugging_face_folder(whole_run):
    _, run = whole_run
    folder = checkpoints(run)[-1]
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.config.bos_token_id == model.config.eos_token_id == tokenizer.eos_token_id == 0
    assert model.config.activation_function == "gelu_new"
    inputs = tokenizer("def f(x):\n", return_tensors="pt")
    output = model.generate(**inputs, max_new_tokens=3, do_sample=False, pad_token_id=0)
    assert output.shape[1] > inputs["input_ids"].shape[1]


def test_a_terminal_shows_how_far_it_is(recipe_file, tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    run = tmp_path / "run"
    train(load_recipe(str(recipe_file)), run)
    bars = [part for part in terminal.getvalue().split("\r") if "12/12" in part]
    whole = r"tiny: 100%\|.*12/12 \[\d\d:\d\d<00:00, .*loss=(\S+), tok_s=[\d,]+, MFU=\d+%\]"
    assert re.search(whole, bars[-1])[1] == f"{losses(run)[-1]:.3f}"


def test_it_is_a_function_that_may_be_called_again(recipe_file, tmp_path):
    """With other precisions in between; each checkpoint is told before older ones are removed."""
    told = []

    def saved(folder, step):
        told.append((step, folder.is_dir(), len(checkpoints(folder.parents[1]))))

    precisions = ("fp32", "bf16", "fp32")
    for number, precision in enumerate(precisions):
        overrides = [f"run.precision={precision}", "run.keep=1", "schedule.steps=6"]
        recipe = load_recipe(str(recipe_file), [*overrides, "schedule.decay=0"])
        train(recipe, tmp_path / str(number), saved=saved)
    assert told == [(4, True, 1), (6, True, 2)] * 3
    first, half, again = (losses(tmp_path / str(number)) for number in range(3))
    assert first == again
    assert first != half
    assert half == pytest.approx(first, abs=0.05)


def test_micro_batches_and_checkpointing_do_not_change_the_step(recipe_file, tmp_path):
    curves = []
    for number, change in enumerate(
        ["optimizer.micro_rows=4", "optimizer.micro_rows=3", "run.gradient_checkpointing=true"]
    ):
        run = tmp_path / str(number)
        usual = ["schedule.steps=8", "run.precision=fp32"]  # bf16 rounds after each product
        train(load_recipe(str(recipe_file), [*usual, change]), run)
        curves.append(losses(run))
    assert curves[1] == pytest.approx(curves[0], abs=1e-5)
    assert curves[2] == pytest.approx(curves[0], abs=1e-5)


def refused(recipe, run, *arguments):
    """The one line with which a run is refused."""
    command = [sys.executable, "-m", "parrotlet_server", "train", str(recipe), "--out", str(run)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_the_command_refuses_in_one_line(recipe_file, tmp_path, corpus):
    shutil.copytree(corpus, tmp_path / "corpus")
    for shard in (tmp_path / "corpus" / "data").glob("validation-*"):
        shard.unlink()
    run = tmp_path / "run"
    line = refused(recipe_file, run, "--set", f"data.corpus={tmp_path / 'corpus'}")
    assert line.startswith("parrotlet: ")
    assert "validation" in line
    assert not run.exists()


def test_a_changed_corpus_or_tokenizer_stops_the_resume(recipe_file, tmp_path, corpus):
    """Cursors and token ids would mean something else."""
    data, tokens = tmp_path / "corpus", tmp_path / "tokenizer"
    shutil.copytree(corpus, data)
    shutil.copytree(yaml.safe_load(recipe_file.read_text())["data"]["tokenizer"], tokens)
    places = [f"data.corpus={data}", f"data.tokenizer={tokens}"]
    recipe = load_recipe(str(recipe_file), [*places, "schedule.steps=4", "schedule.decay=0"])
    run = tmp_path / "run"
    train(recipe, run)
    train_tokenizer([inspect.getsource(inspect)], 600).save(tokens)
    with pytest.raises(RecipeError, match="tokenizer has changed"):
        train(recipe, run)
    CodeTokenizer.load(checkpoints(run)[-1]).save(tokens)
    manifest = json.loads((data / "corpus.json").read_text())
    (data / "corpus.json").write_text(json.dumps({**manifest, "documents": 1}))
    with pytest.raises(RecipeError, match="was built anew"):
        train(recipe, run)


def test_another_recipe_or_training_does_not_take_over_a_run(recipe_file, tmp_path):
    run = tmp_path / "run"
    few = ["schedule.steps=2", "schedule.warmup=0", "schedule.decay=0"]
    train(load_recipe(str(recipe_file), few), run)
    with pytest.raises(RecipeError, match="choose another --out"):
        train(load_recipe(str(recipe_file), ["model.layers=3"]), run)
    with locked(run), pytest.raises(RecipeError, match="another training writes to"):
        train(load_recipe(str(recipe_file)), run)
    with pytest.raises(RecipeError, match="fp16 is for GPUs"):
        train(load_recipe(str(recipe_file), ["run.precision=fp16"]), tmp_path / "other")


def test_a_run_can_begin_with_given_weights(whole_run, tmp_path):
    recipe, reference = whole_run
    run = tmp_path / "run"
    overrides = ["schedule.steps=1", "schedule.warmup=0", "schedule.decay=0"]
    train(load_recipe(str(recipe), overrides), run, str(checkpoints(reference)[-1]))
    assert losses(run)[0] < losses(reference)[3]
    facts = json.loads((checkpoints(run)[-1] / "parrotlet_run.json").read_text())
    assert facts["run"]["tokens_before"] == 12 * 4 * 64


def test_a_loss_that_is_no_number_stops_with_the_last_good_checkpoint(recipe_file, tmp_path):
    """Weights too large for float32 products; what is saved before is sound."""
    run = tmp_path / "run"
    good = train(load_recipe(str(recipe_file), ["schedule.steps=4", "schedule.decay=0"]), run)
    wild = ["schedule.steps=40", "schedule.decay=0", "optimizer.learning_rate=1e30"]
    with pytest.raises(DivergedError, match="lower the learning rate") as caught:
        train(load_recipe(str(recipe_file), [*wild, "run.spike_steps=0"]), run)
    last = Path(str(caught.value).rpartition("last good checkpoint is ")[2])
    assert last >= good
    model = AutoModelForCausalLM.from_pretrained(last)
    assert all(torch.isfinite(weight).all() for weight in model.parameters())
    assert "DivergedError" in (run / "logs" / "rank-0.log").read_text()


def test_a_loss_that_leaves_its_course_stops(recipe_file, tmp_path):
    """And no checkpoint is made while it is high."""
    run = tmp_path / "run"
    calm = ["schedule.decay=0", "run.evaluate_every=1000", "run.spike_steps=3"]
    good = train(load_recipe(str(recipe_file), [*calm, "schedule.steps=16"]), run)
    wild = [*calm, "schedule.steps=60", "optimizer.learning_rate=3", "run.checkpoint_every=1"]
    with pytest.raises(DivergedError, match="above its course since step") as caught:
        train(load_recipe(str(recipe_file), wild), run)
    last = Path(str(caught.value).rpartition("last good checkpoint is ")[2])
    assert last == checkpoints(run)[-1] >= good
    since = int(str(caught.value).partition("since step ")[2].split()[0])
    assert int(last.name.removeprefix("step-")) < since


def test_what_was_saved_in_a_spike_is_not_called_good(recipe_file, tmp_path):
    """A run ended in the midst of one; what goes on from there names the checkpoint before."""
    run = tmp_path / "run"
    calm = ["schedule.decay=0", "run.evaluate_every=1000", "run.spike_steps=4", "run.keep=1"]
    good = train(load_recipe(str(recipe_file), [*calm, "schedule.steps=20"]), run)
    wild = [*calm, "optimizer.learning_rate=3", "run.checkpoint_every=1000"]
    ended = train(load_recipe(str(recipe_file), [*wild, "schedule.steps=23"]), run)
    assert losses(run)[-1] > 2 * losses(run)[19]
    with pytest.raises(DivergedError, match="above its course since step") as caught:
        train(load_recipe(str(recipe_file), [*wild, "schedule.steps=60"]), run)
    assert Path(str(caught.value).rpartition("last good checkpoint is ")[2]) == good
    assert checkpoints(run) == [good, ended]


def test_short_memory_names_the_setting_to_lower(recipe_file, tmp_path):
    """A weight of 200 GB is more than the machine gives."""
    recipe = load_recipe(str(recipe_file), ["model.width=131072", "model.layers=1"])
    with pytest.raises(MemoryShortError, match=r"optimizer\.micro_rows=1"):
        train(recipe, tmp_path / "run")


def test_trackers_get_the_metrics_and_a_resumed_run_goes_on(recipe_file, tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = tmp_path / "run"
    trackers = ["run.trackers=[tensorboard, wandb]", "schedule.decay=0"]
    for steps in (4, 8):
        train(load_recipe(str(recipe_file), [*trackers, f"schedule.steps={steps}"]), run)
    events = EventAccumulator(str(run / "logs" / "tiny")).Reload()
    curve = {event.step: event.value for event in events.Scalars("train/loss")}
    assert list(curve) == list(range(1, 9))
    assert list(curve.values()) == pytest.approx(losses(run))
    assert [event.value for event in events.Scalars("validation/bits_per_byte")][-1] == (
        pytest.approx(scores(run)[-1])
    )
    offline = list((run / "logs" / "wandb").glob("offline-run-*"))
    assert len({folder.name.rpartition("-")[2] for folder in offline}) == 1  # one curve
    assert all(list(folder.glob("*.wandb")) for folder in offline)


def test_a_tracker_that_is_missing_is_said(recipe_file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(RecipeError, match="wandb is missing; pip install wandb"):
        train(load_recipe(str(recipe_file), ["run.trackers=[wandb]"]), tmp_path / "run")


def test_checkpoints_and_the_final_model_go_to_the_hub(recipe_file, tmp_path):
    """In a process of its own: the Hub's address is read at import."""
    with UploadHub("model", "someone/model") as hub:
        command = [sys.executable, "-m", "parrotlet_server", "train", str(recipe_file)]
        command += ["--out", str(tmp_path / "mine"), "--push-to", "someone/model", "--private"]
        command += ["--set", "schedule.steps=4", "--set", "schedule.decay=0"]
        environment = {
            **os.environ,
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
            "CUDA_VISIBLE_DEVICES": "",
        }
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "pushed to" in done.stdout, done.stdout + done.stderr
        assert hub.private is True
        last = checkpoints(tmp_path / "mine")[-1]
        for branch in ("main", "mine"):
            assert hub.branches[branch]["model.safetensors"] == (
                (last / "model.safetensors").read_bytes()
            )


def test_a_model_of_two_million_weights_learns_a_file_by_heart(tmp_path, recipe_file):
    """It then writes the whole file from its first three tokens on, and ends it.

    It fills half a row to the token, since rows that each begin elsewhere in it are more to learn.
    """
    from parrotlet_training.corpus.build import build_corpus
    from parrotlet_training.corpus.recipe import CorpusRecipe
    from parrotlet_training.corpus.sources import Folder

    text = inspect.getsource(textwrap.dedent)
    source = tmp_path / "one"
    source.mkdir()
    (source / "a.py").write_text(text)
    out = tmp_path / "corpus"
    build_corpus([Folder(source)], out, CorpusRecipe(validation_share=0.0), progress=False)
    (out / "data" / "validation-00000.parquet").write_bytes(
        (out / "data" / "train-00000.parquet").read_bytes()
    )
    tokenizer = CodeTokenizer.load(Path(load_recipe(str(recipe_file)).data.tokenizer))
    known = [*tokenizer.encode(text), 0]
    overrides = [
        f"data.corpus={out}",
        "data.streams=1",
        "data.fim={rate: 0.0, path_share: 0.0, quality_share: 0.0}",
        f"model={{layers: 4, width: 192, heads: 4, context: {2 * len(known)}}}",
        "optimizer={name: muon, learning_rate: 3.0e-3, muon_learning_rate: 5.0e-3}",
        "optimizer.rows_per_stream=1",
        "schedule={steps: 60, warmup: 5, decay: 40}",
        "run={checkpoint_every: 1000, evaluate_every: 1000}",
    ]
    last = train(load_recipe(str(recipe_file), overrides), tmp_path / "run")
    assert losses(tmp_path / "run")[-1] < 0.1
    model = AutoModelForCausalLM.from_pretrained(last)
    assert model.num_parameters() == pytest.approx(2e6, rel=0.1)
    assert CodeTokenizer.load(last).encode(text) == known[:-1]
    start = torch.tensor([known[:3]])
    done = model.generate(start, max_new_tokens=len(known), do_sample=False, pad_token_id=0)[0]
    assert done[: len(known)].tolist() == known
