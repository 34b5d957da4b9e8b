"""`parrotlet sample`: a real model goes on from beginnings, greedily and by drawing."""

from __future__ import annotations

import io
import json
import sys

import pytest
from tests.support.tiny_model import SHAPES, tiny_bundle, tiny_checkpoint

from parrotlet_server.cli import main
from parrotlet_training.evaluate.samples import BEGINNINGS

START = SHAPES.index("    return side * side")
LIMIT = ["--max-tokens", "16"]


@pytest.fixture
def beginning(tmp_path):
    file = tmp_path / "shapes.py"
    file.write_text(SHAPES[:START])
    return file


def test_it_goes_on_to_the_end_of_the_block(beginning, capsys):
    assert main(["sample", str(beginning), "--model", str(tiny_bundle()), *LIMIT]) == 0
    shown = capsys.readouterr().out
    assert shown == f"# --- {beginning}\n{SHAPES[:START]}    return side * side\n"


def test_a_checkpoint_says_the_same_and_goes_on_where_it_is_asked_to(beginning, tmp_path, capsys):
    file = tmp_path / "samples.json"
    words = ["sample", str(beginning), "--model", str(tiny_checkpoint()), "--json", str(file)]
    assert main([*words, *LIMIT]) == 0
    assert capsys.readouterr().out.endswith("    return side * side\n")
    assert main([*words, "--whole", "--max-tokens", "24"]) == 0
    content = json.loads(file.read_text())
    [one] = content["samples"]
    assert SHAPES[START:].startswith(one["text"])
    assert "\ndef " in one["text"]
    assert len(content["model"]["weights_sha256"]) == 64


def test_draws_repeat_by_seed(tmp_path, capsys, monkeypatch):
    def drawn(seed):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"def ")))
        file = tmp_path / "samples.md"
        words = ["--temperature", "0", "5", "--samples", "3", "--seed", seed, *LIMIT]
        assert (
            main(["sample", "-", *words, "--model", str(tiny_bundle()), "--markdown", str(file)])
            == 0
        )
        return file.read_text(), capsys.readouterr().out

    page, shown = drawn("1")
    assert (page, shown) == drawn("1")
    assert shown != drawn("2")[1]
    titles = [line for line in shown.splitlines() if line.startswith("# ---")]
    names = ["", *(f", temperature 5, number {number}" for number in (1, 2, 3))]
    assert titles == [f"# --- standard input{name}" for name in names]
    assert page.count("⟦") == 4


def test_without_files_it_goes_on_from_the_chapters_beginnings(capsys):
    assert main(["sample", "--model", str(tiny_bundle()), "--max-tokens", "4"]) == 0
    shown = capsys.readouterr().out
    for name, text in BEGINNINGS.items():
        assert f"# --- {name}\n{text}" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["missing.py"], "cannot read missing.py: No such file"),
        (["latin.py"], "latin.py is no UTF-8 text"),
        (["--model", "nowhere"], "there is no model nowhere"),
        (["--max-tokens", "100000"], "give fewer with --max-tokens"),
    ],
)
def test_what_it_cannot_do_is_said_in_one_line(words, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "latin.py").write_bytes(b"# \xe9\n")
    model = [] if "--model" in words else ["--model", str(tiny_bundle())]
    assert main(["sample", *words, *model]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert said in line
