import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from parrotlet_server.bundle import BundleError, open_bundle, resolve
from parrotlet_server.bundle.cache import cache_folder
from parrotlet_server.bundle.resolve import resolve_model

from ..support.hub import Hub


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PARROTLET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def refused(name, message):
    with pytest.raises(BundleError, match=message) as caught:
        resolve_model(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [None, ""])
def test_no_name_is_the_model_that_comes_along(random_bundle, monkeypatch, tmp_path, name):
    monkeypatch.setattr(resolve, "DEFAULT_MODEL", random_bundle)
    assert resolve_model(name).folder == random_bundle
    monkeypatch.setattr(resolve, "DEFAULT_MODEL", tmp_path / "none")
    refused(name, "no model of its own")


def test_a_bundle_is_used_where_it_lies(random_bundle, cache):
    assert resolve_model(str(random_bundle)).folder == random_bundle
    assert not cache.exists()


def test_a_checkpoint_is_converted_once(random_checkpoint, random_bundle, cache):
    first = resolve_model(str(random_checkpoint)).folder
    assert cache in first.parents
    assert (first / "model.onnx").read_bytes() == (random_bundle / "model.onnx").read_bytes()
    made = (first / "model.onnx").stat().st_ino
    assert resolve_model(f"{random_checkpoint}{os.sep}").folder == first
    assert (first / "model.onnx").stat().st_ino == made


def test_another_checkpoint_at_the_same_place_is_converted_anew(make_checkpoint, tmp_path):
    folder = make_checkpoint(tmp_path / "checkpoint", seed=1)
    before = resolve_model(str(folder)).folder
    times = (folder / "model.safetensors").stat()
    shutil.rmtree(folder)
    make_checkpoint(folder, seed=2)
    os.utime(folder / "model.safetensors", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert resolve_model(str(folder)).folder != before


def test_a_damaged_conversion_is_made_anew(random_checkpoint):
    folder = resolve_model(str(random_checkpoint)).folder
    (folder / "model.onnx").write_bytes(b"cut")
    assert resolve_model(str(random_checkpoint)).folder == folder
    open_bundle(folder)


def test_several_servers_may_convert_at_once_and_the_first_wins(random_checkpoint, cache):
    together = Barrier(4)

    def convert(_):
        together.wait()
        folder = resolve_model(str(random_checkpoint)).folder
        return folder, (folder / "model.onnx").stat().st_ino

    with ThreadPoolExecutor(4) as pool:
        results = set(pool.map(convert, range(4)))
    assert len(results) == 1  # also the same file: nobody's model was taken away
    open_bundle(results.pop()[0])
    assert len(list((cache / "bundles").iterdir())) == 1


def test_a_cache_that_cannot_be_written_is_said(random_checkpoint, cache):
    cache.write_text("a file stands in its place")
    refused(str(random_checkpoint), "PARROTLET_CACHE names another cache folder")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no/such/folder", "there is no model no/such/folder: give"),
        ("nonsense", "there is no model nonsense"),
        ("owner/name", "owner/name@commit"),  # without a revision the network is never asked
        ("a\0b", "cannot name a folder|there is no model"),
        ("x" * 5000, "cannot name a folder"),
        (".", "holds no parrotlet.json"),
        ("config.json", "there is no"),
    ],
)
def test_what_is_no_model_is_said_in_one_line(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    refused(name, message)


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/xdg"}, "/xdg/parrotlet"),
        ("linux", {}, "/home/me/.cache/parrotlet"),
        ("darwin", {"XDG_CACHE_HOME": "/xdg"}, "/home/me/Library/Caches/parrotlet"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/parrotlet/Cache"),
        ("win32", {}, "/home/me/AppData/Local/parrotlet/Cache"),
        ("win32", {"PARROTLET_CACHE": "~/mine"}, "/home/me/mine"),
    ],
)
def test_the_cache_lies_where_the_platform_wants_it(monkeypatch, platform, variables, expected):
    for name in ("PARROTLET_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_folder() == Path(expected)


class TestHub:
    """Against a small server of our own that speaks the Hub's protocol."""

    COMMIT = "0123456789abcdef0123456789abcdef01234567"

    @pytest.fixture
    def hub(self, random_checkpoint):
        with Hub({"someone/model": (self.COMMIT, random_checkpoint)}) as hub:
            yield hub

    @pytest.fixture
    def run(self, tmp_path, cache):
        """Resolves a name in a process of its own; gives its folder or its error."""

        def run(name, endpoint, **variables):
            program = (
                "import sys, json\n"
                "from parrotlet_server.bundle import BundleError\n"
                "from parrotlet_server.bundle.resolve import resolve_model\n"
                "try: print(json.dumps(['folder', str(resolve_model(sys.argv[1]).folder)]))\n"
                "except BundleError as error: print(json.dumps(['error', str(error)]))\n"
            )
            environment = {
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "HF_ENDPOINT": endpoint,
                "HF_HOME": str(tmp_path / "hub"),
                "HF_HUB_DISABLE_XET": "1",
                "NO_PROXY": "127.0.0.1",
                **variables,
            }
            done = subprocess.run(
                [sys.executable, "-c", program, name],
                env=environment,
                capture_output=True,
                text=True,
                timeout=120,
                check=True,
            )
            return json.loads(done.stdout)

        return run

    def test_a_pinned_model_is_fetched_once_and_converted(self, hub, run, random_bundle, cache):
        name = f"someone/model@{self.COMMIT}"
        kind, folder = run(name, hub.address)
        assert kind == "folder", folder
        assert cache in Path(folder).parents
        model = Path(folder, "model.onnx").read_bytes()
        assert model == (random_bundle / "model.onnx").read_bytes()
        asked = {Path(path).name for path in hub.paths if "/resolve/" in path}
        assert asked == {"config.json", "model.safetensors", "tokenizer.json", "parrotlet_run.json"}
        assert all(path.startswith(("/api/models/", "/someone/model/")) for path in hub.paths)
        hub.paths.clear()
        assert run(name, hub.address) == ["folder", folder]
        assert hub.paths == []  # from the second time on it works offline

    def test_a_branch_must_be_pinned_and_its_commit_is_told(self, hub, run):
        kind, message = run("someone/model@main", hub.address)
        assert kind == "error"
        assert f"someone/model@{self.COMMIT}" in message
        assert not [path for path in hub.paths if "/resolve/" in path]

    def test_a_model_that_is_not_there_is_said(self, hub, run):
        kind, message = run(f"someone/else@{self.COMMIT}", hub.address)
        assert kind == "error"
        assert "cannot get someone/else@" in message
        assert "\n" not in message

    def test_no_network_is_said(self, hub, run):
        kind, message = run(f"someone/model@{self.COMMIT}", hub.address, HF_HUB_OFFLINE="1")
        assert hub.paths == []
        assert kind == "error"
        assert "check the name and the network" in message
        assert "\n" not in message
