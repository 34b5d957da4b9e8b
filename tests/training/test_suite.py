"""All measures in turn: what is there is not measured again, and the bundle's card tells it."""

from __future__ import annotations

import argparse
import inspect
import json
import shutil
import textwrap
from itertools import islice

import pytest
from tests.support.tiny_model import DOCUMENTS, tiny_bundle, tiny_checkpoint

from parrotlet_server.bundle import open_bundle
from parrotlet_server.bundle.card import CARD_FILE
from parrotlet_server.cli import main
from parrotlet_training.corpus.document import Document
from parrotlet_training.corpus.holdout import is_held_out
from parrotlet_training.corpus.manifest import MANIFEST, Manifest
from parrotlet_training.corpus.shards import ShardWriter
from parrotlet_training.evaluate.cursors import make
from parrotlet_training.evaluate.named import named_model
from parrotlet_training.evaluate.suite import steps


@pytest.fixture(scope="module")
def holdout(tmp_path_factory):
    """The files that the tiny model knows and one more, with cursors beside them."""
    corpus = tmp_path_factory.mktemp("holdout")
    held_out = list(islice(filter(is_held_out, map("someone/project-{}".format, range(1000))), 3))
    with ShardWriter(corpus, "holdout") as writer:
        files = {**DOCUMENTS, "textwrap.py": inspect.getsource(textwrap)}
        for at, (path, text) in enumerate(files.items()):
            writer.add(Document(text, path, held_out[at % 3], "c0ffee", "MIT", "git"))
    manifest = Manifest({}, shards=writer.shards)
    (corpus / MANIFEST).write_text(json.dumps(manifest.to_json()))
    make(corpus, corpus / "cursors.jsonl", 12)
    return corpus


@pytest.fixture
def task(tmp_path):
    """One gap, which the tiny model can fill or not."""
    file = tmp_path / "gaps.jsonl"
    gap = {
        "task_id": "SingleLine/0",
        "prompt": "def two():\n",
        "suffix": "",
        "canonical_solution": "    return 2\n",
        "test": "def check(f):\n    assert f() == 2\n",
        "entry_point": "two",
    }
    file.write_text(json.dumps(gap) + "\n")
    return file


def run(holdout, out, *words):
    options = ["--corpus", holdout, "--cursors", holdout / "cursors.jsonl", "--out", out]
    return main(["evaluate", "all", *map(str, [*options, *words])])


def test_it_measures_what_is_missing_and_writes_the_card(holdout, tmp_path, task, capfd):
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundle(), bundle)
    out = tmp_path / "results"
    assert run(holdout, out, "--model", bundle) == 0
    first = capfd.readouterr().out
    for name in ("bits per byte", "line start: exact match", "stops right", "keys spared"):
        assert f"| {name} |" in first
    assert "by heart" not in first
    assert CARD_FILE not in first
    assert (out / "evaluation.md").read_text() in first
    made = {file.name: file.stat().st_mtime_ns for file in out.glob("*.json")}
    assert set(made) == {"asked.json", "bits.json", "lines.json", "lines-alone.json", "typing.json"}

    words = ("--infilling", task, "--run-generated-code", "--card")
    assert run(holdout, out, "--model", bundle, *words) == 0
    again = capfd.readouterr().out
    assert "| infilling: greedy pass@1 |" in again
    for name in ("bits.json", "lines.json", "typing.json"):
        assert (out / name).stat().st_mtime_ns == made[name]
    measured = open_bundle(bundle).manifest.notes["evaluation"]["measured"]
    assert measured["line start: exact match"].endswith("12 lines")
    card = (bundle / CARD_FILE).read_text()
    assert "measured.keys spared" in card
    assert "## Examples" in card
    assert "def area_of_rectangle(" in card.partition("## Samples")[2]

    # what is not measured this time stays in the card
    assert run(holdout, out, "--model", bundle, "--card") == 0
    assert open_bundle(bundle).manifest.notes["evaluation"]["measured"] == measured

    # another model's results are no use
    asked = json.loads((out / "asked.json").read_text())
    asked["bits"]["weights_sha256"] = "0" * 64
    (out / "asked.json").write_text(json.dumps(asked))
    assert run(holdout, out, "--model", bundle) == 0
    assert "infilling" not in capfd.readouterr().out
    assert (out / "bits.json").stat().st_mtime_ns != made["bits.json"]
    assert (out / "lines.json").stat().st_mtime_ns == made["lines.json"]


def test_answers_are_kept_by_model_and_tasks(holdout, tmp_path, task):
    def kept(folder):
        options = argparse.Namespace(
            corpus=holdout,
            out=tmp_path,
            infilling=task,
            tasks=None,
            cursors=None,
            learnt=None,
            samples=1,
        )
        found = steps(options, named_model(str(folder)))
        (infilling,) = (step for step in found if step.name == "infilling")
        return infilling.words[infilling.words.index("--completions") + 1]

    first = kept(tiny_bundle())
    assert kept(tiny_bundle()) == first
    assert kept(tiny_checkpoint()) != first
    task.write_text(task.read_text().replace("return 2", "return 1 + 1"))
    assert kept(tiny_bundle()) != first


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--tasks", "x.jsonl"), "--run-generated-code"),
        (("--infilling", "x.jsonl", "--run-generated-code"), "x.jsonl is not there"),
        (("--model", str(tiny_checkpoint()), "--card"), "no bundle"),
        (("--model", "nowhere/at/all"), "no model"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(holdout, tmp_path, capfd, words, said):
    assert run(holdout, tmp_path / "results", *words) in (1, 2)
    err = capfd.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_a_measure_that_fails_ends_it(tmp_path, capfd):
    (tmp_path / "empty").mkdir()
    options = ["--corpus", tmp_path / "empty", "--out", tmp_path / "results"]
    assert main(["evaluate", "all", "--model", str(tiny_bundle()), *map(str, options)]) == 1
    err = capfd.readouterr().err
    assert "`parrotlet evaluate bits` failed" in err
    assert "Traceback" not in err
