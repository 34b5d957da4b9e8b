import shutil

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from parrotlet_server.backends.onnx import OnnxBackend
from parrotlet_server.backends.overflow import PRODUCT, sums_overflow
from parrotlet_server.bundle.calibrate import ROWS, _best, calibrate, calibration_rows
from parrotlet_server.bundle.checkpoint import read_checkpoint
from parrotlet_server.bundle.export import export_checkpoint, restore_checkpoint
from parrotlet_server.bundle.graph import EightBits, build_graph
from parrotlet_tokenizer.specials import FIM_SUFFIX_ID, QUALITY, SPECIAL_IDS


@pytest.fixture(scope="module")
def checkpoint(random_checkpoint):
    return read_checkpoint(random_checkpoint)


@pytest.fixture(scope="module")
def ranges(checkpoint):
    rows = calibration_rows(checkpoint.tokenizer, 200)
    return calibrate(checkpoint.architecture, checkpoint.tensors, rows)


def test_rows_are_prompts_of_code_half_of_them_with_a_suffix(checkpoint):
    rows = calibration_rows(checkpoint.tokenizer, 200, quality=4)
    assert len(rows) == ROWS
    assert {len(row) for row in rows} == {200}
    assert {row[0] for row in rows} == {SPECIAL_IDS[QUALITY[4]]}
    assert sum(FIM_SUFFIX_ID in row for row in rows) == ROWS // 2
    assert len({tuple(row) for row in rows}) == ROWS


def test_each_matrix_has_a_range(checkpoint, ranges):
    parts = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    layers = range(checkpoint.architecture.layers)
    assert set(ranges) == {f"h.{layer}.{part}" for layer in layers for part in parts}
    for name, (low, high) in ranges.items():
        assert low < 0 < high, name
        if name.endswith("mlp.c_proj"):
            assert low > -0.18  # no GELU is less


def test_what_lies_in_its_range_is_told_apart_and_the_rest_is_cut_off(checkpoint, ranges, tmp_path):
    """Wider ranges, coarser steps: the logits move away from those of exact inputs."""
    shape, tensors = checkpoint.architecture, checkpoint.tensors
    ids = calibration_rows(checkpoint.tokenizer, 150)[3]

    def logits(name, rounding):
        file = tmp_path / f"{name}.onnx"
        onnx.save(build_graph(shape, tensors, rounding), file)
        backend = OnnxBackend(file, threads=1)
        return backend.evaluate_rows(backend.new_state(), 0, ids, len(ids)).copy()

    exact = logits("exact", None)
    errors = [
        np.abs(logits(f"{factor}", EightBits(64, scaled(ranges, factor))) - exact).mean()
        for factor in (1, 8, 0.05)
    ]
    assert errors[0] < 0.05 * exact.std()
    assert errors[1] > 2 * errors[0]
    assert errors[2] > 2 * errors[0]


def scaled(ranges, factor):
    return {name: (low * factor, high * factor) for name, (low, high) in ranges.items()}


@given(st.floats(-100, 0), st.floats(0, 100), st.integers(0, 2**32), st.floats(0.1, 5))
@settings(max_examples=20, deadline=None)
def test_no_range_is_wider_than_the_values(low, high, seed, shape):
    counts = np.random.default_rng(seed).pareto(shape, 2048).round()
    lower, upper = _best(counts, low, high)
    assert low <= lower <= 0 <= upper <= high


def test_a_rare_large_value_is_cut_off_and_a_frequent_one_is_not():
    counts = np.zeros(2048)
    counts[:300] = 30_000  # up to 15 % of the largest
    counts[-1] = 1
    assert _best(counts, 0, 10)[1] < 5
    counts[-1] = 10_000_000
    assert _best(counts, 0, 10)[1] > 9.9


def test_values_that_are_all_zero_have_a_range_too(checkpoint, tmp_path):
    """A layer whose attention writes nothing."""
    tensors = dict(checkpoint.tensors)
    for part in ("weight", "bias"):
        tensors[f"h.1.mlp.c_fc.{part}"] = np.zeros_like(tensors[f"h.1.mlp.c_fc.{part}"])
    rows = calibration_rows(checkpoint.tokenizer, 60)
    found = calibrate(checkpoint.architecture, tensors, rows)
    assert found["h.1.mlp.c_proj"] == (0, 0)
    file = tmp_path / "model.onnx"
    onnx.save(build_graph(checkpoint.architecture, tensors, EightBits(64, found)), file)
    backend = OnnxBackend(file, threads=1)
    assert np.isfinite(backend.evaluate(backend.new_state(), 0, rows[0])).all()


def test_what_was_restored_is_exported_to_the_same_model(random_bundle, tmp_path):
    restore_checkpoint(random_bundle, tmp_path / "restored")
    again = export_checkpoint(tmp_path / "restored", tmp_path / "again")
    assert again.model_file.read_bytes() == (random_bundle / "model.onnx").read_bytes()
    shutil.rmtree(tmp_path / "again")


def test_the_probe_is_one_product():
    """Of unsigned and signed bytes, as the graph's own are."""
    node = helper.make_node("MatMulInteger", ["a", "b"], ["y"])
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        "p",
        [info("a", TensorProto.UINT8, None), info("b", TensorProto.INT8, None)],
        [info("y", TensorProto.INT32, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    model.producer_name = ""
    assert onnx.load_from_string(PRODUCT).SerializeToString() == model.SerializeToString()


def test_products_of_the_largest_bytes_are_exact_where_the_engine_runs_them(checkpoint, tmp_path):
    """Weights and inputs at their extremes, where sums in 16 bits would overflow."""
    assert isinstance(sums_overflow(), bool)
    shape = checkpoint.architecture
    tensors = {
        name: np.where(tensor < 0, np.float32(-0.5), np.float32(0.5))
        for name, tensor in checkpoint.tensors.items()
    }
    rows = calibration_rows(checkpoint.tokenizer, 100)
    rounding = EightBits(64, calibrate(shape, tensors, rows))
    onnx.save(build_graph(shape, tensors, rounding), tmp_path / "eight.onnx")
    onnx.save(build_graph(shape, tensors, None), tmp_path / "exact.onnx")
    eight, exact = (
        (backend := OnnxBackend(tmp_path / name, threads=1)).evaluate_rows(
            backend.new_state(), 0, rows[0], 100
        )
        for name in ("eight.onnx", "exact.onnx")
    )
    assert np.corrcoef(eight.ravel(), exact.ravel())[0, 1] > 0.98
