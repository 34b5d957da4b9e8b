"""`parrotlet bench speculation`: its measurements on a model that knows its files by heart."""

from __future__ import annotations

import re

import pytest

from parrotlet_server.cli import main
from parrotlet_server.engine import Request
from parrotlet_training.benchmarks.speculation import PASSES, ROUNDS, Bench, Pair, report

from ..support.tiny_model import DOCUMENTS, tiny_bundle


@pytest.fixture(scope="module")
def bench():
    return Bench(str(tiny_bundle()), 1)


def requests():
    for path, text in DOCUMENTS.items():
        for at in range(30, len(text), 60):
            yield Request(text[:at], text[text.find("\n", at) :], path=path)


def test_it_compares_and_reports(bench):
    pairs = [bench.pair(request, bool(n % 2)) for n, request in enumerate(requests())]
    assert all(pair.same for pair in pairs)
    lines = "\n".join(report(pairs))
    assert f"same text with drafts: {len(pairs)} of {len(pairs)}" in lines
    assert float(re.search(r"tokens per pass: ([\d.]+)", lines)[1]) > 1
    assert all(pair.plain.drafted_tokens == 0 for pair in pairs)
    assert sum(pair.drafting.accepted_tokens for pair in pairs) > 0


def test_reading_at_once_or_in_pieces(bench):
    answers = [bench.read_at_once(request) for request in requests()]
    assert all(one == two for one, two in answers)


def test_a_difference_is_told(bench):
    one, two, *_ = [bench.fresh(request) for request in requests()]
    assert "same text with drafts: 1 of 2 (50.0 %)" in report([Pair(one, one), Pair(one, two)])


def test_passes_are_timed(bench):
    seconds = bench.passes(next(requests()))
    assert set(seconds) == set(PASSES)
    assert all(len(times) == ROUNDS and min(times) > 0 for times in seconds.values())


def test_bad_input_gives_one_line(tmp_path, capsys):
    assert main(["bench", "speculation", "--holdout", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("parrotlet: ")
    assert error.count("\n") == 1
    assert main(["bench", "speculation", "--cursors", "0"]) == 1
    assert "--cursors is 1 or more" in capsys.readouterr().err
