"""The kernels: what ONNX Runtime gives, to within rounding, and the same bits in any pass."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import parrotlet_server
from parrotlet_server.backends.native import NativeBackend, UnavailableError, backend
from parrotlet_server.backends.native.build import compile_kernels
from parrotlet_server.backends.onnx import OnnxBackend
from parrotlet_server.backends.processor import KERNELS, open_backend
from parrotlet_server.bundle import BundleError, open_bundle
from parrotlet_server.bundle.export import export_checkpoint
from parrotlet_server.bundle.initialisers import initialisers
from parrotlet_server.engine import Engine, Request

from ..support.tiny_model import DOCUMENTS, tiny_bundle

LEVELS = backend.levels()
DEFAULT = Path(parrotlet_server.__file__).parent / "models/default"

INFORMATION = Path("/proc/cpuinfo")
CAN_RUN = INFORMATION.exists() and {"avx2", "fma"} <= set(INFORMATION.read_text().split())

# of the processor, not of whether they were built: where they can run they must be there
pytestmark = pytest.mark.skipif(not CAN_RUN, reason="kernels are for x86 processors with AVX2")


@pytest.fixture(scope="module", params=LEVELS)
def level(request):
    return request.param


@pytest.fixture(scope="module")
def default():
    return open_bundle(DEFAULT)


@pytest.fixture(scope="module")
def ids(default):
    text = "".join(DOCUMENTS.values())
    return default.tokenizer.encode(text)[:600]


@pytest.fixture(scope="module")
def kernels(default, level):
    return NativeBackend(default, 2, level)


@pytest.fixture(scope="module")
def whole(kernels, ids):
    """Logits of all rows, read at once."""
    return kernels.evaluate_rows(kernels.new_state(), 0, ids, len(ids))


def test_they_are_built_where_they_can_run():
    assert LEVELS


def test_the_default_model_is_run_by_the_best_level(default):
    assert NativeBackend(default).level == LEVELS[0]
    assert isinstance(Engine.load().backend, NativeBackend)


def test_rows_are_those_of_onnx_runtime_but_for_rounding(default, whole, ids):
    """The head rounds by the row here and there; else only floats' sums differ."""
    other = OnnxBackend(default.model_file, 1)
    theirs = other.evaluate_rows(other.new_state(), 0, ids, len(ids))
    assert np.isfinite(whole).all()
    assert np.abs(whole - theirs).mean() < 0.03 * theirs.std()
    assert (whole.argmax(axis=1) == theirs.argmax(axis=1)).mean() > 0.97


@pytest.mark.parametrize(
    "shape",
    [
        {"width": 64, "heads": 2},  # heads of 32, tiles that do not fill up
        {"width": 64, "heads": 1, "layers": 1},
        {"width": 96, "heads": 3, "inner": 400},  # blocks of 32
        {"width": 128, "heads": 2, "context_length": 64},
        {"width": 320, "heads": 5, "inner": 1296},
    ],
)
def test_other_shapes(make_checkpoint, tmp_path, level, shape):
    bundle = export_checkpoint(make_checkpoint(tmp_path / "checkpoint", **shape), tmp_path / "b")
    ours, theirs = NativeBackend(bundle, 1, level), OnnxBackend(bundle.model_file, 1)
    size = bundle.manifest.architecture.context_length
    tokens = np.random.default_rng(0).integers(0, 640, size).tolist()
    rows = [one.evaluate_rows(one.new_state(), 0, tokens, size) for one in (ours, theirs)]
    assert np.corrcoef(rows[0].ravel(), rows[1].ravel())[0, 1] > 0.995
    assert np.abs(rows[0] - rows[1]).mean() < 0.1 * rows[1].std()
    # token by token, by threads some of which have no head of their own
    few = NativeBackend(bundle, 5, level)
    state = few.new_state()
    for at, token in enumerate(tokens[:70]):
        assert np.array_equal(few.evaluate(state, at, [token]), rows[0][at])


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_row_is_the_same_to_the_bit_in_any_pass(kernels, whole, ids, data):
    """Whatever is read with it, on however many threads, after what was cut off again."""
    state = kernels.new_state()
    at = 0
    while at < len(ids):
        size = data.draw(st.one_of(st.integers(1, 20), st.integers(1, 300)), label="tokens")
        size = min(size, len(ids) - at)
        wanted = data.draw(st.integers(1, size), label="rows")
        if data.draw(st.booleans(), label="a draft that is wrong"):
            wrong = ids[::-1][: min(5, kernels.context_length - at)]
            kernels.evaluate(state, at, wrong)
        rows = kernels.evaluate_rows(state, at, ids[at : at + size], wanted)
        np.testing.assert_array_equal(rows, whole[at + size - wanted : at + size])
        at += size
    assert state.tokens == ids


@pytest.mark.parametrize("threads", [1, 3, 16, 40])
def test_threads_change_nothing(default, level, whole, ids, threads):
    other = NativeBackend(default, threads, level)
    assert other.threads <= 16
    rows = other.evaluate_rows(other.new_state(), 0, ids[:100], 100)
    np.testing.assert_array_equal(rows, whole[:100])


def test_states_are_apart_and_callers_take_turns(kernels, whole, ids):
    """From several Python threads at once."""
    found = {}

    def read(number):
        state = kernels.new_state()
        begin = 10 * number
        found[number] = [
            kernels.evaluate(state, at, ids[begin + at : begin + at + 1]) for at in range(20)
        ]

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(found[0], whole[:20])
    for number in range(1, 4):
        alone = kernels.evaluate_rows(
            kernels.new_state(), 0, ids[10 * number : 10 * number + 20], 20
        )
        np.testing.assert_array_equal(found[number], alone)


def test_the_whole_context_is_read(kernels, ids):
    size = kernels.context_length
    tokens = (ids * 4)[:size]
    state = kernels.new_state()
    assert kernels.evaluate_rows(state, 0, tokens, 3).shape == (3, kernels.vocabulary_size)
    with pytest.raises(ValueError, match="exceed the context"):
        kernels.evaluate(state, size, [1])
    with pytest.raises(ValueError, match="ids lie between"):
        kernels.evaluate(state, 0, [kernels.vocabulary_size])
    assert state.tokens == tokens


def test_an_idle_model_uses_no_processor(kernels, ids):
    kernels.evaluate(kernels.new_state(), 0, ids[:50])
    time.sleep(0.2)
    process = psutil.Process()
    before = sum(process.cpu_times()[:2])
    time.sleep(0.5)
    assert sum(process.cpu_times()[:2]) - before < 0.1


def test_threads_end_with_the_model(default, level):
    before = psutil.Process().num_threads()
    for _ in range(5):
        one = NativeBackend(default, 4, level)
        one.evaluate(one.new_state(), 0, [1, 2, 3])
        del one
    assert psutil.Process().num_threads() <= before


def test_suggestions_are_the_same_with_drafts_and_without(default):
    text = DOCUMENTS["inventory.py"]
    for speculate in (False, True):
        engine = Engine(NativeBackend(default, 2), default.tokenizer, default, speculate=speculate)
        found = [
            engine.complete(Request(text[:at], text[text.find("\n", at) :], "inventory.py"))
            for at in range(60, len(text), 40)
        ]
        texts = [one.suggestion and (one.suggestion.text, one.suggestion.score) for one in found]
        if not speculate:
            plain = texts
    assert texts == plain
    assert any(texts)


class TestWhereTheyCannotRun:
    def test_a_model_at_32_bits_is_onnx_runtimes(self, random_checkpoint, tmp_path):
        bundle = export_checkpoint(random_checkpoint, tmp_path / "exact", bits=32)
        with pytest.raises(UnavailableError, match="shape"):
            NativeBackend(bundle, 1)
        assert isinstance(open_backend(bundle, 1), OnnxBackend)

    def test_heads_of_another_size(self, make_checkpoint, tmp_path):
        folder = make_checkpoint(tmp_path / "checkpoint", width=64, heads=4)
        bundle = export_checkpoint(folder, tmp_path / "bundle")
        assert isinstance(open_backend(bundle, 1), OnnxBackend)

    def test_they_were_not_built(self, monkeypatch, tmp_path):
        monkeypatch.setattr(backend, "__file__", str(tmp_path / "backend.py"))
        backend._library.cache_clear()
        try:
            assert backend.levels() == []
            assert isinstance(open_backend(open_bundle(tiny_bundle()), 1), OnnxBackend)
            name = f"kernel-{sys.platform}-{os.uname().machine}.so"
            (tmp_path / name).write_bytes(b"\x7fELF, but no library")
            with pytest.raises(UnavailableError, match="do not load"):
                NativeBackend(open_bundle(tiny_bundle()), 1)
        finally:
            backend._library.cache_clear()

    def test_the_user_does_not_want_them(self, monkeypatch):
        bundle = open_bundle(tiny_bundle())
        assert isinstance(open_backend(bundle, 1), NativeBackend)
        monkeypatch.setenv(KERNELS, "0")
        assert isinstance(open_backend(bundle, 1), OnnxBackend)

    def test_a_level_that_the_processor_lacks(self, default):
        with pytest.raises(UnavailableError, match="avx1024"):
            NativeBackend(default, 1, "avx1024")

    @pytest.mark.parametrize("block", [64, 32.0, 48, None])
    def test_blocks_that_do_not_fit(self, make_checkpoint, tmp_path, block):
        folder = make_checkpoint(tmp_path / "checkpoint", width=96, heads=3)
        bundle = export_checkpoint(folder, tmp_path / "bundle")
        changed = dataclasses.replace(bundle.manifest, block=block)
        with pytest.raises(UnavailableError, match="shape"):
            NativeBackend(dataclasses.replace(bundle, manifest=changed), 1)

    def test_a_state_of_another_model(self, default, ids):
        other = NativeBackend(open_bundle(tiny_bundle()), 1)
        with pytest.raises(ValueError, match="another model"):
            NativeBackend(default, 1).evaluate(other.new_state(), 0, ids[:3])


ENDING = """
import sys, threading, time
from parrotlet_server.backends.native import NativeBackend
from parrotlet_server.bundle import open_bundle
from pathlib import Path
model = NativeBackend(open_bundle(Path(sys.argv[1])), 2)
def work():
    while True:
        model.evaluate(model.new_state(), 0, list(range(500)))
threading.Thread(target=work, daemon=True).start()
time.sleep(0.1)
"""

FORKING = """
import os, sys
from parrotlet_server.backends.native import NativeBackend
from parrotlet_server.bundle import open_bundle
from pathlib import Path
model = NativeBackend(open_bundle(Path(sys.argv[1])), 2)
before = model.evaluate(model.new_state(), 0, list(range(50)))
if os.fork() == 0:
    same = (model.evaluate(model.new_state(), 0, list(range(50))) == before).all()
    del model
    os._exit(0 if same else 3)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.mark.parametrize("program", [ENDING, FORKING], ids=["a thread is inside", "a fork"])
def test_processes_end(program):
    command = [sys.executable, "-c", program, str(DEFAULT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


class TestBuilding:
    def test_from_the_sources(self, tmp_path):
        compile_kernels(tmp_path / "kernel.so")
        assert (tmp_path / "kernel.so").stat().st_size > 10_000

    def test_without_a_compiler(self, tmp_path, monkeypatch):
        monkeypatch.setenv("CC", "no-such-compiler")
        with pytest.raises(OSError, match="no compiler no-such-compiler"):
            compile_kernels(tmp_path / "kernel.so")
        monkeypatch.setenv("CC", "'cc")
        with pytest.raises(OSError, match="CC cannot be read"):
            compile_kernels(tmp_path / "kernel.so")
        monkeypatch.setenv("CC", "false")
        with pytest.raises(subprocess.CalledProcessError):
            compile_kernels(tmp_path / "kernel.so")
        assert not list(tmp_path.iterdir())


class TestDamagedBundles:
    """Whose checksums are right: somebody made them so."""

    def bundle(self, tmp_path, change):
        import onnx
        from onnx import numpy_helper

        source = open_bundle(tiny_bundle())
        model = onnx.load(source.model_file)
        for tensor in model.graph.initializer:
            values = change(tensor.name, numpy_helper.to_array(tensor))
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        file = tmp_path / "model.onnx"
        onnx.save(model, file)
        return type(source)(tmp_path, source.manifest)

    @pytest.mark.parametrize(
        ("name", "change"),
        [
            ("h.0.attn.c_attn.weight.quantised", lambda v: v[:-1]),
            ("h.1.mlp.c_fc.bias", lambda v: v.astype(np.float64).astype(np.int64)),
            ("h.0.mlp.c_proj.step", lambda v: v * 0),
            ("wpe.weight", lambda v: v[:, :-1]),
            ("ln_f.weight", lambda v: v[:0]),
        ],
    )
    def test_a_tensor_of_another_size_is_refused(self, tmp_path, name, change):
        bundle = self.bundle(tmp_path, lambda n, v: change(v) if n == name else v)
        with pytest.raises(BundleError, match=name.replace(".", r"\.")):
            NativeBackend(bundle, 1)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -3e38])
    def test_wild_numbers_do_no_harm(self, tmp_path, value, level):
        def change(name, values):
            return np.full_like(values, value) if name == "h.0.ln_1.weight" else values

        one = NativeBackend(self.bundle(tmp_path, change), 2, level)
        one.evaluate_rows(one.new_state(), 0, list(range(50)), 50)

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=60), st.integers(0, 2**20))
    def test_no_bytes_break_the_reader(self, content, at):
        file = tiny_bundle() / "model.onnx"
        whole = bytearray(file.read_bytes())
        whole[at % len(whole) : at % len(whole) + len(content)] = content
        broken = file.with_name(f"broken-{os.getpid()}.onnx")
        try:
            for text in (content, bytes(whole)):
                broken.write_bytes(text)
                with suppress(BundleError):
                    initialisers(broken)
        finally:
            broken.unlink()


def test_all_tensors_are_read_as_onnx_reads_them():
    import onnx
    from onnx import numpy_helper

    file = DEFAULT / "model.onnx"
    found = initialisers(file)
    tensors = {t.name: numpy_helper.to_array(t) for t in onnx.load(file).graph.initializer}
    assert found.keys() == tensors.keys()
    for name, values in tensors.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == values.dtype
