"""Vocabularies on the Hub, against a small server of our own that speaks its protocol."""

from __future__ import annotations

import base64
import hashlib
import inspect
import json
import os
import re
import subprocess
import sys

import pytest
from tests.support.local_server import Answering, LocalServer

from parrotlet_tokenizer import TokenizerError
from parrotlet_tokenizer.hub import is_hub_name, load_from_hub, push_to_hub
from parrotlet_tokenizer.train import train_tokenizer

NAME = "someone/words"


class Hub(LocalServer):
    """Keeps the files of one repository, by commit.

    Attributes:
        address: its URL.
        asked: "METHOD path" of every request.
        commits: the files of each commit; the last one is ``main``.
        token: that it takes for writing.
    """

    def __init__(self):
        self.asked, self.commits, self.token = [], {}, "hf_secret"
        hub = self

        class Handler(Answering):
            def do_GET(self):  # noqa: N802
                hub.asked.append(f"{self.command} {self.path}")
                match = re.fullmatch(rf"/{NAME}/resolve/([^/]+)/([\w.]+)", self.path)
                commit = match and (
                    list(hub.commits)[-1] if match[1] == "main" and hub.commits else match[1]
                )
                if not match or match[2] not in hub.commits.get(commit, {}):
                    return self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
                content = hub.commits[commit][match[2]]
                etag = f'"{hashlib.sha256(content).hexdigest()}"'
                return self._send(200, content, {"ETag": etag, "X-Repo-Commit": commit})

            do_HEAD = do_GET  # noqa: N815

            def do_POST(self):  # noqa: N802
                hub.asked.append(f"{self.command} {self.path}")
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Authorization") != f"Bearer {hub.token}":
                    return self._json({"error": "Invalid token"}, 401)
                if self.path == "/api/repos/create":
                    return self._json({"url": f"{hub.address}/{NAME}"})
                if self.path == "/api/validate-yaml":
                    return self._json({"errors": [], "warnings": []})
                if self.path.startswith(f"/api/models/{NAME}/preupload/main"):
                    files = [
                        {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                        for f in json.loads(body)["files"]
                    ]
                    return self._json({"files": files})
                if self.path.startswith(f"/api/models/{NAME}/commit/main"):
                    files = {}
                    for line in body.decode().splitlines():
                        part = json.loads(line)
                        if part["key"] == "file":
                            value = part["value"]
                            files[value["path"]] = base64.b64decode(value["content"])
                    oid = hashlib.sha1(body).hexdigest()
                    hub.commits[oid] = files
                    url = f"{hub.address}/{NAME}/commit/{oid}"
                    return self._json({"commitUrl": url, "commitOid": oid, "success": True})
                return self._send(404, b"", {})

        super().__init__(Handler)


PROGRAM = """
import argparse, sys
from parrotlet_tokenizer import cli
parser = argparse.ArgumentParser()
cli.register(parser.add_subparsers())
if sys.argv[1] == "load":
    print(cli._load(sys.argv[2]).json)
else:
    arguments = parser.parse_args(["tokenizer", *sys.argv[1:]])
    sys.exit(arguments.run(arguments))
"""


@pytest.fixture
def hub():
    with Hub() as hub:
        yield hub


@pytest.fixture
def run(tmp_path, hub):
    """The command in a process of its own, since huggingface_hub reads its settings at import."""

    def run(*words, **variables):
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
            **variables,
        }
        if "HF_TOKEN" not in variables:
            environment.pop("HF_TOKEN", None)
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, *map(str, words)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    return run


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([inspect.getsource(json)], 500)


@pytest.fixture
def folder(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "mine")
    (tmp_path / "mine" / "notes.txt").write_text("not for others")
    return tmp_path / "mine"


def test_what_was_pushed_is_what_is_loaded(hub, run, folder, tokenizer):
    pushed = run("push", folder, NAME, HF_TOKEN=hub.token)
    assert pushed.returncode == 0, pushed.stderr
    name = pushed.stdout.strip()
    assert name == f"{NAME}@{next(iter(hub.commits))}"
    (files,) = hub.commits.values()
    assert sorted(files) == ["tokenizer.json", "tokenizer_config.json"]
    loaded = run("load", name)
    assert loaded.stdout.strip() == tokenizer.json, loaded.stderr
    hub.asked.clear()
    assert run("load", name).stdout == loaded.stdout
    assert hub.asked == []  # a commit does not change: from the second time on it works offline


def test_writing_without_a_token_is_refused(hub, run, folder):
    done = run("push", folder, NAME)
    assert done.returncode == 1
    assert done.stderr == (
        "parrotlet: the Hub wants a token to write: run `hf auth login`, or set HF_TOKEN\n"
    )
    assert hub.asked == []


def test_a_refused_token_is_said_in_one_line(hub, run, folder):
    done = run("push", folder, NAME, HF_TOKEN="hf_other")
    assert done.returncode == 1
    assert done.stderr.startswith(f"parrotlet: cannot write {NAME} on the Hub; check the name")
    assert done.stderr.count("\n") == 1
    assert "hf_other" not in done.stderr


@pytest.mark.parametrize("variables", [{}, {"HF_HUB_OFFLINE": "1"}])
def test_what_cannot_be_had_is_said_in_one_line(run, variables):
    done = run("report", f"{NAME}@{'0' * 40}", ".", **variables)
    assert done.returncode == 1
    assert done.stderr.startswith(f"parrotlet: cannot get {NAME}@000")
    assert done.stderr.count("\n") == 1


def test_names():
    assert is_hub_name("someone/words@main")
    assert not is_hub_name("someone/words")
    assert not is_hub_name("a/b/c@main")
    assert not is_hub_name("/tmp/x@y")
    with pytest.raises(TokenizerError, match="not of the form owner/name@revision"):
        load_from_hub("words")


def test_only_a_vocabulary_goes_up(tmp_path, folder):
    with pytest.raises(TokenizerError, match="cannot read the tokenizer"):
        push_to_hub(tmp_path / "absent", NAME)
    with pytest.raises(TokenizerError, match="not of the form owner/name"):
        push_to_hub(folder, "words")
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(TokenizerError, match=r"holds no tokenizer_config\.json"):
        push_to_hub(folder, NAME)
