import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper, numpy_helper

from parrotlet_server.bundle.quantise import (
    Quantised,
    block_size,
    dequantise,
    dequantise_columns,
    quantise,
    quantise_columns,
)

weights = arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.sampled_from([64, 128])),
    elements=st.floats(-100, 100, width=32),
)


@given(weights)
@settings(max_examples=60, deadline=None)
def test_no_weight_moves_by_more_than_a_step_of_its_block(weight):
    quantised = quantise(weight, 64)
    steps = np.repeat(np.abs(quantised.scales), 64, axis=1)
    # half a step is the rule; the counterpart of the block's extreme is clipped by up to a whole
    assert (np.abs(dequantise(quantised) - weight) <= steps * 1.0001 + 1e-34).all()
    extreme = np.abs(weight.reshape(len(weight), -1, 64)).max(axis=2)
    kept = np.abs(dequantise(quantised).reshape(len(weight), -1, 64)).max(axis=2)
    assert np.array_equal(kept, np.where(extreme < 1e-35, 0, extreme))


@given(weights)
@settings(max_examples=60, deadline=None)
def test_what_was_dequantised_quantises_to_the_same_bytes(weight):
    once = quantise(weight, 64)
    twice = quantise(dequantise(once), 64)
    assert np.array_equal(once.bytes, twice.bytes)
    assert np.array_equal(once.scales, twice.scales)


@given(weights)
@settings(max_examples=60, deadline=None)
def test_no_weight_moves_by_more_than_a_step_of_its_output(weight):
    columns = quantise_columns(weight)
    assert columns.bytes.shape == weight.shape
    assert columns.scales.shape == weight.shape[1:]
    steps = np.abs(columns.scales)
    once = dequantise_columns(columns)
    assert (np.abs(once - weight) <= steps * 1.0001 + 1e-34).all()
    extreme = np.abs(weight).max(axis=0)
    assert np.array_equal(np.abs(once).max(axis=0), np.where(extreme < 1e-35, 0, extreme))
    twice = quantise_columns(once)
    assert np.array_equal(columns.bytes, twice.bytes)
    assert np.array_equal(columns.scales, twice.scales)


def test_blocks_of_zeros_and_of_subnormal_weights_count_as_zero():
    weight = np.zeros((2, 32), np.float32)
    weight[1, 3] = 1e-40
    quantised = quantise(weight, 16)
    assert (quantised.bytes == 128).all()
    assert not dequantise(quantised).any()


@pytest.mark.parametrize(
    ("inputs", "block"),
    [(256, 64), (96, 32), (48, 16), (40, None)],
)
def test_the_block_divides_the_width(inputs, block):
    assert block_size(inputs) == block


@pytest.mark.parametrize(("width", "block"), [(256, 64), (96, 32), (48, 16)])
def test_onnx_runtime_reads_the_blocks_as_they_were_written(width, block):
    random = np.random.default_rng(1)
    weight = random.standard_normal((80, width)).astype(np.float32)
    value = random.standard_normal((3, width)).astype(np.float32)
    quantised = quantise(weight, block)
    exact = value @ dequantise(quantised).T
    scale = exact.std()
    assert np.abs(_matmul_bits(value, quantised, 0) - exact).max() < 1e-5 * scale
    # at level 4 the values are rounded to 8 bits as well
    assert np.abs(_matmul_bits(value, quantised, 4) - exact).max() < 0.03 * scale


def _matmul_bits(value, quantised: Quantised, level: int):
    outputs, blocks, block = quantised.bytes.shape
    node = helper.make_node(
        "MatMulNBits",
        ["value", "bytes", "scales"],
        ["out"],
        domain="com.microsoft",
        K=blocks * block,
        N=outputs,
        bits=8,
        block_size=block,
        accuracy_level=level,
    )
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("value", TensorProto.FLOAT, value.shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(quantised.bytes, "bytes"),
            numpy_helper.from_array(quantised.scales, "scales"),
        ],
    )
    domains = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=domains, ir_version=10)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"value": value})[0]
