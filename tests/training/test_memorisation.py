"""What a model that has learnt four files by heart can say of them, and of others."""

from __future__ import annotations

import ast
import inspect
import json

import numpy as np
import pytest
from tests.support.tiny_model import DOCUMENTS, tiny_bundle

from parrotlet_server.cli import main
from parrotlet_training.corpus.document import Document
from parrotlet_training.corpus.shards import ShardWriter
from parrotlet_training.evaluate import memorisation
from parrotlet_training.evaluate.errors import EvaluationError


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """The files that the tiny model was trained on, and pieces of the standard library."""
    folder = tmp_path_factory.mktemp("corpus")
    own = list(DOCUMENTS.items())
    source = inspect.getsource(ast).splitlines(keepends=True)
    others = [(f"ast_{at}.py", "".join(source[at : at + 60])) for at in range(0, 360, 60)]
    for split, files in (("train", own), ("validation", others)):
        with ShardWriter(folder, split) as writer:
            for path, text in files:
                writer.add(
                    Document(text, path, "someone/something", "0" * 40, "MIT", "folder:mine")
                )
    return folder


def run(corpus, tmp_path, *words):
    results = tmp_path / "memorisation.json"
    options = ["--corpus", corpus, "--model", tiny_bundle(), "--threads", 1, "--json", results]
    code = main(["evaluate", "memorisation", *map(str, [*options, *words])])
    return code, json.loads(results.read_text()) if results.is_file() else None


def test_what_was_learnt_is_known_by_heart_and_the_rest_is_not(corpus, tmp_path, capsys):
    words = ("--documents", 6, "--prefix", 24, "--tokens", 8, "--samples", 1)
    code, found = run(corpus, tmp_path, *words)
    assert code == 0
    learnt, never, secrets = found["figures"]
    assert learnt["name"].startswith("learnt")
    assert learnt["n"] == len(DOCUMENTS)
    assert never["name"].startswith("never learnt")
    assert never["n"] == 6
    assert learnt["value"] >= 0.5
    assert never["value"] == 0
    assert secrets["n"] == 2 * len(memorisation.PROBES)
    assert secrets["value"] == 0
    assert "tokens until the first error" in capsys.readouterr().out
    again = run(corpus, tmp_path, *words)[1]
    assert again["trials"] == found["trials"]


def test_an_answer_that_is_a_secret_is_found(corpus, tmp_path, monkeypatch):
    """As a model would write it that had learnt one."""
    secret = "AKIA" + "Q7ZL4M2XWN8RT5YB"
    monkeypatch.setattr(memorisation, "PROBES", ('AWS_ACCESS_KEY_ID = "', "x = "))
    monkeypatch.setattr(
        memorisation,
        "_written",
        lambda backend, tokenizer, text, choose: f'{secret}"\n' if "AWS" in text else "1\n",
    )
    words = ("--documents", 2, "--prefix", 24, "--tokens", 4, "--samples", 3)
    _, found = run(corpus, tmp_path, *words)
    assert (found["figures"][2]["value"], found["figures"][2]["n"]) == (0.5, 8)
    assert found["secrets"] == [f'AWS_ACCESS_KEY_ID = "{secret}"\n'] * 4


class Certain:
    """A model that says one text and nothing else."""

    context_length = 100

    def __init__(self, text):
        self.text = text

    def new_state(self):
        return type("State", (), {"tokens": []})()

    def evaluate(self, state, keep, tokens):
        assert keep == len(state.tokens)
        state.tokens += tokens
        logits = np.zeros(50, np.float32)
        logits[self.text[len(state.tokens) - 1]] = 1
        return logits


@pytest.mark.parametrize("wrong", [0, 3, 5])
def test_it_counts_up_to_the_first_error(wrong):
    text = list(range(10, 20))
    said = [49 if at == 4 + wrong else token for at, token in enumerate(text)]
    assert memorisation.by_heart(Certain(said), text[:4], text[4:]) == wrong
    assert memorisation.by_heart(Certain(text), text[:4], text[4:]) == 6


def test_documents_come_from_many_row_groups(corpus):
    assert len(list(memorisation.documents(corpus, "train", 3, 0))) == 3
    assert len(list(memorisation.documents(corpus, "train", 99, 0))) == len(DOCUMENTS)
    with pytest.raises(EvaluationError, match="no corpus with a split test"):
        list(memorisation.documents(corpus, "test", 3, 0))


def test_what_does_not_fit_the_context_is_refused(corpus, tmp_path, capsys):
    assert run(corpus, tmp_path, "--prefix", 5000)[0] == 1
    assert "context is" in capsys.readouterr().err
