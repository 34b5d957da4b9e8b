"""Going on: after a kill at any moment, a signal, damage, on another number of processes."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from parrotlet_training.checkpoint import (
    checkpoint_folder,
    checkpoints,
    damage,
    newest_checkpoint,
    prune,
    write_whole,
)
from parrotlet_training.metrics import Metrics

from .conftest import losses, scores


def weights(run):
    return load_file(checkpoints(run)[-1] / "model.safetensors")


def same_weights(run, reference):
    expected = weights(reference)
    found = weights(run)
    return found.keys() == expected.keys() and all(
        torch.equal(found[name], expected[name]) for name in expected
    )


def lines_of(run: Path) -> int:
    file = run / "metrics.jsonl"
    return file.read_text().count("\n") if file.is_file() else 0


def writing(run: Path) -> bool:
    """Whether a checkpoint is half-written at this moment."""
    folder = run / "checkpoints"
    return folder.is_dir() and any(path.name.endswith(".tmp") for path in folder.iterdir())


def test_killed_at_any_moment_it_goes_on_to_the_bit(whole_run, tmp_path, forked):
    """Twice at steps drawn at random, three times while a checkpoint is written."""
    recipe, reference = whole_run
    run = tmp_path / "run"
    draw = random.Random(2026)
    moments = ["writing", "step", "writing", "step", "writing"]
    killed_writing = 0
    for moment in moments:
        training = forked.start(recipe, run, "run.checkpoint_every=1", "run.keep=3")
        target = lines_of(run) + draw.randint(1, 3)
        time.sleep(draw.random() * 0.02)
        while _alive(training.pids[0]):
            if writing(run) if moment == "writing" else lines_of(run) >= target:
                break
        os.kill(training.pids[0], signal.SIGKILL)
        killed_writing += writing(run)
        assert training.wait() == [-signal.SIGKILL], training.output.read_text()
    assert killed_writing  # the moment that matters most has come about
    forked.train(recipe, run)
    assert losses(run) == losses(reference)
    assert scores(run) == scores(reference)
    assert same_weights(run, reference)
    assert not writing(run)  # what was left half-written is gone


def _alive(pid: int) -> bool:
    """Whether a process still runs: one that is over and not yet asked for does not."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_signal_saves_and_the_same_command_goes_on(whole_run, tmp_path, forked):
    recipe, reference = whole_run
    run = tmp_path / "run"
    training = forked.start(recipe, run, "run.checkpoint_every=1000", "run.evaluate_every=1000")
    while lines_of(run) < 2 and _alive(training.pids[0]):
        time.sleep(0.001)
    os.kill(training.pids[0], signal.SIGTERM)
    assert training.wait() == [0], training.output.read_text()
    assert checkpoints(run)[-1].name < "step-00000012"
    assert "the same command goes on" in training.output.read_text()
    forked.train(recipe, run)
    assert losses(run) == losses(reference)


def test_damage_is_passed_over_moved_aside_and_in_the_end_removed(whole_run, tmp_path, forked):
    recipe, reference = whole_run
    run = tmp_path / "run"
    shutil.copytree(reference, run)
    newest = checkpoints(run)[-1]
    content = bytearray((newest / "model.safetensors").read_bytes())
    content[-5] ^= 1  # one bit: it still loads
    (newest / "model.safetensors").write_bytes(content)
    output = forked.train(recipe, run, "schedule.steps=12")
    assert "step-00000012 is damaged (model.safetensors has changed)" in output
    assert "going on after step 8" in output
    assert losses(run) == losses(reference)
    assert same_weights(run, reference)
    names = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert names == ["damaged-step-00000012", "step-00000008", "step-00000012"]
    forked.train(recipe, run, "schedule.steps=20")
    names = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert "damaged-step-00000012" not in names
    assert names[-1] == "step-00000020"


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "training_state" / "state.pt").write_bytes(b"PK"),
        lambda folder: (folder / "tokenizer.json").unlink(),
        lambda folder: (folder / "training_state" / "files.json").write_text("{"),
        lambda folder: (folder / "training_state" / "files.json").write_text("{}"),
        lambda folder: shutil.rmtree(folder / "training_state"),
    ],
)
def test_every_kind_of_damage_is_found(whole_run, tmp_path, harm):
    _, reference = whole_run
    run = tmp_path / "run"
    shutil.copytree(reference, run)
    older, newest = checkpoints(run)
    assert damage(newest) is None
    harm(newest)
    assert damage(newest)
    assert newest_checkpoint(run) == older
    assert checkpoints(run) == [older]


def test_a_checkpoint_without_sums_is_asked_whether_it_loads(whole_run, tmp_path):
    """Those of earlier versions have none, and state that is not known any more."""
    _, reference = whole_run
    folder = tmp_path / "run" / "checkpoints" / "step-00000012"
    shutil.copytree(checkpoints(reference)[-1], folder)
    (folder / "training_state" / "files.json").unlink()
    state = folder / "training_state" / "state.pt"
    torch.save({**torch.load(state, weights_only=True), "random": torch.zeros(3)}, state)
    assert newest_checkpoint(tmp_path / "run") == folder
    (folder / "model.safetensors").write_bytes(b"no weights")
    assert newest_checkpoint(tmp_path / "run") is None


def test_the_best_checkpoint_outlives_the_others(tmp_path):
    for step in (1, 2, 3, 4):
        checkpoint_folder(tmp_path, step).mkdir(parents=True)
    for name in (".step-00000002.tmp", "damaged-step-00000003", "damaged-step-00000009"):
        (tmp_path / "checkpoints" / name).mkdir()
    prune(tmp_path, 2, {checkpoint_folder(tmp_path, 1)})
    left = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    whole = [f"step-0000000{step}" for step in (1, 3, 4)]
    assert left == ["damaged-step-00000009", *whole]


def test_metrics_go_on_where_the_checkpoint_is(tmp_path):
    metrics = Metrics(tmp_path, 0, active=True)
    for step in (1, 2, 3):
        metrics.write(step=step, loss=4.0 / step, seconds=10.0 * step)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')  # killed in the middle of a line
    again = Metrics(tmp_path, 2, active=True)
    assert again.losses() == [4.0, 2.0]
    assert again.seconds == 20.0
    again.write(step=3, loss=float("inf"))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert "loss" not in lines[-1]  # JSON has no word for it


def test_a_file_is_replaced_whole(tmp_path):
    file = tmp_path / "recipe.yaml"
    write_whole(file, "one")
    write_whole(file, "two")
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]
    assert file.read_text() == "two"
