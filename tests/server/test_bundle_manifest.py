import json
import shutil

import pytest

from parrotlet_server.bundle import BundleError, open_bundle
from parrotlet_server.bundle.manifest import sha256

NUMBERS = ("vocabulary_size", "context_length", "width", "layers", "heads", "inner")


@pytest.fixture
def damaged(random_bundle, tmp_path):
    return shutil.copytree(random_bundle, tmp_path / "bundle")


def refused(folder, message):
    with pytest.raises(BundleError, match=message) as caught:
        open_bundle(folder)
    assert "\n" not in str(caught.value)


def change_manifest(folder, change):
    file = folder / "parrotlet.json"
    manifest = json.loads(file.read_text())
    change(manifest)
    file.write_text(json.dumps(manifest))


def test_an_intact_bundle_opens(damaged):
    (damaged / "README.md").write_text("what people add is not checked")
    manifest = open_bundle(damaged).manifest
    assert manifest.architecture.layers == 2
    assert manifest.files["model.onnx"][1] == sha256(damaged / "model.onnx")


@pytest.mark.parametrize(
    ("told", "level"), [(4, 4), (0, 0), (None, None), (5, None), ("4", None), (True, None)]
)
def test_the_quality_to_ask_for_is_what_the_training_says(damaged, told, level):
    assert open_bundle(damaged).manifest.best_quality is None
    change_manifest(damaged, lambda m: m["run"].update(best_quality=told))
    assert open_bundle(damaged).manifest.best_quality == level


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
class TestEachFile:
    def test_missing(self, damaged, name):
        (damaged / name).unlink()
        refused(damaged, f"{name} is missing")

    def test_cut_short(self, damaged, name):
        content = (damaged / name).read_bytes()
        (damaged / name).write_bytes(content[:-1])
        refused(damaged, f"{name} has {len(content) - 1} bytes instead of {len(content)}")

    def test_changed_by_one_bit(self, damaged, name):
        content = bytearray((damaged / name).read_bytes())
        content[len(content) // 2] ^= 1
        (damaged / name).write_bytes(content)
        refused(damaged, f"{name} was changed")

    def test_a_link_to_elsewhere(self, damaged, name):
        (damaged / name).rename(damaged.parent / name)
        (damaged / name).symlink_to(damaged.parent / name)
        refused(damaged, "symbolic link")

    def test_a_folder_in_its_place(self, damaged, name):
        (damaged / name).unlink()
        (damaged / name).mkdir()
        refused(damaged, f"{name} is missing")


@pytest.mark.parametrize("path", ["../model.onnx", "/etc/passwd", "a/model.onnx", "..\\model.onnx"])
def test_a_manifest_cannot_name_files_elsewhere(damaged, path):
    def rename(manifest):
        manifest["files"][path] = manifest["files"].pop("model.onnx")

    change_manifest(damaged, rename)
    refused(damaged, "must list exactly the files model.onnx and tokenizer.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "another"}, "not the manifest of a Parrotlet model bundle"),
        ({"version": 1}, "format version 1, this program reads 2: update parrotlet"),
        ({"version": "1"}, "format version"),
        ({"fim": "psm"}, "other special tokens"),
        ({"special_tokens": {"<|endoftext|>": 7}}, "other special tokens"),
        ({"architecture": {}}, "vocabulary_size' is missing"),
        ({"architecture": dict.fromkeys(NUMBERS, 10**15) | {"epsilon": 1e-5}}, "damaged"),
        ({"architecture": None}, "damaged"),
        ({"quantisation": 8}, "damaged"),
        ({"files": []}, "must list exactly"),
        ({"files": {"model.onnx": 1, "tokenizer.json": 2}}, "damaged"),
        ({"corpus": "text"}, "damaged"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(damaged, change, message):
    change_manifest(damaged, lambda manifest: manifest.update(change))
    refused(damaged, message)


@pytest.mark.parametrize("key", ["architecture", "quantisation", "fim", "run", "licence", "files"])
def test_a_manifest_without_a_part_is_refused(damaged, key):
    change_manifest(damaged, lambda manifest: manifest.pop(key))
    refused(damaged, f"'{key}' is missing")


@pytest.mark.parametrize("text", ["", "{", "[]", "nonsense", "[" * 100_000, '{"a": "\ud800"}'])
def test_a_manifest_that_is_no_json_is_refused(damaged, text):
    (damaged / "parrotlet.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    refused(damaged, "parrotlet.json")


def test_other_folders_are_told_apart(random_checkpoint, tmp_path):
    refused(random_checkpoint, "is a checkpoint, not a bundle: `parrotlet export ")
    refused(tmp_path, "holds no parrotlet.json")
    refused(tmp_path / "nowhere", "there is no folder")
