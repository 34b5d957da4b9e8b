"""What the built wheel contains, and that it serves without torch."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
KERNEL = re.compile(r"parrotlet_server/backends/native/kernel-\w+-\w+\.so")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    (file,) = folder.glob("parrotlet-*.whl")
    return zipfile.ZipFile(file)


def test_it_holds_the_three_packages_and_nothing_else(wheel):
    names = wheel.namelist()
    tops = {name.split("/")[0] for name in names}
    (info,) = [top for top in tops if top.endswith(".dist-info")]
    assert tops == {"parrotlet_server", "parrotlet_tokenizer", "parrotlet_training", info}
    assert not [name for name in names if name.endswith((".pyc", ".tmp", ".safetensors", ".pt"))]
    tracked = subprocess.run(
        ["git", "ls-files", "server", "tokenizer", "training"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    packed = {name for name in names if not name.startswith(info)}
    expected = {path.split("/", 1)[1] for path in tracked}
    kernels = {name for name in packed if KERNEL.fullmatch(name)}
    assert packed - kernels == expected
    # made where there is a compiler, as there is wherever these tests run on x86
    made_here = sys.platform == "linux" and platform.machine() == "x86_64"
    assert len(kernels) == int(made_here)


def test_it_holds_the_model_the_sample_and_the_recipes(wheel):
    names = set(wheel.namelist())
    for part in ("parrotlet.json", "model.onnx", "tokenizer.json", "README.md"):
        assert f"parrotlet_server/models/default/{part}" in names
    assert "parrotlet_training/recipes/cpu-9m.yaml" in names
    for package in ("server", "tokenizer", "training"):
        assert f"parrotlet_{package}/py.typed" in names
    assert sum(item.file_size for item in wheel.infolist()) < 55 * 2**20


def test_a_plain_install_asks_for_no_torch(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith("METADATA")]
    metadata = Parser().parsestr(wheel.read(name).decode())
    plain = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert {line.split(">")[0].replace("-", "_") for line in plain} == {
        "huggingface_hub",
        "numpy",
        "onnx",
        "onnxruntime",
        "pathspec",
        "platformdirs",
        "pygls",
        "safetensors",
        "tokenizers",
        "tree_sitter",
        "tree_sitter_python",
    }
    assert metadata["License-Expression"] == "Apache-2.0"
    (entry,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert "parrotlet = parrotlet_server.cli:main" in wheel.read(entry).decode()
    licences = [name for name in wheel.namelist() if "/licenses/" in name]
    assert {name.rsplit("/", 1)[1] for name in licences} == {"LICENSE", "NOTICE"}


def test_the_serving_path_imports_nothing_of_training():
    script = (
        "import sys, parrotlet_server.lsp.server, parrotlet_server.engine\n"
        "heavy = {'torch', 'transformers', 'pyarrow', 'yaml', 'parrotlet_training'}\n"
        "sys.exit(str(heavy & sys.modules.keys()) if heavy & sys.modules.keys() else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
