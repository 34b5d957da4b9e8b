"""A model that loads and then fails at its work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

from parrotlet_server.backends.processor import KERNELS
from parrotlet_server.bundle.manifest import MANIFEST_FILE, sha256

from ..support.lsp_client import client

URI = "file:///home/ada/shapes.py"
SHORT = "x = "
LONG = "def square_area(side):\n    return side * side\n\n" * 20 + SHORT
POSITIONS = 64


@pytest.fixture
def failing(model, tmp_path):
    """A bundle, whole by its checksums, whose graph cannot read more than `POSITIONS` tokens."""
    folder = tmp_path / "bundle"
    shutil.copytree(model, folder)
    graph = onnx.load(folder / "model.onnx")
    [table] = [one for one in graph.graph.initializer if "wpe" in one.name]
    rows = numpy_helper.to_array(table)[:POSITIONS]
    table.CopyFrom(numpy_helper.from_array(rows, table.name))
    onnx.save(graph, folder / "model.onnx")
    manifest = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    file = folder / "model.onnx"
    manifest["files"]["model.onnx"] = {"bytes": file.stat().st_size, "sha256": sha256(file)}
    Path(folder / MANIFEST_FILE).write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def test_a_model_that_fails_is_told_and_forgiven(failing, monkeypatch):
    monkeypatch.setenv(KERNELS, "0")  # which would refuse it when it is loaded
    with client("--model", str(failing)) as session:
        session.start(rootUri="file:///home/ada")
        session.open(URI, LONG)
        line, column = LONG.count("\n"), len(SHORT)
        for _ in range(2):
            assert not session.inline(URI, line, column)
        session.wait_for_state("error")
        status = session.notifications("parrotlet/status")[-1]
        assert "the model fails" in status["message"]
        assert "parrotlet doctor" in status["remedy"]
        session.change(URI, ((0, 0), (line, 0), ""))
        session.inline(URI, 0, column)
        session.wait_for_state("ready")
        session.change(URI, ((0, 0), (0, 0), LONG[: -len(SHORT)]))
        assert not session.inline(URI, line, column)
        session.wait_for_state("error")
        shown = [message["message"] for message in session.notifications("window/showMessage")]
        assert len(shown) == 2  # once for each time that it began to fail
        assert all(text.startswith("Parrotlet: the model fails") for text in shown)
        assert session.shut_down() == 0
        assert "Traceback" not in session.stderr()
