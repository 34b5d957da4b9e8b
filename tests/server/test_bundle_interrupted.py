"""A conversion that is killed, finds no room or may not write: the next one does it all."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from parrotlet_server.bundle import open_bundle
from parrotlet_server.bundle.resolve import resolve_model

from ..support.lsp_client import client
from ..support.small_disk import small_disk
from ..support.tiny_model import tiny_checkpoint

LINE = "def square_area(side):\n    return side * "
PROGRAM = """
import sys
from parrotlet_server.bundle import BundleError
from parrotlet_server.bundle.resolve import resolve_model
try:
    print(resolve_model(sys.argv[1]).folder)
except BundleError as error:
    sys.exit(str(error))
"""


@pytest.fixture(scope="module")
def checkpoint(make_checkpoint, tmp_path_factory):
    """Large enough that a conversion can be met in the middle."""
    folder = tmp_path_factory.mktemp("larger") / "checkpoint"
    return make_checkpoint(folder, width=512, layers=6, heads=8)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PARROTLET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def convert(checkpoint, cache, before=None):
    """A conversion in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(checkpoint)],
        env={
            **os.environ,
            "PARROTLET_CACHE": str(cache),
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,
    )


def entries(cache):
    return sorted(path.name for path in (cache / "bundles").glob("*"))


@pytest.mark.parametrize("moment", ["*", "*/tokenizer.json", "*/model.onnx"])
def test_a_conversion_that_is_killed(checkpoint, cache, moment):
    for _ in range(10):  # a busy machine may let the moment pass
        with convert(checkpoint, cache) as process:
            while process.poll() is None and not list(cache.glob(f"bundles/.{moment}")):
                time.sleep(0.0005)
            process.kill()
        (half,) = entries(cache)
        if half.endswith(".new"):
            break
        shutil.rmtree(cache)
    assert process.returncode == -signal.SIGKILL
    assert half.endswith(".new")  # it was in the middle
    folder = resolve_model(str(checkpoint)).folder
    open_bundle(folder)
    assert folder.parent == cache / "bundles"
    # what the other one left may be in use for all one knows, and goes later
    assert entries(cache) == sorted([half, folder.name])
    long_ago = time.time() - 7200
    os.utime(cache / "bundles" / half, (long_ago, long_ago))
    (folder / "model.onnx").unlink()
    open_bundle(resolve_model(str(checkpoint)).folder)
    assert entries(cache) == [folder.name]


def assert_refused(process, cache, reason):
    _, said = process.communicate(timeout=280)
    assert process.returncode == 1
    assert len(said.splitlines()) == 1
    assert reason in said
    assert "PARROTLET_CACHE names another cache folder" in said
    assert entries(cache) == []


def test_no_room_for_a_larger_file(checkpoint, cache):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))

    assert_refused(convert(checkpoint, cache, limit), cache, "File too large")
    open_bundle(resolve_model(str(checkpoint)).folder)


def test_a_full_disk(checkpoint, tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        assert_refused(convert(checkpoint, disk / "cache"), disk / "cache", "No space left")


def test_a_server_in_a_home_that_cannot_be_written(bundle, tmp_path):
    """The bundled kind of model needs no cache; what cannot be counted is not."""
    with small_disk(tmp_path / "home", "ro,size=1m") as home:
        unset = ("PARROTLET_CACHE", "PARROTLET_DATA", "XDG_CACHE_HOME", "XDG_DATA_HOME")
        environment = {"HOME": str(home), **dict.fromkeys(unset, "")}
        with client("--model", str(bundle), env=environment) as session:
            session.start()
            session.open("file:///shapes.py", LINE)
            item, *_ = session.inline("file:///shapes.py", 1, 18)
            assert item["insertText"] == "side"
            command = item["command"]
            params = {"command": command["command"], "arguments": command["arguments"]}
            session.call("workspace/executeCommand", params)
            logged = session.wait(
                lambda: [
                    entry["message"]
                    for entry in session.notifications("window/logMessage")
                    if "statistics" in entry["message"]
                ]
            )
            assert len(logged) == 1
            assert session.shut_down() == 0
            assert "Traceback" not in session.stderr()
        with client("--model", str(tiny_checkpoint()), env=environment) as session:
            session.initialize()
            session.wait_for_state("error")
            (status,) = [
                status
                for status in session.notifications("parrotlet/status")
                if status["state"] == "error"
            ]
            assert "Read-only file system" in status["message"]
            assert "PARROTLET_CACHE" in status["message"]
            assert session.shut_down() == 0
            assert "Traceback" not in session.stderr()


def test_two_servers_start_at_once_on_one_cache(tmp_path):
    environment = {"PARROTLET_CACHE": str(tmp_path / "cache")}
    model = str(tiny_checkpoint())
    with (
        client("--model", model, env=environment) as one,
        client("--model", model, env=environment) as other,
    ):
        for session in (one, other):
            session.initialize()
        for session in (one, other):
            session.wait_for_state("ready")
            session.open("file:///shapes.py", LINE)
            assert session.inline("file:///shapes.py", 1, 18)[0]["insertText"] == "side"
        for session in (one, other):
            assert session.shut_down() == 0
            assert "Traceback" not in session.stderr()
    (name,) = entries(Path(tmp_path / "cache"))
    open_bundle(tmp_path / "cache" / "bundles" / name)
