"""A GGUF, read back with llama.cpp's own library."""

import json

import gguf
import numpy as np
import pytest

from parrotlet_server.bundle import BundleError
from parrotlet_server.bundle.checkpoint import read_checkpoint
from parrotlet_server.bundle.gguf import export_gguf, gguf_name
from parrotlet_server.bundle.weights import read_any
from parrotlet_server.cli import main
from parrotlet_tokenizer.specials import SPECIAL_IDS, SPECIAL_TOKENS


def tensors_of(file):
    """Each tensor by name: its type and its float32 values."""
    return {
        tensor.name: (
            tensor.tensor_type,
            gguf.quants.dequantize(tensor.data, tensor.tensor_type),
        )
        for tensor in gguf.GGUFReader(file).tensors
    }


def expected(content, name):
    tensor = content.tensors[name]
    return tensor.T if tensor.ndim == 2 and name not in ("wte.weight", "wpe.weight") else tensor


def test_at_32_bits_the_weights_are_the_checkpoints(random_checkpoint, tmp_path):
    export_gguf(random_checkpoint, tmp_path / "model.gguf", "f32")
    content, stored = read_checkpoint(random_checkpoint), tensors_of(tmp_path / "model.gguf")
    assert len(stored) == len(content.tensors)
    for name in content.tensors:
        kind, values = stored[gguf_name(name)]
        assert kind == gguf.GGMLQuantizationType.F32
        assert np.array_equal(values, expected(content, name)), name


@pytest.mark.parametrize("source", ["random_checkpoint", "random_bundle"])
def test_q8_0_rounds_each_weight_to_a_step_of_its_block(source, request, tmp_path):
    folder = request.getfixturevalue(source)
    export_gguf(folder, tmp_path / "model.gguf")
    content, stored = read_any(folder), tensors_of(tmp_path / "model.gguf")
    quantised = 0
    for name in content.tensors:
        kind, values = stored[gguf_name(name)]
        wanted = expected(content, name)
        assert values.shape == wanted.shape
        if kind == gguf.GGMLQuantizationType.F32:
            assert np.array_equal(values, wanted), name
            continue
        quantised += 1
        blocks = wanted.reshape(-1, 32)
        step = np.abs(blocks).max(axis=1, keepdims=True) / 127
        # half a step, and what the scale loses in half precision
        error = np.abs(values.reshape(-1, 32) - blocks)
        assert (error <= step * (0.5 + 127 * 2**-11) + 1e-7).all(), name
    assert quantised == 1 + 4 * content.architecture.layers


def test_the_metadata_tell_shape_vocabulary_and_special_ids(random_checkpoint, tmp_path):
    export_gguf(random_checkpoint, tmp_path / "model.gguf", "f32")
    fields = gguf.GGUFReader(tmp_path / "model.gguf").fields
    content = read_checkpoint(random_checkpoint)
    shape = content.architecture

    def value(key):
        return fields[key].contents()

    assert value("general.architecture") == "gpt2"
    assert value("general.license") == "MIT"
    assert value("gpt2.context_length") == shape.context_length
    assert value("gpt2.embedding_length") == shape.width
    assert value("gpt2.block_count") == shape.layers
    assert value("gpt2.feed_forward_length") == shape.inner
    assert value("gpt2.attention.head_count") == shape.heads
    assert value("gpt2.attention.layer_norm_epsilon") == pytest.approx(shape.epsilon)
    tokens = value("tokenizer.ggml.tokens")
    vocabulary = json.loads(content.tokenizer.json)["model"]["vocab"]
    assert tokens[: len(SPECIAL_TOKENS)] == list(SPECIAL_TOKENS)
    assert all(tokens[index] == token for token, index in vocabulary.items())
    assert len(tokens) == shape.vocabulary_size
    for key, token in (
        ("eos", "<|endoftext|>"),
        ("fim_pre", "<|fim_prefix|>"),
        ("fim_suf", "<|fim_suffix|>"),
        ("fim_mid", "<|fim_middle|>"),
        ("fim_rep", "<|repo_name|>"),
        ("fim_sep", "<|file_sep|>"),
    ):
        assert value(f"tokenizer.ggml.{key}_token_id") == SPECIAL_IDS[token]


def test_a_vocabulary_with_room_is_filled_up(make_checkpoint, tmp_path):
    folder = make_checkpoint(tmp_path / "padded", vocabulary_size=704)
    export_gguf(folder, tmp_path / "model.gguf", "f32")
    tokens = gguf.GGUFReader(tmp_path / "model.gguf").fields["tokenizer.ggml.tokens"].contents()
    assert len(tokens) == len(set(tokens)) == 704


def test_the_command(random_checkpoint, random_bundle, tmp_path, capsys):
    file = tmp_path / "new" / "model.gguf"
    words = ["export", "--format", "gguf"]
    assert main([*words, str(random_bundle), str(file)]) == 0
    assert "MB written to" in capsys.readouterr().out
    assert main([*words, str(random_checkpoint), str(file)]) == 1
    assert "exists: give another name or --overwrite" in capsys.readouterr().err
    before = file.stat().st_size
    assert main([*words, "--bits", "32", "--overwrite", str(random_checkpoint), str(file)]) == 0
    assert file.stat().st_size > 2 * before
    assert [path.name for path in file.parent.iterdir()] == ["model.gguf"]
    assert main([*words, str(tmp_path), str(tmp_path / "x.gguf")]) == 1
    assert "is not a model bundle" in capsys.readouterr().err
    assert main([*words, str(random_checkpoint), str(tmp_path)]) == 1
    assert "name a file" in capsys.readouterr().err


def test_a_width_without_whole_blocks_is_refused(make_checkpoint, tmp_path):
    folder = make_checkpoint(tmp_path / "odd", width=48, heads=3)
    with pytest.raises(BundleError, match="--bits 32"):
        export_gguf(folder, tmp_path / "model.gguf")
    export_gguf(folder, tmp_path / "model.gguf", "f32")
