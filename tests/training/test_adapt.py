"""Adapting a model to one's own code: which text, for how long, and the whole of it once."""

from __future__ import annotations

import argparse
import ast
import difflib
import dis
import hashlib
import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import textwrap
import time
import tokenize
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.tiny_model import tiny_bundle

from parrotlet_server.bundle import open_bundle
from parrotlet_server.cli import main
from parrotlet_server.engine import Engine, Request
from parrotlet_tokenizer import CodeTokenizer
from parrotlet_training.adapt import adapt as adapting
from parrotlet_training.adapt.code import (
    HELD_OUT_SHARE,
    TooLittleCodeError,
    divide,
    general_documents,
    general_sources,
    own_documents,
    rounds,
)
from parrotlet_training.adapt.corpus import BOUND, OWN, write_corpus
from parrotlet_training.adapt.merge import SHARES, merge
from parrotlet_training.adapt.plan import (
    MOST_ROUNDS,
    ROUNDS,
    ROWS,
    Settings,
    steps_for,
    tokens_per_second,
)
from parrotlet_training.corpus.document import Document
from parrotlet_training.corpus.holdout import is_held_out
from parrotlet_training.corpus.licences import is_permissive
from parrotlet_training.corpus.near import jaccard, shingles
from parrotlet_training.corpus.shards import ShardWriter
from parrotlet_training.corpus.sources import Folder
from parrotlet_training.data import text_rows
from parrotlet_training.evaluate.bits import score_rows
from parrotlet_training.evaluate.loading import load_model

MODULES = (argparse, ast, difflib, dis, inspect, json, textwrap, tokenize)


MUCH = 1_000_000
"""More bytes than there are."""


def functions(module):
    """The functions and classes of a module, each as a file's text."""
    text = inspect.getsource(module)
    lines = text.splitlines(keepends=True)
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, "".join(lines[node.lineno - 1 : node.end_lineno])


def write_project(folder, modules=MODULES):
    for module in modules:
        place = folder / module.__name__
        place.mkdir(parents=True)
        for name, text in functions(module):
            (place / f"{name}.py").write_text(text)
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return write_project(tmp_path_factory.mktemp("code") / "mine")


def document(path, text, repository="me/mine"):
    return Document(text, path, repository, "", "", "folder")


def size(documents):
    return sum(len(one.content.encode()) for one in documents)


def test_files_are_held_out_by_their_path_whatever_else_is_there(project):
    own, seen = own_documents([Folder(project)], None)
    assert seen.files >= len(own) > 100
    first = divide(own, [])
    assert {d.path for d in first.own}.isdisjoint(d.path for d in first.held_out)
    assert 0.5 * HELD_OUT_SHARE < size(first.held_out) / size(own) < 2 * HELD_OUT_SHARE
    again = divide(list(reversed(own)), [])
    assert {d.path for d in again.held_out} == {d.path for d in first.held_out}
    # the order in which files are drawn does not change when one goes
    without = divide([d for d in own if d is not first.own[0]], [])
    kept = {d.path for d in without.held_out}
    assert len(kept & {d.path for d in first.held_out}) >= 0.8 * len(first.held_out)


def test_no_held_out_file_is_like_one_that_is_learnt(project):
    own, _ = own_documents([Folder(project)], None)
    # every file a second time, under another path and with another first line
    copies = [
        document(f"copies/{d.path}", f"# a copy of {d.path}\n{d.content}", d.repository)
        for d in own
        if len(d.content) > 600
    ]
    material = divide([*own, *copies], [])
    assert material.held_out
    learnt = [shingles(d.content) for d in material.own]
    for held_out in material.held_out:
        found = shingles(held_out.content)
        assert max(jaccard(found, one) for one in learnt) < 0.7
    # what was drawn and is like something learnt is in neither
    assert len(material.own) + len(material.held_out) < len(own) + len(copies)


def test_general_python_that_is_held_out_or_like_it_is_not_learnt(project):
    own, _ = own_documents([Folder(project)], None)
    first = divide(own, [])
    copy = document("copy.py", f"# mine\n{max(first.held_out, key=size_of).content}", "a/b")
    others = [document(d.path, d.content, "a/b") for d in first.own[:40]]
    material = divide(own, [copy, *others])
    learnt_or_judged = {d.path for d in (*material.general, *material.general_held_out)}
    assert "copy.py" not in learnt_or_judged
    assert not learnt_or_judged  # all of it is the user's own code


def size_of(one):
    return len(one.content)


def test_general_python_is_judged_by_projects_of_which_nothing_is_learnt():
    texts = [text for module in MODULES for _, text in functions(module) if len(text) > 200]
    general = [
        document(f"{i}.py", text, "the/largest" if i % 2 else f"a/project-{i % 20}")
        for i, text in enumerate(texts)
    ]
    names = {d.repository for d in general}
    assert len(names) == 11
    mine = [document("mine.py", "x = 1\n")]
    material = divide(mine, general)
    bound = {d.repository for d in material.general_bound}
    judged = {d.repository for d in material.general_held_out}
    learnt = {d.repository for d in material.general}
    assert len(bound) == len(judged) == 1
    assert len(bound | judged | learnt) == len(bound) + len(judged) + len(learnt)
    assert bound | judged | learnt == names
    assert "the/largest" in learnt
    again = divide(mine, list(reversed(general)))
    assert again.general_held_out == material.general_held_out
    # a bare interpreter has one project only, whose files are divided
    material = divide(mine, [d for d in general if d.repository == "the/largest"])
    groups = (material.general, material.general_bound, material.general_held_out)
    assert all(groups)
    assert not set.intersection(*({d.path for d in group} for group in groups))


def test_no_file_alone_decides_what_was_forgotten():
    texts = [text for module in MODULES for _, text in functions(module) if len(text) > 200]
    small = [document(f"{i}.py", text, f"a/project-{i % 40}") for i, text in enumerate(texts)]
    # one large file is all that half of the projects have
    large = [
        document(f"{i}.py", "\n".join(texts[i::3]).replace("self", f"self{i}"), f"a/single-{i}")
        for i in range(40)
    ]
    material = divide([document("mine.py", "x = 1\n")], [*small, *large])
    for group in (material.general_bound, material.general_held_out):
        sizes = [size_of(d) for d in group]
        assert len(sizes) >= 10
        assert max(sizes) < 0.2 * sum(sizes)


def test_general_python_is_drawn_from_many_sources_and_never_from_what_is_held_out():
    sources = general_sources()
    assert "python/cpython" in [source.repository for source in sources]
    assert not any(is_held_out(source.repository) for source in sources)
    assert all(is_permissive(source.licence) for source in sources)
    some = [source for source in sources if source.repository != "python/cpython"][:3]
    found = list(general_documents(some, 60_000, rated=True))
    assert size(found) >= 60_000 or len({d.repository for d in found}) == len(some)
    assert all(d.quality is not None for d in found)
    assert found == list(general_documents(some, 60_000, rated=True))


def test_one_code_is_read_in_rounds_with_the_wanted_share_of_general_python():
    own = [document(f"{i}.py", "x" * 100) for i in range(10)]
    general = [document(f"{i}.py", "y" * 100, "a/b") for i in range(7)]
    taken = list(rounds(own, general, 0.2, 5_000))
    assert size(taken) == pytest.approx(5_000, abs=200)
    counts = Counter(d.repository for d in taken)
    assert counts["a/b"] / len(taken) == pytest.approx(0.2, abs=0.03)
    each = Counter(d.path for d in taken if d.repository == "me/mine")
    assert max(each.values()) - min(each.values()) <= 1
    # fresh general text first, then from its beginning again
    assert [d.path for d in taken if d.repository == "a/b"][:8] == [f"{i % 7}.py" for i in range(8)]


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=8),
    st.lists(st.integers(1, 400), max_size=8),
    st.floats(0, 0.9),
    st.integers(1, 4_000),
)
def test_rounds_end_where_they_should_whatever_the_sizes(own, general, share, wanted):
    mine = [document(f"{i}", "x" * n) for i, n in enumerate(own)]
    others = [document(f"{i}", "y" * n, "a/b") for i, n in enumerate(general)]
    taken = list(rounds(mine, others, share, wanted))
    most = max(own) + max(general, default=0) + max(own) * share / (1 - share)
    assert wanted <= size(taken) <= wanted + most
    mixed = size([d for d in taken if d.repository == "a/b"])
    if general:
        assert mixed <= share / (1 - share) * (size(taken) - mixed) + max(general)
    else:
        assert mixed == 0


def test_secrets_are_replaced_and_what_is_no_code_is_counted(tmp_path):
    folder = write_project(tmp_path / "mine", (argparse, difflib))
    key = "AKIA" + "Q3EGRN2LZ7KM4TWX"
    (folder / "settings.py").write_text(f'AWS_ACCESS_KEY_ID = "{key}"\n' + "REGION = 'x'\n" * 9)
    (folder / "old.py").write_text("print 'no parentheses in this one'\n" * 9)
    own, seen = own_documents([Folder(folder)], 4)
    assert not any(key in d.content for d in own)
    assert sum(seen.redacted.values()) >= 1
    assert sum(seen.left_out.values()) >= 1
    assert {d.quality for d in own} == {4}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "mine holds no Python"),
        ({"notes.txt": "x" * 99_999}, "mine holds no Python"),
        ({"a.py": "def f(x):\n    return x + 1\n" * 3}, "too little code: mine holds 1 Python"),
        (
            {f"{i}.py": "print 'old'\n" * 900 for i in range(9)},
            r"97 kB, of which 0 files, 0 kB, are useful \(.*9\)",
        ),
    ],
)
def test_too_little_code_says_how_much_there_is(tmp_path, files, message):
    folder = tmp_path / "mine"
    folder.mkdir()
    for number, (name, text) in enumerate(files.items()):
        (folder / name).write_text(text + f"# {number}\n")
    with pytest.raises(TooLittleCodeError, match=message) as caught:
        own_documents([Folder(folder)], None)
    assert "\n" not in str(caught.value)


def test_steps_come_from_the_minutes_and_from_how_much_code_there_is():
    # an hour at 1,000 tokens a second, of plenty of code
    bounds = Settings(general_share=0.2, most_general_share=0.6)
    steps, share = steps_for(60, 1000, 1024, 10**9, 4.0, bounds)
    assert 0.5 * 3_600_000 < steps * ROWS * 1024 < 3_600_000
    assert share == 0.2
    half, _ = steps_for(30, 1000, 1024, 10**9, 4.0, bounds)
    assert half == pytest.approx(steps / 2, abs=1)
    # where there is time, more general Python is read beside one's own
    steps, share = steps_for(60, 1000, 1024, 1_000_000, 4.0, bounds)
    assert 0.2 < share < 0.6
    assert steps * ROWS * 1024 * 4.0 * (1 - share) == pytest.approx(ROUNDS * 1_000_000, rel=0.1)
    # 100 kB are not read more often than is good, however long there is
    few, share = steps_for(10_000, 1000, 1024, 100_000, 4.0, bounds)
    assert share == 0.6
    assert few * ROWS * 1024 * 4.0 * 0.4 == pytest.approx(MOST_ROUNDS * 100_000, rel=0.1)


def test_the_speed_is_measured_and_the_random_state_stays(monkeypatch):
    before = torch.get_rng_state()
    assert tokens_per_second(open_bundle(tiny_bundle()), seconds=0.1) > 0
    assert torch.equal(before, torch.get_rng_state())


PROGRAM = """
import sys
from parrotlet_server.cli import main
from parrotlet_training.adapt import adapt
from tests.training.test_adapt import LITTLE
for name, value in LITTLE.items():
    setattr(adapt, name, value)
sys.exit(main(sys.argv[1:]))
"""


def few_sources():
    """Some of the standard library, so that no test reads all that is installed."""
    email = Path(sysconfig.get_path("stdlib")) / "email"
    return [Folder(email, repository="python/cpython", licence="PSF-2.0", own=False)]


LITTLE = {
    "general_sources": few_sources,
    "GENERAL_BYTES": 150_000,
    "SCORED_BYTES": 20_000,
    "tokens_per_second": lambda bundle: 4000.0,  # so that the steps are the same everywhere
}


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs `parrotlet adapt` here; gives its exit code, output and errors."""
    for name, value in LITTLE.items():
        monkeypatch.setattr(adapting, name, value)
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = main(["adapt", *map(str, words)])
        return code, *capsys.readouterr()

    return run


def test_an_adaptation_is_stopped_goes_on_and_knows_the_code_better(project, tmp_path, run):
    before, model = tmp_path / "models" / "before", tmp_path / "models" / "now"
    shutil.copytree(tiny_bundle(), before)
    words = (project, "--out", tmp_path / "new", "--model", before, "--minutes", "0.35")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "adapt", *map(str, words)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        | {"OMP_NUM_THREADS": "1"},  # the matrices are too small to share
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    work = tmp_path / ".new.adapt"
    metrics = work / "run" / "metrics.jsonl"
    while not metrics.is_file() or metrics.read_text().count("\n") < 3:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "the same command" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "new").exists()

    before.rename(model)  # as when Parrotlet is installed anew meanwhile
    words = (*words[:4], model, *words[5:])
    code, _, errors = run(*words[:-1], "3")
    assert (code, errors.count("\n")) == (1, 1)
    assert "repeat its command to go on, or add --fresh" in errors

    code, output, errors = run(*words)
    assert code == 0, errors
    assert "going on with an adaptation that was interrupted" in output
    bundle = open_bundle(tmp_path / "new")
    found = bundle.manifest.notes["evaluation"]["adapted"]
    own, general = found["own_held_out_bits_per_byte"], found["general_bits_per_byte"]
    assert own["after"] < own["before"]
    assert f"{own['before']:.4f} bits per byte before, {own['after']:.4f} after" in output
    assert general["before"] > 0
    assert f'"parrotlet.model": "{tmp_path / "new"}"' in output
    assert f"parrotlet serve --model {tmp_path / 'new'}" in output
    assert bundle.tokenizer.json == open_bundle(tiny_bundle()).tokenizer.json
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "new"]
    # it is served
    completion = Engine.load(str(tmp_path / "new")).complete(
        Request("import os\n\n\ndef f(self, value):\n    return self", "")
    )
    assert completion.reason


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A checkpoint of other weights than the tiny bundle's, and text to judge it by."""
    from transformers import GPT2LMHeadModel

    from parrotlet_server.bundle.export import restore_checkpoint

    folder = tmp_path_factory.mktemp("learnt")
    restore_checkpoint(tiny_bundle(), folder / "checkpoint")
    model = GPT2LMHeadModel.from_pretrained(folder / "checkpoint")
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    model.save_pretrained(folder / "checkpoint")
    own, _ = own_documents([Folder(write_project(folder / "mine", (argparse, ast)))], None)
    write_corpus(folder / "corpus", divide(own, own[:30]), 0.2, 10_000)
    return folder


def weights(folder):
    from transformers import GPT2LMHeadModel

    return dict(GPT2LMHeadModel.from_pretrained(folder).named_parameters())


def bits(folder, corpus, split):
    with load_model(str(folder)) as (model, where):
        tokenizer = CodeTokenizer.load(where)
        rows = text_rows(corpus, split, tokenizer, model.config.n_positions, MUCH)
        return score_rows(model, rows, tokenizer, torch.device("cpu")).bits_per_byte


def test_of_the_new_weights_as_much_is_taken_as_leaves_the_rest_alone(learnt, tmp_path):
    base, new, corpus = tiny_bundle(), learnt / "checkpoint", learnt / "corpus"
    before, after = bits(base, corpus, OWN), bits(new, corpus, OWN)
    assert after > 1.5 * before  # what it "learnt" is noise
    whole = merge(base, new, tmp_path / "whole", corpus, OWN, MUCH, 2 * after / before)
    assert whole.share == 1
    assert whole.loss == pytest.approx(after / before - 1)
    least = merge(base, new, tmp_path / "least", corpus, OWN, MUCH, -1)
    assert least.share == min(SHARES)
    assert least.loss is not None
    assert least.loss > -1  # the bound is not kept, and it says so
    allowed = (before + after) / 2 / before - 1
    some = merge(base, new, tmp_path / "some", corpus, OWN, MUCH, allowed)
    share = some.share
    assert min(SHARES) <= share < 1
    assert some.loss == pytest.approx(bits(tmp_path / "some", corpus, OWN) / before - 1)
    assert some.loss <= allowed or share == min(SHARES)
    from parrotlet_server.bundle.export import restore_checkpoint

    restore_checkpoint(base, tmp_path / "base")
    old, learnt_weights = weights(tmp_path / "base"), weights(new)
    for name, weight in weights(tmp_path / "some").items():
        expected = torch.lerp(old[name], learnt_weights[name], share)
        torch.testing.assert_close(weight, expected)
    assert {file.name for file in (tmp_path / "some").iterdir()} == {f.name for f in new.iterdir()}


def test_without_general_text_all_of_it_is_taken(learnt, tmp_path):
    merged = merge(
        tiny_bundle(), learnt / "checkpoint", tmp_path / "new", Path("nowhere"), BOUND, 1, None
    )
    assert (merged.share, merged.loss) == (1, None)
    for name, weight in weights(tmp_path / "new").items():
        assert torch.equal(weight, weights(learnt / "checkpoint")[name])


def test_the_benchmark_measures_before_and_after(project, tmp_path, monkeypatch, capsys):
    for name, value in LITTLE.items():
        monkeypatch.setattr(adapting, name, value)
    corpus = tmp_path / "holdout"
    texts = [
        (module.__name__, name, text) for module in MODULES for name, text in functions(module)
    ]
    with ShardWriter(corpus, "holdout") as writer:
        for place, name, text in texts:
            path = f"{place}/{name}.py"
            writer.add(document(path, text, "me/mine" if place in ("ast", "dis") else "a/b"))
    words = ("--holdout", corpus, "--repositories", "me/mine", "--minutes", "0.2", "--lines", "9")
    words += ("--general-lines", "5", "--bytes", "20000", "--model", tiny_bundle())
    out = tmp_path / "out.json"
    words += ("--work", tmp_path / "work", "--json", out)
    assert main(["bench", "adapt", *map(str, words)]) == 0
    (found,) = json.loads(out.read_text())
    (own_before, own_after), (general_before, general_after) = found["own"], found["general"]
    assert own_before["lines"] == own_after["lines"] == 9
    assert general_before["lines"] == general_after["lines"] == 5
    assert own_after["bits_per_byte"] < own_before["bits_per_byte"]
    assert found["loss"] == pytest.approx(
        general_after["bits_per_byte"] / general_before["bits_per_byte"] - 1
    )
    printed = capsys.readouterr().out
    assert "reached" in printed
    assert "adapted before" not in printed
    # run again, the model is there
    assert main(["bench", "adapt", *map(str, words)]) == 0
    assert "adapted before" in capsys.readouterr().out
    assert json.loads(out.read_text()) == [found]
    assert main(["bench", "adapt", "--holdout", str(corpus), "--repositories", "no/one"]) == 1
    assert "has no no/one" in capsys.readouterr().err


def test_what_cannot_be_is_said_in_one_line(project, tmp_path, run):
    other = tmp_path / "other"
    other.mkdir()
    (other / "precious.txt").write_text("kept")
    for words, message in (
        ((tmp_path / "nothing",), "no folder"),
        ((other,), "other holds no Python"),
        ((project, "--model", other), "is not a model bundle"),
        ((project, "--out", other), "exists and is not empty"),
        ((project, "--minutes", "0"), "--minutes is a positive number"),
        ((project, "--minutes", "nan"), "--minutes is a positive number"),
    ):
        code, _, errors = run(*words)
        assert code == 1
        assert message in errors, errors
        assert errors.count("\n") == 1, errors
    assert (other / "precious.txt").read_text() == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_full_disk_leaves_nothing_half_written(project, tmp_path, monkeypatch):
    """The limit of a file's size stands in for the disk: the same error comes from the system."""
    import resource

    base = tiny_bundle()
    digest = hashlib.sha256((base / "model.onnx").read_bytes()).hexdigest()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    monkeypatch.setattr(adapting, "general_sources", lambda: [])
    monkeypatch.setattr(adapting, "tokens_per_second", lambda bundle: 4000.0)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
        with pytest.raises(OSError, match="too large"):
            adapting.adapt([Folder(project)], tmp_path / "new", str(base), 1.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / ".new.adapt" / "corpus").exists()
    assert hashlib.sha256((base / "model.onnx").read_bytes()).hexdigest() == digest


def test_without_torch_it_says_what_to_install(tmp_path):
    blocked = (
        "import importlib.util as u; old = u.find_spec; "
        "u.find_spec = lambda name, *a: None if name == 'torch' else old(name, *a)\n"
    )
    code = (
        blocked + "import sys\nfrom parrotlet_server.cli import main\nsys.exit(main(sys.argv[1:]))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code, "adapt", str(Path(__file__).parent)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert 'needs torch: install them with pip install "parrotlet[train]"' in done.stderr
