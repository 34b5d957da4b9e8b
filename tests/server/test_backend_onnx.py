import time

import numpy as np
import onnx
import pytest

from parrotlet_server.backends.onnx import OnnxBackend
from parrotlet_server.backends.threads import MOST, default_threads
from parrotlet_server.bundle import BundleError
from parrotlet_server.bundle.export import export_checkpoint, restore_checkpoint

CONTEXT = 256


@pytest.fixture(scope="module")
def backend(random_bundle):
    return OnnxBackend(random_bundle / "model.onnx", threads=1)


@pytest.fixture(scope="module")
def ids(backend):
    return np.random.default_rng(3).integers(0, backend.vocabulary_size, CONTEXT).tolist()


def torch_logits(folder, ids):
    """Logits after each of `ids`, by transformers."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].numpy()


@pytest.fixture(scope="module", params=[(64, 2), (128, 4), (96, 3), (48, 3)])
def torch_checkpoint(request, tokenizer, tmp_path_factory):
    """A random GPT-2 as transformers itself saves it; its biases are not zero."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    width, heads = request.param
    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=tokenizer.vocabulary_size,
            n_positions=CONTEXT,
            n_embd=width,
            n_layer=2,
            n_head=heads,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    folder = tmp_path_factory.mktemp("torch") / "checkpoint"
    model.save_pretrained(folder)
    tokenizer.save(folder, CONTEXT)
    return folder


def test_at_32_bits_the_logits_are_those_of_transformers(torch_checkpoint, ids, tmp_path):
    export_checkpoint(torch_checkpoint, tmp_path / "bundle", bits=32)
    ours = OnnxBackend(tmp_path / "bundle/model.onnx", threads=1)
    logits = ours.evaluate_rows(ours.new_state(), 0, ids, len(ids))
    theirs = torch_logits(torch_checkpoint, ids)
    assert np.abs(logits - theirs).max() < 1e-4 * theirs.std()


def test_at_8_bits_only_the_rounding_of_activations_is_left(torch_checkpoint, ids, tmp_path):
    """Against transformers on the same weights. Measured: 2 % on average, 31 % at most."""
    export_checkpoint(torch_checkpoint, tmp_path / "bundle", bits=8)
    restore_checkpoint(tmp_path / "bundle", tmp_path / "restored")
    ours = OnnxBackend(tmp_path / "bundle/model.onnx", threads=1)
    logits = ours.evaluate_rows(ours.new_state(), 0, ids, len(ids))
    theirs = torch_logits(tmp_path / "restored", ids)
    difference = np.abs(logits - theirs) / theirs.std()
    assert difference.mean() < 0.03
    assert difference.max() < 0.5


def test_a_prompt_read_in_pieces_gives_what_it_gives_at_once(backend, ids):
    whole = backend.evaluate(backend.new_state(), 0, ids)
    state = backend.new_state()
    for start, end in ((0, 1), (1, 100), (100, 101), (101, 164), (164, CONTEXT)):
        logits = backend.evaluate(state, start, ids[start:end])
        assert state.tokens == ids[:end]
    assert np.allclose(logits, whole, rtol=0, atol=1e-4 * whole.std())


def test_each_row_is_that_of_its_token(backend, ids):
    rows = backend.evaluate_rows(backend.new_state(), 0, ids[:50], 8)
    assert rows.shape == (8, backend.vocabulary_size)
    assert rows.dtype == np.float32
    for offset in (0, 3, 7):
        one = backend.evaluate(backend.new_state(), 0, ids[: 43 + offset])
        assert np.allclose(rows[offset], one, rtol=0, atol=1e-4 * one.std())


def test_a_cut_state_goes_on_as_if_the_rest_had_never_been(backend, ids):
    state = backend.new_state()
    backend.evaluate(state, 0, ids)
    other = ids[::-1][:40]
    ours = backend.evaluate(state, 100, other)
    assert state.tokens == ids[:100] + other
    fresh = backend.evaluate(backend.new_state(), 0, ids[:100] + other)
    assert np.allclose(ours, fresh, rtol=0, atol=1e-4 * fresh.std())
    again = backend.evaluate(state, 0, ids[:1])
    assert state.tokens == ids[:1]
    assert np.allclose(again, backend.evaluate(backend.new_state(), 0, ids[:1]), atol=1e-5)


def test_states_do_not_disturb_each_other(backend, ids):
    one, two = backend.new_state(), backend.new_state()
    alone = backend.evaluate(backend.new_state(), 0, ids[:60])
    backend.evaluate(one, 0, ids[:59])
    backend.evaluate(two, 0, ids[100:180])
    assert np.allclose(backend.evaluate(one, 59, ids[59:60]), alone, atol=1e-4 * alone.std())


def test_logits_are_the_callers_own(backend, ids):
    state = backend.new_state()
    first = backend.evaluate(state, 0, ids[:5])
    copy = first.copy()
    backend.evaluate(state, 5, ids[5:6])
    assert np.array_equal(first, copy)
    first[0] = -np.inf  # may be written to
    assert np.array_equal(backend.evaluate(state, 0, ids[:5]), copy)


def test_the_whole_context_can_be_used_and_no_more(backend, ids):
    state = backend.new_state()
    backend.evaluate(state, 0, ids[:-1])
    backend.evaluate(state, CONTEXT - 1, ids[-1:])
    assert len(state.tokens) == CONTEXT
    with pytest.raises(ValueError, match="257 tokens exceed the context of 256"):
        backend.evaluate(state, CONTEXT, [1])
    assert state.tokens == ids
    backend.evaluate(state, CONTEXT - 1, [1])


@pytest.mark.parametrize(
    ("keep", "tokens", "message"),
    [
        (3, [], "0 new tokens"),
        (4, [1], "cannot keep 4 of 3"),
        (-1, [1], "cannot keep -1"),
        (3, [99_999], "ids lie between"),
        (3, [-1], "ids lie between"),
        (0, list(range(CONTEXT + 1)), "exceed the context"),
    ],
)
def test_what_makes_no_sense_is_refused_and_the_state_stays(backend, keep, tokens, message):
    state = backend.new_state()
    expected = backend.evaluate(state, 0, [5, 6, 7])
    with pytest.raises(ValueError, match=message):
        backend.evaluate(state, keep, tokens)
    assert state.tokens == [5, 6, 7]
    assert np.allclose(backend.evaluate(state, 2, [7]), expected, atol=1e-5)


@pytest.mark.parametrize("rows", [0, 4, -1])
def test_only_rows_of_new_tokens_can_be_had(backend, rows):
    with pytest.raises(ValueError, match="rows of logits"):
        backend.evaluate_rows(backend.new_state(), 0, [5, 6, 7], rows)


def test_an_idle_model_takes_no_processor_time(random_bundle, ids):
    backend = OnnxBackend(random_bundle / "model.onnx", threads=2)
    backend.evaluate(backend.new_state(), 0, ids)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.03  # threads that spin on would take 0.05


def test_a_file_that_is_no_model_is_said_in_one_line(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"nonsense")
    with pytest.raises(BundleError, match="does not load") as caught:
        OnnxBackend(tmp_path / "model.onnx")
    assert "\n" not in str(caught.value)


def graph(*inputs, external=None):
    """A graph with inputs of these names and shapes, which gives the sum of its one weight."""
    weight = onnx.numpy_helper.from_array(np.zeros((4, 4), np.float32), "weight")
    if external is not None:
        weight.ClearField("raw_data")
        weight.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", external), ("offset", "0"), ("length", "64")):
            entry = weight.external_data.add()
            entry.key, entry.value = key, value
    kind = onnx.TensorProto.FLOAT
    nodes = [onnx.helper.make_node("ReduceSum", ["weight"], ["logits"], keepdims=1)]
    return onnx.helper.make_model(
        onnx.helper.make_graph(
            nodes,
            "another",
            [onnx.helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs],
            [onnx.helper.make_tensor_value_info("logits", kind, [1, 1])],
            [weight],
        ),
        opset_imports=[onnx.helper.make_opsetid("", 17)],
        ir_version=8,
    )


PAST = [1, 2, 128, 16]
ROWS = ("attention_rows", ["T"])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (graph(), "not the graph of a Parrotlet model"),
        (graph(("past_key.0", ["batch", 2, "length", 16])), "not the graph"),
        (graph(("past_key.0", [1, 2])), "not the graph"),
        (
            graph(("past_key.0", PAST), ("past_value.0", [2**20] * 4), ROWS),
            "bytes of keys and values",
        ),
        (graph(("past_key.0", PAST), external="../secret"), "does not load"),
        (graph(("past_key.0", PAST), external="/etc/hostname"), "does not load"),
    ],
)
def test_graphs_of_others_are_refused(tmp_path, model, message):
    """Also one whose weights are to be read from elsewhere."""
    (tmp_path / "secret").write_bytes(bytes(64))
    (tmp_path / "bundle").mkdir()
    file = tmp_path / "bundle" / "model.onnx"
    file.write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match=message) as caught:
        OnnxBackend(file, threads=1)
    assert "\n" not in str(caught.value)


def test_the_number_of_threads_is_sane():
    assert 1 <= default_threads() <= MOST
