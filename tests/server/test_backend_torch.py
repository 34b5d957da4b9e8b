"""PyTorch behind the interface that ONNX Runtime stands behind."""

import subprocess
import sys

import numpy as np
import pytest

from parrotlet_server.backends.onnx import OnnxBackend
from parrotlet_server.backends.options import BackendOptions
from parrotlet_server.bundle import BundleError
from parrotlet_server.bundle.checkpoint import read_checkpoint
from parrotlet_server.bundle.export import export_checkpoint
from parrotlet_server.engine import Request
from parrotlet_server.engine.completer import open_completer

from ..support.tiny_model import DOCUMENTS

CONTEXT = 256


@pytest.fixture(scope="module")
def backend(random_checkpoint):
    from parrotlet_server.backends.torch import TorchBackend

    content = read_checkpoint(random_checkpoint)
    return TorchBackend(content.architecture, content.tensors, "cpu")


@pytest.fixture(scope="module")
def exact(random_checkpoint, tmp_path_factory):
    bundle = export_checkpoint(random_checkpoint, tmp_path_factory.mktemp("f32") / "b", bits=32)
    return OnnxBackend(bundle.model_file, 1)


@pytest.fixture(scope="module")
def ids(backend):
    return np.random.default_rng(3).integers(0, backend.vocabulary_size, CONTEXT).tolist()


def test_the_logits_are_those_of_onnx_runtime(backend, exact, ids):
    ours = backend.evaluate_rows(backend.new_state(), 0, ids, len(ids))
    theirs = exact.evaluate_rows(exact.new_state(), 0, ids, len(ids))
    assert ours.dtype == np.float32
    assert np.abs(ours - theirs).max() < 1e-4 * theirs.std()


def test_in_pieces_cut_back_and_gone_on(backend, ids):
    state = backend.new_state()
    for start, end in ((0, 1), (1, 100), (100, 101), (101, 200)):
        logits = backend.evaluate(state, start, ids[start:end])
        assert state.tokens == ids[:end]
    whole = backend.evaluate(backend.new_state(), 0, ids[:200])
    assert np.allclose(logits, whole, rtol=0, atol=1e-4 * whole.std())
    other = ids[::-1][:30]
    logits = backend.evaluate(state, 50, other)
    fresh = backend.evaluate(backend.new_state(), 0, ids[:50] + other)
    assert np.allclose(logits, fresh, rtol=0, atol=1e-4 * fresh.std())
    logits[:] = 0  # may be written to


@pytest.mark.parametrize(
    ("keep", "tokens", "rows", "message"),
    [
        (3, [], 1, "0 new tokens"),
        (4, [1], 1, "cannot keep 4 of 3"),
        (3, [99_999], 1, "ids lie between"),
        (3, [1, 2], 3, "rows of logits"),
        (0, [1] * (CONTEXT + 1), 1, "exceed the context"),
    ],
)
def test_what_makes_no_sense_is_refused(backend, keep, tokens, rows, message):
    state = backend.new_state()
    backend.evaluate(state, 0, [5, 6, 7])
    with pytest.raises(ValueError, match=message):
        backend.evaluate_rows(state, keep, tokens, rows)
    assert state.tokens == [5, 6, 7]


def test_the_engine_completes_with_it(bundle, engine):
    torch_engine = open_completer(BackendOptions("torch", str(bundle), device="cpu"))
    for path, text in DOCUMENTS.items():
        for at in (text.index("(") + 1, text.index("return") + 4 if "return" in text else 40):
            request = Request(text[:at], text[text.find("\n", at) :], path=path)
            ours, theirs = torch_engine.complete(request), engine.complete(request)
            assert ours.reason == theirs.reason
            assert (ours.suggestion and ours.suggestion.text) == (
                theirs.suggestion and theirs.suggestion.text
            )


def test_a_device_that_is_not_there(bundle):
    with pytest.raises(BundleError, match="cannot use the device 'cuda:99'") as caught:
        open_completer(BackendOptions("torch", str(bundle), device="cuda:99"))
    assert "\n" not in str(caught.value)


def test_nothing_else_imports_torch():
    code = (
        "import sys; from parrotlet_server.engine.completer import open_completer; "
        "from parrotlet_server.backends.options import BackendOptions; "
        "open_completer(BackendOptions()); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "False", done.stderr
