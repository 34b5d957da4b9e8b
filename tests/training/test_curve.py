"""Learning curves: what a run wrote, as a picture."""

from __future__ import annotations

import json
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as some

from parrotlet_training.curve import CurveError, draw, read_curve, smoothed


def metrics(run, steps=20, every=5):
    run.mkdir()
    lines = []
    for step in range(1, steps + 1):
        lines.append({"step": step, "tokens": 1000 * step, "loss": 5 - 0.1 * step})
        if step % every == 0:
            lines.append({"step": step, "tokens": 1000 * step, "bits_per_byte": 2 - 0.01 * step})
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


@given(some.lists(some.floats(-100, 100), min_size=1, max_size=50), some.floats(0.01, 1))
def test_a_mean_stays_between_the_values_and_begins_with_the_first(values, weight):
    means = smoothed(values, weight)
    assert len(means) == len(values)
    assert means[0] == pytest.approx(values[0])
    assert all(min(values) - 1e-6 <= mean <= max(values) + 1e-6 for mean in means)


def test_the_command_draws_several_runs_into_one_picture(tmp_path):
    runs = [metrics(tmp_path / "one"), metrics(tmp_path / "two", 40)]
    out = tmp_path / "pictures" / "curve.svg"
    command = [sys.executable, "-m", "parrotlet_server", "curve", *map(str, runs)]
    done = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    texts = {element.text for element in ElementTree.parse(out).iter() if element.text}
    assert {"one", "two", "validation, bits per byte", "1.800", "1.600"} <= texts
    assert [file.name for file in out.parent.iterdir()] == ["curve.svg"]


def test_the_same_run_gives_the_same_bytes_and_other_formats(tmp_path):
    curve = read_curve(metrics(tmp_path / "run"))
    for name in ("a.svg", "b.svg", "c.png"):
        draw([curve], tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("content", [None, "", '{"step": 1, "bits_per_byte": 1, "tokens": 1}', "{"])
def test_what_is_no_run_is_told_in_one_line(tmp_path, content, capsys):
    if content is not None:
        (tmp_path / "metrics.jsonl").write_text(content)
    with pytest.raises(CurveError, match=r"metrics\.jsonl"):
        read_curve(tmp_path)


def test_a_name_without_a_format_is_refused(tmp_path):
    with pytest.raises(CurveError, match="must end in one of"):
        draw([read_curve(metrics(tmp_path / "run"))], tmp_path / "curve.txt")
