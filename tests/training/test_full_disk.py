"""A build where there is no room: one line, nothing half-written, and it goes on afterwards."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import sysconfig
from functools import partial
from pathlib import Path

import pytest

from ..support.small_disk import small_disk

LIBRARY = Path(sysconfig.get_path("stdlib"))
KIB = 1024


def build(source, out, before=None):
    """Runs the real command."""
    command = [sys.executable, "-m", "parrotlet_server", "corpus", "build", "--workers", "1"]
    command += ["--validation-share", "0", "--out", str(out), str(source)]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, preexec_fn=before)


def content(folder):
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disk") / "project"
    folder.mkdir()
    for name in ("argparse", "ast", "calendar", "cmd", "copy", "dis", "doctest", "inspect"):
        shutil.copy(LIBRARY / f"{name}.py", folder)
    return folder


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory):
    """The corpus of an undisturbed build."""
    out = tmp_path_factory.mktemp("whole") / "corpus"
    done = build(source, out)
    assert done.returncode == 0, done.stderr
    return content(out)


def assert_refused(done, out, word):
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert word in done.stderr
    assert "make room there and run the same command again" in done.stderr
    assert not out.exists()
    assert not list(out.parent.rglob("*.parquet*"))


def assert_goes_on(source, out, whole):
    done = build(source, out)
    assert done.returncode == 0, done.stderr
    assert "going on with a build that was interrupted" in done.stdout
    assert content(out) == whole
    assert not list(out.parent.glob(".corpus*"))


@pytest.fixture
def disk(tmp_path):
    """A file system of 4 MiB."""
    with small_disk(tmp_path / "disk") as place:
        yield place


@pytest.mark.parametrize(("room", "sources_read"), [(200 * KIB, 0), (600 * KIB, 1)])
def test_a_full_file_system(source, whole, disk, room, sources_read):
    """In the middle of the files one by one, and after them."""
    filler = disk / "filler"
    filler.write_bytes(bytes(4096 * KIB - room))
    assert_refused(build(source, disk / "corpus"), disk / "corpus", "No space left")
    state = json.loads((disk / ".corpus.build" / "spool-00000" / "state.json").read_text())
    assert state["progress"]["source"] == sources_read
    filler.unlink()
    assert_goes_on(source, disk / "corpus", whole)


def test_no_room_for_a_larger_file(source, whole, tmp_path):
    """A limit on the size of a file, which needs no right to mount: the system refuses likewise."""
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (50 * KIB, 50 * KIB))
    assert_refused(build(source, tmp_path / "corpus", limit), tmp_path / "corpus", "too large")
    assert_goes_on(source, tmp_path / "corpus", whole)
