"""Several processes: the loss of one, whatever shares them out, and the launch itself.

Ranks are real processes that talk over gloo.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.support.forked_train import free_port
from transformers import AutoModelForCausalLM

from parrotlet_training.checkpoint import checkpoints, load_checkpoint
from parrotlet_training.processes import launch_command, shared

from .conftest import losses, scores

FULL = "loss.kind=full"  # a sampled softmax draws anew for each micro-batch


@pytest.fixture(scope="module")
def one(whole_run, tmp_path_factory, forked):
    """The run of one process, with the whole vocabulary."""
    recipe, _ = whole_run
    run = tmp_path_factory.mktemp("one") / "run"
    forked.train(recipe, run, FULL)
    return recipe, run


def same_run(run, reference):
    assert losses(run) == pytest.approx(losses(reference), abs=1e-5)
    assert scores(run)[-1] == pytest.approx(scores(reference)[-1], abs=1e-5)
    expected = AutoModelForCausalLM.from_pretrained(checkpoints(reference)[-1]).state_dict()
    found = AutoModelForCausalLM.from_pretrained(checkpoints(run)[-1]).state_dict()
    for name, weight in found.items():
        torch.testing.assert_close(weight, expected[name], atol=2e-4, rtol=0)


def test_two_ranks_are_as_one_with_twice_the_rows_and_go_on_as_one(one, tmp_path, forked):
    """Two processes, then one, then two: the order of the data stays the same."""
    recipe, reference = one
    run = tmp_path / "run"
    for steps, ranks in ((4, 2), (8, 1), (12, 2)):
        decay = f"schedule.decay={max(0, steps - 8)}"
        forked.train(recipe, run, FULL, f"schedule.steps={steps}", decay, ranks=ranks)
    assert losses(run) == pytest.approx(losses(reference), abs=1e-5)
    assert scores(run)[-1] == pytest.approx(scores(reference)[-1], abs=1e-5)
    for rank in (0, 1):
        assert (run / "logs" / f"rank-{rank}.log").is_file()


def test_sharded_ranks_are_as_one_and_one_goes_on_from_them(one, tmp_path, forked):
    """FSDP with AdamW and Muon, through a checkpoint of whole tensors in the middle."""
    recipe, reference = one
    run = tmp_path / "run"
    shards = [FULL, "run.parallel=fsdp", "schedule.steps=8", "schedule.decay=0"]
    forked.train(recipe, run, *shards, ranks=2, fsdp=True)
    model, state = load_checkpoint(checkpoints(run)[-1])
    assert {tuple(value.shape) for value in state.optimizers[1]["state"][0].values()} == {(32, 96)}
    assert model.lm_head.weight is model.transformer.wte.weight
    forked.train(recipe, run, FULL)
    same_run(run, reference)


def test_one_goes_on_as_sharded_ranks(one, tmp_path, forked):
    recipe, reference = one
    run = tmp_path / "run"
    forked.train(recipe, run, FULL, "schedule.steps=8", "schedule.decay=0")
    more = ["run.gradient_checkpointing=true", "run.parallel=fsdp"]
    forked.train(recipe, run, FULL, *more, ranks=2, fsdp=True)
    same_run(run, reference)


def test_sharding_over_processors_is_refused(one, tmp_path, forked):
    recipe, _ = one
    output = forked.fail(recipe, tmp_path / "run", "run.parallel=fsdp", ranks=2)
    assert "RecipeError: run.parallel: fsdp shards over GPUs; choose ddp" in output


def test_the_launch_of_two_processes_goes_on_with_a_run(one, tmp_path, forked):
    """`parrotlet train` becomes this command on two GPUs; here two processes of gloo stand in."""
    recipe, reference = one
    run = tmp_path / "run"
    forked.train(recipe, run, FULL, "schedule.steps=6", "schedule.decay=0")
    arguments = ["train", str(recipe), "--out", str(run), "--set", FULL]
    command = launch_command(arguments, 2, streams=2, environment={})
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("checkpoint:") == 1  # the others are quiet
    assert done.stderr.count("going on after step 6") == 1
    assert (run / "logs" / "rank-1.log").is_file()
    assert losses(run) == pytest.approx(losses(reference), abs=1e-5)


def test_two_machines_are_launched_as_one_run(one, tmp_path):
    """As the guide says, once on each machine; here both are this one."""
    recipe, reference = one
    run = tmp_path / "run"
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    command += ["--num_machines", "2", "--num_processes", "2", "--main_process_ip", "127.0.0.1"]
    command += ["--main_process_port", str(free_port()), "--mixed_precision", "no"]
    command += ["--dynamo_backend", "no"]
    words = ["--module", "parrotlet_server", "train", str(recipe), "--out", str(run), "--set", FULL]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    machines = [
        subprocess.Popen(
            [*command, "--machine_rank", str(rank), *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    outputs = [machine.communicate(timeout=280) for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], outputs
    assert [output.count("checkpoint:") for output, _ in outputs] == [1, 0]
    assert losses(run) == pytest.approx(losses(reference), abs=1e-5)


COUNTED = """
import sys
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

calls = 0
begin = DistributedDataParallel.__init__

def counted(self, *words, **named):
    def hook(state, bucket):
        global calls
        calls += 1
        return allreduce_hook(state, bucket)

    begin(self, *words, **named)
    self.register_comm_hook(None, hook)

DistributedDataParallel.__init__ = counted
from parrotlet_server.cli import main
code = main(sys.argv[1:])
print("gradients met", calls, "times")
sys.exit(code)
"""


def test_gradients_meet_once_a_step_however_many_passes_it_takes(one, tmp_path):
    recipe, reference = one
    run = tmp_path / "run"
    words = ["train", str(recipe), "--out", str(run), "--set", FULL]
    words += ["--set", "optimizer.micro_rows=1"]  # of two rows a rank
    places = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **places}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", COUNTED, *words],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    for rank in ranks:
        output, errors = rank.communicate(timeout=280)
        assert rank.returncode == 0, errors
        assert "gradients met 12 times" in output
    assert losses(run) == pytest.approx(losses(reference), abs=1e-5)


def test_one_device_or_a_launched_process_needs_no_launch():
    assert launch_command(["train", "gpt2"], 0, 32, {}) is None
    assert launch_command(["train", "gpt2"], 1, 32, {}) is None
    assert launch_command(["train", "gpt2"], 8, 32, {"RANK": "3"}) is None
    command = launch_command(["train", "gpt2", "--set", "run.seed=2"], 8, 32, {})
    assert command[command.index("--num_processes") + 1] == "8"
    assert command[-4:] == ["train", "gpt2", "--set", "run.seed=2"]


@given(st.integers(0, 64), st.integers(1, 128))
def test_as_many_devices_as_share_the_streams_evenly(devices, streams):
    count = shared(devices, streams)
    assert 1 <= count <= max(1, devices)
    assert streams % count == 0
    assert not any(streams % more == 0 for more in range(count + 1, min(devices, streams) + 1))
