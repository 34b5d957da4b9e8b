import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from safetensors.numpy import load_file, save_file

from parrotlet_server.backends.onnx import OnnxBackend
from parrotlet_server.bundle import BundleError, open_bundle
from parrotlet_server.bundle.export import export_checkpoint, restore_checkpoint
from parrotlet_tokenizer.tokenizer import CodeTokenizer


def weights_of(folder):
    return load_file(folder / "model.safetensors")


def change_config(folder, **changes):
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def change_weights(folder, change):
    tensors = weights_of(folder)
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.fixture
def checkpoint(random_checkpoint, tmp_path):
    return shutil.copytree(random_checkpoint, tmp_path / "checkpoint")


def test_a_bundle_says_what_it_holds_and_where_it_comes_from(random_bundle, tokenizer):
    manifest = json.loads((random_bundle / "parrotlet.json").read_text())
    assert manifest["format"] == "parrotlet-bundle"
    assert manifest["architecture"]["context_length"] == 256
    assert manifest["quantisation"] == {"bits": 8, "block": 64}
    assert manifest["fim"] == "spm"
    assert manifest["special_tokens"]["<|fim_middle|>"] == 3
    assert manifest["corpus"] == {"documents": 5}
    assert manifest["licence"] == "MIT"
    assert set(manifest["files"]) == {"model.onnx", "tokenizer.json"}
    card = (random_bundle / "README.md").read_text()
    assert "| documents | 5 |" in card
    assert "| Licence of the weights | MIT |" in card
    assert open_bundle(random_bundle).tokenizer.json == tokenizer.json


def test_a_bundle_is_a_fourth_of_its_checkpoint(random_bundle, random_checkpoint):
    ratio = (random_bundle / "model.onnx").stat().st_size
    ratio /= (random_checkpoint / "model.safetensors").stat().st_size
    assert ratio < 0.5  # width 64: positions and graph weigh more than they do in a real model


def test_exporting_is_deterministic_and_leaves_nothing_aside(
    random_checkpoint, random_bundle, tmp_path
):
    export_checkpoint(random_checkpoint, tmp_path / "again")
    again, first = ((f / "model.onnx").read_bytes() for f in (tmp_path / "again", random_bundle))
    assert again == first
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def test_restoring_and_exporting_again_gives_the_same_bytes(random_bundle, tmp_path):
    restore_checkpoint(random_bundle, tmp_path / "restored")
    export_checkpoint(tmp_path / "restored", tmp_path / "again")
    for name in ("model.onnx", "tokenizer.json", "parrotlet.json"):
        assert (tmp_path / "again" / name).read_bytes() == (random_bundle / name).read_bytes()


def test_transformers_loads_what_was_restored(bundle, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    restore_checkpoint(bundle, tmp_path / "restored")
    model, loading = AutoModelForCausalLM.from_pretrained(
        tmp_path / "restored", output_loading_info=True
    )
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    assert model.config.tie_word_embeddings
    assert GenerationConfig.from_pretrained(tmp_path / "restored").eos_token_id == 0
    text = "def circle_area(radius):\n    return "
    ids = CodeTokenizer.load(bundle).encode(text)
    assert AutoTokenizer.from_pretrained(tmp_path / "restored").encode(text) == ids
    with torch.no_grad():
        theirs = model.eval()(torch.tensor([ids])).logits[0, -1].numpy()
    backend = OnnxBackend(bundle / "model.onnx", 1)
    ours = backend.evaluate(backend.new_state(), 0, ids)
    assert ours.argmax() == theirs.argmax()
    # what is left is the rounding of activations to 8 bits
    assert np.abs(ours - theirs).max() < 0.3 * theirs.std()


def test_what_was_restored_holds_the_weights_that_the_bundle_computes_with(
    random_checkpoint, random_bundle, tmp_path
):
    restore_checkpoint(random_bundle, tmp_path / "restored")
    before, after = weights_of(random_checkpoint), weights_of(tmp_path / "restored")
    assert before.keys() == after.keys()
    for name, weight in before.items():
        assert after[name].shape == weight.shape
        assert after[name].dtype == np.float32
        exact = weight.ndim == 1 or "wpe" in name
        assert np.abs(after[name] - weight).max() <= (0 if exact else 0.02)


def test_32_bits_keep_the_weights_as_they_are(random_checkpoint, tmp_path):
    export_checkpoint(random_checkpoint, tmp_path / "bundle", bits=32)
    restore_checkpoint(tmp_path / "bundle", tmp_path / "restored")
    before, after = weights_of(random_checkpoint), weights_of(tmp_path / "restored")
    assert all(np.array_equal(before[name], after[name]) for name in before)


def without_prefix(tensors):
    for name in list(tensors):
        tensors[name.removeprefix("transformer.")] = tensors.pop(name)


def with_tied_head(tensors):
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"].copy()


def with_mask_buffers(tensors):
    tensors["transformer.h.0.attn.bias"] = np.ones((1, 1, 4, 4), np.float32)


@pytest.mark.parametrize("change", [without_prefix, with_tied_head, with_mask_buffers])
def test_all_ways_to_name_the_weights_give_one_bundle(checkpoint, random_bundle, tmp_path, change):
    change_weights(checkpoint, change)
    export_checkpoint(checkpoint, tmp_path / "bundle")
    assert (tmp_path / "bundle/model.onnx").read_bytes() == (
        random_bundle / "model.onnx"
    ).read_bytes()


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_weights_of_16_bits_are_read(random_checkpoint, tmp_path, kind):
    import torch
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(random_checkpoint, tmp_path / "checkpoint")
    dtype = getattr(torch, kind)
    tensors = load_file(folder / "model.safetensors")
    short = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    save_file(short, folder / "model.safetensors")
    export_checkpoint(folder, tmp_path / "bundle", bits=32)
    model = onnx.load(tmp_path / "bundle/model.onnx")
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    expected = short["transformer.wte.weight"].float().numpy()
    assert np.array_equal(stored["wte.weight"], expected)


REFUSED_CONFIGS = [
    ({"model_type": "llama"}, "only 'gpt2'"),
    ({"architectures": ["GPT2ForSequenceClassification"]}, "only GPT2LMHeadModel"),
    ({"activation_function": "relu"}, "only 'gelu_new'"),
    ({"scale_attn_weights": False}, "scale_attn_weights"),
    ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
    ({"add_cross_attention": True}, "add_cross_attention"),
    ({"tie_word_embeddings": False}, "tie_word_embeddings"),
    ({"quantization_config": {"bits": 4}}, "unquantised"),
    ({"n_head": 5}, "not a multiple of n_head"),
    ({"n_layer": 0}, "n_layer must be a positive integer"),
    ({"n_layer": 10**12}, "n_layer is 1000000000000; at most"),
    ({"n_embd": 2**62, "n_head": 1}, "n_embd is 4611686018427387904; at most"),
    ({"n_layer": "two"}, "n_layer must be a positive integer"),
    ({"n_embd": None}, "n_embd must be a positive integer"),
    ({"layer_norm_epsilon": -1.0}, "layer_norm_epsilon"),
    ({"n_layer": 3}, r"lacks the tensor h\.2"),
    ({"n_layer": 1}, r"h\.1.* is no tensor of a plain GPT-2"),
    ({"n_positions": 128}, "wpe.weight has shape"),
    ({"vocab_size": 400}, "do not belong together"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED_CONFIGS)
def test_a_model_that_is_no_plain_gpt2_is_refused_in_one_line(
    checkpoint, tmp_path, changes, message
):
    change_config(checkpoint, **changes)
    refused(checkpoint, tmp_path, message)


def untie(tensors):
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"] + 1


def spoil(tensors):
    tensors["transformer.ln_f.bias"][3] = np.nan


def as_integers(tensors):
    tensors["transformer.ln_f.bias"] = tensors["transformer.ln_f.bias"].astype(np.int32)


@pytest.mark.parametrize(
    ("change", "message"),
    [(untie, "not tied"), (spoil, "not finite"), (as_integers, "only floats")],
)
def test_weights_that_cannot_be_run_are_refused(checkpoint, tmp_path, change, message):
    change_weights(checkpoint, change)
    refused(checkpoint, tmp_path, message)


def cut(file):
    file.write_bytes(file.read_bytes()[:-100])


def garble(file):
    file.write_text("{ this is no JSON")


def header(**content):
    """Puts a safetensors header, without tensors, in place of the file."""
    data = json.dumps(content).encode()
    return lambda file: file.write_bytes(len(data).to_bytes(8, "little") + data)


WIDE = {"dtype": "F32", "shape": [2**40, 2**20], "data_offsets": [0, 2**62]}

DAMAGES = [
    ("config.json", garble, "not readable JSON"),
    ("config.json", lambda file: file.write_text("[1]"), "JSON object"),
    ("config.json", lambda file: file.unlink(), "config.json is missing"),
    ("model.safetensors", cut, "not readable"),
    ("model.safetensors", lambda f: f.rename(f.with_name("pytorch_model.bin")), "as safetensors"),
    ("model.safetensors", lambda f: f.rename(f"{f}.index.json"), "save them as one"),
    ("model.safetensors", lambda file: file.write_bytes(b"\xff" * 9), "not readable"),
    ("model.safetensors", header(**{"transformer.wte.weight": WIDE}), "not readable"),
    ("model.safetensors", header(), "lacks the tensor wte.weight"),
    ("tokenizer.json", garble, "not a readable tokenizer"),
    ("tokenizer.json", lambda file: file.unlink(), "cannot read the tokenizer"),
    ("parrotlet_run.json", lambda file: file.write_text('{"run": 7}'), "'run' must be an object"),
]


@pytest.mark.parametrize(("name", "damage", "message"), DAMAGES)
def test_a_damaged_checkpoint_is_refused_in_one_line(checkpoint, tmp_path, name, damage, message):
    damage(checkpoint / name)
    refused(checkpoint, tmp_path, message)


def test_a_width_that_blocks_do_not_divide_goes_with_32_bits_only(make_checkpoint, tmp_path):
    checkpoint = make_checkpoint(tmp_path / "checkpoint", width=40, heads=2)
    refused(checkpoint, tmp_path, "use --bits 32")
    export_checkpoint(checkpoint, tmp_path / "bundle", bits=32)


def refused(checkpoint, tmp_path, message):
    with pytest.raises(BundleError, match=message) as caught:
        export_checkpoint(checkpoint, tmp_path / "bundle")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.name]


def test_a_folder_that_is_taken_is_left_as_it_is(random_checkpoint, random_bundle, tmp_path):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle/mine.txt").write_text("mine")
    with pytest.raises(BundleError, match="not empty"):
        export_checkpoint(random_checkpoint, tmp_path / "bundle")
    with pytest.raises(BundleError, match="not empty"):
        restore_checkpoint(random_bundle, tmp_path / "bundle")
    assert (tmp_path / "bundle/mine.txt").read_text() == "mine"
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BundleError, match="no folder"):
        export_checkpoint(random_checkpoint, tmp_path / "file", overwrite=True)


def test_a_bundle_can_be_replaced_and_a_failure_keeps_the_old_one(checkpoint, tmp_path):
    target = tmp_path / "bundle"
    export_checkpoint(checkpoint, target)
    old = (target / "model.onnx").read_bytes()
    change_config(checkpoint, activation_function="relu")
    with pytest.raises(BundleError):
        export_checkpoint(checkpoint, target, overwrite=True)
    assert (target / "model.onnx").read_bytes() == old
    change_config(checkpoint, activation_function="gelu_new")
    change_weights(checkpoint, lambda t: t["transformer.ln_f.bias"].__iadd__(1))
    export_checkpoint(checkpoint, target, overwrite=True)
    assert (target / "model.onnx").read_bytes() != old
    open_bundle(target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "checkpoint"]


def test_an_error_while_writing_leaves_no_bundle(random_checkpoint, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("onnx.save", fail)
    with pytest.raises(BundleError, match=r"cannot write .*no space"):
        export_checkpoint(random_checkpoint, tmp_path / "bundle")
    assert not list(tmp_path.iterdir())


class Trap:
    """Writes a file where it is unpickled."""

    def __init__(self, sprung):
        self.sprung = sprung

    def __reduce__(self):
        return Path.write_text, (self.sprung, "sprung")


def test_a_pickle_in_place_of_the_weights_is_refused_unread(checkpoint, tmp_path):
    sprung = checkpoint / "sprung"
    (checkpoint / "model.safetensors").write_bytes(pickle.dumps(Trap(sprung)))
    refused(checkpoint, tmp_path, "not readable")
    assert not sprung.exists()
    pickle.loads((checkpoint / "model.safetensors").read_bytes())
    assert sprung.exists()  # it would have been
