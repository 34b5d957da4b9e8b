"""A law of sizes and texts: found again where it holds, and fitted to real little models."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parrotlet_server.cli import main
from parrotlet_training.benchmarks.errors import BenchmarkError
from parrotlet_training.benchmarks.scaling import (
    Law,
    Plan,
    Score,
    fit,
    left_out,
    measure,
    report,
)

LAW = Law(0.4, 60.0, 0.35, 120.0, 0.30)


def scores(law, sizes=(1e6, 3e6, 1e7), budgets=(1e6, 4e6, 2e7)):
    return [
        Score(f"{size:g}", int(size), int(tokens), law(size, tokens))
        for size in sizes
        for tokens in budgets
    ]


@pytest.mark.parametrize("law", [LAW, Law(0.6, 30.0, 0.28, 300.0, 0.36)])
def test_a_law_is_found_again_and_tells_what_was_not_seen(law):
    found = fit(scores(law))
    for size, tokens in ((1e6, 2e7), (5e6, 5e6), (4.7e7, 4e8)):
        assert found(size, tokens) == pytest.approx(law(size, tokens), rel=1e-3)
    assert (found.alpha, found.beta) == pytest.approx((law.alpha, law.beta), abs=0.01)
    assert found.best(1e19) == pytest.approx(law.best(1e19), rel=0.1)


def test_where_size_does_not_help_there_is_a_law_all_the_same():
    """Larger shapes may be worse at small budgets."""
    worse = [
        Score(f"{size:g}", int(size), int(tokens), 1 + 0.02 * size / 1e6 + 1e4 / tokens**0.7)
        for size in (1e6, 3e6, 1e7)
        for tokens in (1e6, 4e6, 2e7)
    ]
    assert len(report(worse, 1e17)) > 10


def test_one_bad_score_does_not_carry_the_law_away():
    good = scores(LAW)
    bad = [*good[:4], Score("bad", good[4].parameters, good[4].tokens, 9.0), *good[5:]]
    assert fit(bad)(4.7e7, 4e8) == pytest.approx(LAW(4.7e7, 4e8), rel=0.1)
    assert len(left_out(good)) == len(good)


@given(st.floats(1e15, 1e21), st.floats(0.3, 3))
@settings(max_examples=50)
def test_no_other_split_of_a_budget_is_better(flops, factor):
    parameters, tokens = LAW.best(flops)
    assert 6 * parameters * tokens == pytest.approx(flops)
    other = parameters * factor
    assert LAW(parameters, tokens) <= LAW(other, flops / 6 / other) + 1e-9


@pytest.mark.parametrize(
    "given_scores",
    [
        scores(LAW)[:7],
        scores(LAW, sizes=(1e6, 3e6), budgets=range(10**6, 10**7, 10**6)),
        scores(LAW, sizes=range(10**6, 10**7, 10**6), budgets=(1e6, 4e6)),
    ],
)
def test_too_few_scores_are_no_law(given_scores):
    with pytest.raises(BenchmarkError, match="a law takes"):
        fit(given_scores)


def test_the_report_tells_what_more_would_buy():
    lines = report(scores(LAW), 1e16)
    rows = [line.split("|") for line in lines if line.startswith("|") and " x" in line]
    bits = [float(row[5]) for row in rows]
    # the largest run took 6 x 1e7 x 2e7 operations
    assert [row[2].split()[0] for row in rows] == ["8.3", "83", "8.3e+02"]
    assert [row[2].count("*") for row in rows] == [0, 0, 1]
    assert bits == sorted(bits, reverse=True)
    assert bits[0] == pytest.approx(LAW(*LAW.best(1e16)), abs=0.002)
    # as much without a score, where that leaves enough; of this size there is only one
    assert left_out([*scores(LAW)[:7], scores(LAW)[8]]) == []


def test_real_models_are_trained_and_scored_once(corpus, held_out, tokenizer_folder, tmp_path):
    out, said = tmp_path / "out", []
    plan = Plan(corpus, held_out, tokenizer_folder, out, ["1x64"], [60_000, 20_000], 20_000)
    less, more = measure(plan, said.append)
    assert said == ["1x64, 20,480 tokens", "1x64, 61,440 tokens"]
    assert (less.shape, less.tokens, more.tokens) == ("1x64", 5 * 4096, 15 * 4096)
    assert less.parameters == more.parameters
    assert more.bits_per_byte < less.bits_per_byte
    assert not list((out / "runs").glob("*-*"))
    assert measure(plan, said.append) == [less, more]
    assert len(said) == 2
    # a smaller budget later: the run at the constant rate is beyond where it would branch
    plan = replace(plan, budgets=[40_000])
    added = measure(plan, said.append)[-1]
    assert added.tokens == 10 * 4096
    assert more.bits_per_byte < added.bits_per_byte < less.bits_per_byte
    with pytest.raises(BenchmarkError, match="another held_out_bytes"):
        measure(replace(plan, held_out_bytes=10_000))


def test_the_command_fits_what_is_there(corpus, held_out, tokenizer_folder, tmp_path, capsys):
    """Scores of an earlier call among them, but none below `--fit-from`."""
    budgets = [4096 * steps for steps in (250, 1000, 4000)]
    found = [Score("1x64", 1_000_000, 4096 * 10, 9.0)]
    found += [
        Score(shape, size, tokens, LAW(size, tokens))
        for shape, size in (("1x64", 1_000_000), ("2x128", 3_000_000), ("3x192", 7_000_000))
        for tokens in budgets
    ]
    made_with = {
        "corpus": digest(corpus / "corpus.json"),
        "held_out": digest(held_out / "corpus.json"),
        "held_out_bytes": 1_000_000,
        "tokenizer": digest(tokenizer_folder / "tokenizer.json"),
    }
    content = {"made_with": made_with, "scores": [asdict(one) for one in found]}
    (tmp_path / "results.json").write_text(json.dumps(content))
    words = ["bench", "scaling", corpus, held_out, "--tokenizer", tokenizer_folder]
    words += ["--out", tmp_path, "--shapes", "1x64", "2x128", "3x192", "--tokens", *budgets]
    words += ["--fit-from", budgets[0]]
    assert main(list(map(str, words))) == 0
    output = capsys.readouterr().out
    law = fit(found[1:])
    assert f"bits = {law.floor:.3f} + " in output
    assert "| 1e+19 |" in output
    assert "40,960" not in output


def digest(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


@pytest.mark.parametrize(
    "wrong", [["--shapes", "2x128", "4x"], ["--flops", "0"], ["--tokens", "0"]]
)
def test_wrong_arguments_are_refused_before_anything_is_trained(wrong, tmp_path, capsys):
    words = ["bench", "scaling", tmp_path, tmp_path, "--tokenizer", tmp_path, "--out", tmp_path]
    try:
        code = main(list(map(str, [*words, *wrong])))
    except SystemExit as error:
        code = error.code
    assert code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_what_fails_is_said_in_one_line(corpus, held_out, tmp_path, capsys):
    words = ["bench", "scaling", corpus, held_out, "--tokenizer", tmp_path / "none"]
    words += ["--out", tmp_path / "out", "--shapes", "1x64", "--tokens", 20_000]
    assert main(list(map(str, words))) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "tokenizer" in err
