"""Which vocabulary: real vocabularies, real training runs, at a toy size."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from parrotlet_tokenizer import TokenizerError
from parrotlet_training.benchmarks.errors import BenchmarkError
from parrotlet_training.benchmarks.trials import Shape
from parrotlet_training.benchmarks.vocabulary import (
    Candidate,
    Plan,
    compare,
    table,
)


@pytest.fixture(scope="module")
def plan(corpus, held_out, tmp_path_factory):
    return Plan(
        corpus,
        held_out,
        tmp_path_factory.mktemp("vocabularies"),
        tokens=5_000,
        shape=Shape(1, 64),
        target=Shape(2, 128),
        vocabulary_bytes=400_000,
        held_out_bytes=20_000,
    )


def test_flops_are_those_of_the_formula():
    # 2 blocks of 12·8² weights, 100·8 of the head, attention 12·2·8·16
    assert Shape(2, 8).flops_per_token(100, 16) == 6 * (12 * 2 * 64 + 800) + 12 * 2 * 8 * 16


def test_a_larger_vocabulary_is_trained_on_fewer_tokens_for_the_same_compute(plan):
    steps = [plan.steps(entries) for entries in (8_192, 16_384, 32_768)]
    assert steps == sorted(steps, reverse=True)
    large = replace(plan, tokens=2_000_000)
    for entries in (8_192, 32_768):
        mine = large.steps(entries) * large.target.flops_per_token(entries, 1024)
        usual = large.steps(16_384) * large.target.flops_per_token(16_384, 1024)
        assert mine == pytest.approx(usual, rel=0.01)


def test_each_candidate_is_trained_and_scored_once(plan):
    candidates = [Candidate(600, "spaces"), Candidate(800, "signs")]
    said = []
    results = compare(plan, candidates, [1], said.append)
    assert [(r.entries, r.split) for r in results] == [(600, "spaces"), (800, "signs")]
    assert len(said) == 2
    for result in results:
        assert result.tokens == plan.steps(result.entries) * 8 * 512
        assert 0 < result.bits_per_byte < 8
        assert result.bytes_per_token > 1
    again = compare(plan, candidates, [1], said.append)
    assert again == results
    assert len(said) == 2  # nothing was done anew
    lines = table(results)
    assert len(lines) == 4
    assert "(+0.0 %)" in "".join(lines)


def test_what_cannot_be_trained_is_said_in_one_line(plan, tmp_path):
    with pytest.raises(TokenizerError, match="gives only"):
        compare(replace(plan, out=tmp_path / "a"), [Candidate(60_000, "spaces")], [1])
    (tmp_path / "bare" / "data").mkdir(parents=True)
    for shard in (plan.corpus / "data").glob("train-*"):
        (tmp_path / "bare" / "data" / shard.name).write_bytes(shard.read_bytes())
    bare = replace(plan, corpus=tmp_path / "bare", out=tmp_path / "b")
    with pytest.raises(BenchmarkError, match="validation"):
        compare(bare, [Candidate(600, "spaces")], [1])


@pytest.mark.parametrize("wrong", [["--shape", "12"], ["--candidates", "many:spaces"]])
def test_a_wrong_argument_is_refused(plan, tmp_path, wrong):
    command = [sys.executable, "-m", "parrotlet_server", "bench", "vocabulary"]
    command += [str(plan.corpus), str(plan.held_out), "--out", str(tmp_path / "o"), *wrong]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "ENTRIES:SPLIT" in done.stderr
    assert "Traceback" not in done.stderr
