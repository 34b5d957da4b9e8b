"""Training loops side by side: the peers are what they claim, the command measures them."""

from __future__ import annotations

import argparse
import itertools
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from torch import nn
from transformers import AutoTokenizer

from parrotlet_tokenizer import CodeTokenizer
from parrotlet_training.benchmarks import training
from parrotlet_training.benchmarks.arguments import add_training_arguments
from parrotlet_training.benchmarks.errors import BenchmarkError
from parrotlet_training.benchmarks.peers import codeparrot, comparison, process
from parrotlet_training.benchmarks.peers.codeparrot import ConstantLength
from parrotlet_training.benchmarks.peers.gpt2 import new_gpt2
from parrotlet_training.benchmarks.peers.nanogpt import GPT
from parrotlet_training.benchmarks.peers.plan import Plan, Shape
from parrotlet_training.corpus.shards import shard_files

CONTENDERS = ("parrotlet", "codeparrot", "codeparrot-today", "trainer", "nanogpt")
TOKENS = 2 * 32


@pytest.fixture
def plan(tmp_path, corpus, tokenizer_folder) -> Plan:
    return Plan(
        shape=Shape(2, 32, 2, 32, 600),
        rows=2,
        micro_rows=1,
        steps=4,
        device="cpu",
        precision="fp32",
        compile=False,
        loss="full",
        corpus=corpus,
        tokenizer=tokenizer_folder,
        rows_file=tmp_path / "rows.bin",
        folder=tmp_path,
    )


def test_nanogpts_model_computes_what_gpt2_does(plan):
    theirs = GPT(plan.shape, bias=True)
    gpt2 = new_gpt2(plan)
    for block in gpt2.transformer.h:
        block.mlp.act = nn.GELU()
    for weight in gpt2.parameters():
        nn.init.normal_(weight, std=0.3)
    own = {name.removeprefix("transformer."): w for name, w in gpt2.state_dict().items()}
    turned = ("c_attn.weight", "c_proj.weight", "c_fc.weight")  # Conv1D has them transposed
    theirs.load_state_dict({n: w.T if n.endswith(turned) else w for n, w in own.items()})
    rows = torch.randint(600, (3, 33))
    loss = theirs(rows[:, :-1].contiguous(), rows[:, 1:].contiguous())
    # transformers shifts by itself, so it sees the last token too
    logits = gpt2(rows[:, :-1]).logits
    expected = nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
    torch.testing.assert_close(loss, expected)


def test_codeparrots_model_is_configured_as_published(plan, monkeypatch):
    """GPT-2's dropout and the two changes of its attention, computed step by step."""
    seen = []
    monkeypatch.setattr(codeparrot, "train", lambda model, *_: seen.append(model))
    codeparrot.run(plan, None)
    configuration = seen[0].config
    assert configuration.attn_pdrop == configuration.resid_pdrop == configuration.embd_pdrop == 0.1
    assert configuration.reorder_and_upcast_attn
    assert configuration.scale_attn_by_inverse_layer_idx
    assert configuration._attn_implementation == "eager"
    own = new_gpt2(plan)
    assert [w.shape for w in seen[0].parameters()] == [w.shape for w in own.parameters()]


def test_without_biases_it_has_the_others_matrices(plan):
    theirs = {tuple(w.shape) for w in GPT(plan.shape).parameters() if w.ndim == 2}
    own = {tuple(w.shape) for w in new_gpt2(plan).parameters() if w.ndim == 2}
    assert {tuple(sorted(s)) for s in theirs} == {tuple(sorted(s)) for s in own}
    assert all("bias" not in name for name, _ in GPT(plan.shape).named_parameters())


@given(rows=some.integers(1, 5))
def test_codeparrots_rows_lose_only_the_end_of_each_buffer(tokenizer_folder, rows):
    texts = ["def f(x):\n    return x\n", "import os\n", "class A:\n    b = 1\n" * 9]
    source = [{"content": text} for text in texts]
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    found = list(itertools.islice(ConstantLength(tokenizer, source, 8, rows), 12))
    assert all(row.shape == (8,) and row.dtype == torch.int64 for row in found)
    core = CodeTokenizer.load(tokenizer_folder)
    endless = itertools.cycle(texts)
    expected: list[list[int]] = []
    while len(expected) < 12:
        buffer: list[int] = []
        held = 0
        while held < int(8 * 3.6 * rows):
            text = next(endless)
            held += len(text)
            buffer += [*core.encode(text), 0]
        expected += [buffer[i : i + 8] for i in range(0, len(buffer) - 7, 8)]
    assert [row.tolist() for row in found] == expected[:12]


def slices(*seconds: float) -> list[process.Slice]:
    return [process.Slice(2, one, 2 * one, 1, None) for one in seconds]


@given(some.lists(some.floats(0.01, 100), min_size=1, max_size=7), some.floats(0.1, 10))
def test_ratios_are_those_of_each_round_whatever_slows_it(noise, ratio):
    kind = comparison.CONTENDERS[0]
    fast = comparison.Result(kind, slices(1)[0], slices(*noise))
    slow = comparison.Result(kind, slices(1)[0], slices(*(ratio * one for one in noise)))
    assert fast.times_as_fast_as(slow) == pytest.approx(ratio)
    assert slow.times_as_fast_as(fast, "processor_seconds") == pytest.approx(1 / ratio)
    assert fast.speeds(100)[0] == pytest.approx(200 / noise[0])


def bench(*words) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_training_arguments(parser)
    return parser.parse_args([str(word) for word in words])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "megatron"], "no contender 'megatron'"),
        (["--rows", "3", "--micro-rows", "2"], "3 rows are no multiple of 2"),
        (["--shape", "12*768"], "give LAYERSxWIDTH"),
        (["--shape", "2x100", "--steps", "0"], "at least 1"),
        (["--shape", "2x200"], "no multiple of its 3 heads"),
        (["--corpus", "nowhere"], "no training or no validation shards"),
        (["--recipe", "nothing"], "nothing"),
        (["--tokenizer", "nowhere", "--shape", "1x8", "--context", "8"], "nowhere"),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(words, message, capsys, tmp_path):
    file = tmp_path / "out.json"
    if "--tokenizer" not in words:
        words = [*words, "--context", "8"]
    assert training.main(bench(*words, "--json", file)) == 1
    assert message in capsys.readouterr().err
    assert not file.exists()


def test_a_loop_that_ends_tells_its_last_words(plan):
    lost = replace(plan, tokenizer=Path("nowhere"), folder=plan.folder / "parrotlet")
    with (
        process.Worker("parrotlet", lost, 1) as worker,
        pytest.raises(BenchmarkError, match=r"parrotlet ended: .*nowhere"),
    ):
        worker.run(1)


def test_the_standard_library_is_a_corpus(tmp_path):
    corpus = training.standard_corpus(tmp_path / "corpus", 300_000)
    texts = {
        split: parquet.read_table(shard_files(corpus, split)[0])["content"].to_pylist()
        for split in ("train", "validation")
    }
    assert sum(map(len, texts["train"])) >= 300_000
    assert not set(texts["train"]) & set(texts["validation"])


@pytest.fixture(scope="module")
def measured(tmp_path_factory, corpus, tokenizer_folder):
    """The real command, each loop in its own process."""
    folder = tmp_path_factory.mktemp("bench")
    command = [sys.executable, "-m", "parrotlet_server", "bench", "train", "--threads", "1"]
    command += ["--shape", "2x32", "--context", "32", "--rows", "2", "--micro-rows", "1"]
    command += ["--corpus", str(corpus), "--tokenizer", str(tokenizer_folder)]
    command += ["--rounds", "2", "--steps", "30", "--warmup", "2", "--only", *CONTENDERS]
    command += ["--json", str(folder / "out.json"), "--markdown", str(folder / "out.md")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "out.json").read_text()), (folder / "out.md").read_text(), done


def test_all_loops_take_the_steps_that_they_are_let_go_for(measured):
    values, _, _ = measured
    assert [result["name"] for result in values["results"]] == list(CONTENDERS)
    for result in values["results"]:
        assert [turn["steps"] for turn in result["rounds"]] == [30, 30]
        speeds = [30 * TOKENS / turn["seconds"] for turn in result["rounds"]]
        assert result["tokens_per_second"] == pytest.approx(sum(speeds) / 2)
        assert result["memory"] > 50 << 20
        expected = result["tokens_per_second"] * values["flops_per_token"] / values["peak_flops"]
        assert result["mfu"] == pytest.approx(expected)


def test_all_begin_where_a_fresh_model_is_and_learn(measured):
    values, _, _ = measured
    for result in values["results"]:
        first, last = result["warmup"]["loss"], result["loss"]
        assert first == pytest.approx(math.log(600), abs=0.3), result["name"]
        assert last < first - 0.05, result["name"]


def test_the_table_holds_ours_against_each_peer(measured):
    values, table, done = measured
    by_name = {result["name"]: result for result in values["results"]}
    for peer in ("codeparrot", "nanogpt"):
        assert by_name[peer]["times"][peer]["seconds"] == 1
        ours = by_name["parrotlet"]["times"][peer]["seconds"]
        turns = zip(by_name["parrotlet"]["rounds"], by_name[peer]["rounds"], strict=True)
        ratios = sorted(theirs["seconds"] / own["seconds"] for own, theirs in turns)
        assert ratios[0] <= ours <= ratios[-1]
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(CONTENDERS)
    assert "Parrotlet:" in done.stdout
    assert "GFLOPS" in done.stdout
