"""`parrotlet bench input`: both kinds of input beside the model, and what that means."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from parrotlet_server.cli import main
from parrotlet_training.benchmarks.input import Rate, verdict


def test_it_measures_and_judges(recipe_file):
    words = ["bench", "input", str(recipe_file), "--seconds", "0.3", "--steps", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "parrotlet_server", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    rates = dict(re.findall(r"^(\w+),? .*?([\d,]+) tokens/s", done.stdout, re.MULTILINE))
    assert set(rates) == {"streaming", "pretokenised", "model"}
    assert all(int(rate.replace(",", "")) > 0 for rate in rates.values())
    verdicts = done.stdout.split("\n\n")[1].splitlines()
    assert [line.split(":")[0] for line in verdicts] == ["streaming", "pretokenised"]
    assert all("times as fast as the model" in line for line in verdicts)


def test_the_verdict_follows_from_the_speeds():
    assert "not the bottleneck" in verdict("streaming", Rate(3000.0, 1e-6, 0.1), 1000.0)
    slow = verdict("streaming", Rate(900.0, 1e-6, 0.1), 1000.0)
    assert "the bottleneck: try `parrotlet pretokenize`" in slow
    assert slow.startswith("streaming: 0.9 times")
    assert "try" not in verdict("pretokenised", Rate(900.0, 1e-6, 0.1), 1000.0)


def test_bad_input_gives_one_line(recipe_file, tmp_path, capsys):
    assert main(["bench", "input", str(recipe_file), "--corpus", str(tmp_path / "nowhere")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("parrotlet: there is no corpus")
    assert error.count("\n") == 1
