"""Publishing against a small server of our own that speaks the Hub's protocol."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from huggingface_hub.utils import validate_repo_id
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.upload_hub import READER, TOKEN, UploadHub

from parrotlet_training.corpus.build import build_corpus
from parrotlet_training.corpus.holdout import is_held_out, is_validation
from parrotlet_training.corpus.push import push
from parrotlet_training.corpus.recipe import CorpusRecipe
from parrotlet_training.corpus.report.manifest import CorpusError
from parrotlet_training.corpus.sources import Folder
from parrotlet_training.hub.failure import PushError, check_name

HALF = 0.5


def named(validates: bool, held_out: bool = False) -> str:
    """A repository name that the rules put where the test wants it."""
    return next(
        name
        for name in map("project-{}".format, range(1000))
        if is_held_out(name) == held_out and is_validation(name, HALF) == validates
    )


def make_corpus(folder, share=HALF, modules=("heapq", "shlex")):
    """A corpus of one training and, by default, one validation shard, from real modules."""
    sources = []
    for validates, module in zip((False, True), modules, strict=True):
        project = folder.parent / f"{folder.name}-sources" / named(validates)
        project.mkdir(parents=True)
        code = Path(sysconfig.get_path("stdlib"), f"{module}.py").read_text()
        (project / f"{module}.py").write_text(code)
        sources.append(Folder(project))
    build_corpus(sources, folder, CorpusRecipe(validation_share=share), progress=False)
    return folder


PROGRAM = """
import json, sys
from pathlib import Path
from parrotlet_training.corpus.push import PushError, push
from parrotlet_training.corpus.report.manifest import CorpusError
folder, name, private, revision = sys.argv[1:]
try:
    done = push(Path(folder), name, private == "True", revision or None, say=print)
    print(json.dumps({"done": vars(done), "summary": done.summary()}))
except (PushError, CorpusError) as error:
    print(json.dumps({"error": str(error)}))
"""


@pytest.fixture
def hub():
    with UploadHub() as hub:
        yield hub


@pytest.fixture
def start(tmp_path, hub):
    """Starts a push in a process of its own: the Hub's address is read at import."""

    def start(corpus, name="someone/python", private=False, revision="", **variables):
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",  # the Xet store is a service of its own, not rebuilt here
            "NO_PROXY": "127.0.0.1",
            **variables,
        }
        arguments = [str(corpus), name, str(private), revision]
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def run(start):
    def run(*arguments, **keywords):
        output, errors = start(*arguments, **keywords).communicate(timeout=200)
        assert TOKEN not in output + errors
        assert output, errors
        return json.loads(output.splitlines()[-1])

    return run


def test_a_corpus_is_published_whole_and_a_second_run_sends_nothing(hub, run, tmp_path):
    corpus = make_corpus(tmp_path / "corpus")
    (corpus / "notes.txt").write_text("mine alone")
    answer = run(corpus, private=True)
    assert "done" in answer, answer
    assert hub.private is True
    files = hub.branches["main"]
    assert set(files) == {
        "README.md",
        "corpus.json",
        "data/train-00000.parquet",
        "data/validation-00000.parquet",
    }
    assert all((corpus / path).read_bytes() == content for path, content in files.items())
    assert len(hub.commits) == 1
    assert len(hub.sent) == 2

    hub.requests.clear()
    answer = run(corpus)
    assert "done" in answer, answer
    assert answer["done"]["uploaded"] == []
    assert answer["summary"][0] == "nothing to do: all 4 files are there"
    assert len(hub.sent) == 2
    assert len(hub.commits) == 1
    assert not [request for request in hub.requests if "batch" in request or "PUT" in request]


def test_a_killed_run_goes_on_where_it_stopped(hub, run, start, tmp_path):
    corpus = make_corpus(tmp_path / "corpus")
    shards = [s["sha256"] for s in json.loads((corpus / "corpus.json").read_text())["shards"]]
    hub.hold = shards[1]
    killed = start(corpus)
    assert hub.held.wait(120)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert hub.sent == [shards[0]]
    assert hub.branches["main"] == {}  # nothing half-published
    hub.hold = None
    hub.release.set()
    answer = run(corpus)
    assert "done" in answer, answer
    assert hub.sent == shards  # the first was not sent again
    assert len(hub.branches["main"]) == 4


def test_another_corpus_replaces_the_first_in_one_commit(hub, run, tmp_path):
    run(make_corpus(tmp_path / "corpus"))
    hub.branches["main"]["LICENSE"] = b"added on the Hub"
    kept = hub.branches["main"]["data/train-00000.parquet"]
    later = make_corpus(tmp_path / "later", share=0.0)
    answer = run(later)
    assert answer["done"]["removed"] == ["data/validation-00000.parquet"]
    assert len(hub.commits) == 2
    files = hub.branches["main"]
    assert set(files) == {"README.md", "corpus.json", "data/train-00000.parquet", "LICENSE"}
    assert files["data/train-00000.parquet"] != kept


def test_a_branch_is_made_and_only_it_is_written(hub, run, tmp_path):
    corpus = make_corpus(tmp_path / "corpus")
    answer = run(corpus, revision="next")
    assert "done" in answer, answer
    assert hub.branches["main"] == {}
    assert len(hub.branches["next"]) == 4
    assert run(corpus, revision="next")["done"]["uploaded"] == []


def test_a_card_of_ones_own_is_taken_as_it_is(hub, run, tmp_path):
    corpus = make_corpus(tmp_path / "corpus")
    (corpus / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    run(corpus)
    assert hub.branches["main"]["README.md"] == b"---\nlicense: mit\n---\n# Mine\n"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"HF_TOKEN": ""}, "run `hf auth login`"),
        ({"HF_TOKEN": "hf_unknown"}, "the Hub refuses the token"),
        ({"HF_TOKEN": READER}, "the token may not write to someone/python"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot be reached: check the network"),
        ({"HF_HUB_OFFLINE": "1"}, "cannot be reached: check the network"),
    ],
)
def test_what_stands_in_the_way_is_said_in_one_line(hub, run, tmp_path, variables, message):
    corpus = make_corpus(tmp_path / "corpus")
    error = run(corpus, **variables)["error"]
    assert message in error
    assert "\n" not in error
    assert not any(token and token in error for token in variables.values() if "hf_" in token)
    assert not hub.sent


def test_a_refused_upload_is_said_without_the_token(hub, run, tmp_path):
    hub.fail_uploads = True
    error = run(make_corpus(tmp_path / "corpus"))["error"]
    assert "run this again" in error
    assert not hub.commits


def test_a_damaged_shard_is_not_published(hub, run, tmp_path):
    corpus = make_corpus(tmp_path / "corpus")
    run(corpus)
    later = make_corpus(tmp_path / "later", modules=("textwrap", "shlex"))
    shard = later / "data" / "train-00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    (later / "README.md").write_text("# Card\n")
    assert "is damaged" in run(later)["error"]
    assert len(hub.commits) == 1


@pytest.mark.parametrize(
    "name",
    ["", "python", "someone/", "/python", "a/b/c", "some one/python", "someone/py--thon"]
    + ["-a/b", "a/b.git", "a/..", "a/b\n", "é/b", "a/" + "b" * 97, "https://x/y"],
)
def test_a_malformed_name_never_reaches_the_network(tmp_path, name):
    with pytest.raises(PushError, match=r"give owner/name") as caught:
        push(tmp_path, name)
    assert "\n" not in str(caught.value)


NAME = st.from_regex(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,20}[A-Za-z0-9])?", fullmatch=True)


@settings(deadline=None)
@given(NAME, NAME)
def test_what_the_hub_takes_as_a_name_is_taken(owner, name):
    repo_id = f"{owner}/{name}"
    try:
        validate_repo_id(repo_id)
    except ValueError:
        with pytest.raises(PushError):
            check_name(repo_id)
    else:
        check_name(repo_id)


def test_the_hold_out_stays_unpublished(tmp_path):
    project = tmp_path / named(validates=False, held_out=True)
    project.mkdir()
    code = Path(sysconfig.get_path("stdlib"), "heapq.py").read_text()
    (project / "heapq.py").write_text(code)
    options = CorpusRecipe(holdout=True)
    build_corpus([Folder(project)], tmp_path / "corpus", options, progress=False)
    with pytest.raises(CorpusError, match="stays unpublished"):
        push(tmp_path / "corpus", "someone/python")


def test_no_corpus_is_said(tmp_path):
    with pytest.raises(CorpusError, match=r"holds no corpus\.json"):
        push(tmp_path, "someone/python")
    corpus = make_corpus(tmp_path / "corpus")
    (corpus / "data" / "train-00000.parquet").unlink()
    with pytest.raises(CorpusError, match="lacks its shard"):
        push(corpus, "someone/python")
