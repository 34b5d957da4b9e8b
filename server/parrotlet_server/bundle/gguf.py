"""A model as a GGUF file, for llama.cpp and what builds on it.

The weights are written as llama.cpp's converter lays out a GPT-2; linear weights lie as (outputs,
inputs). Its vocabulary holds the same entries and merges, but llama.cpp does not know our split of
text before the merges, so text that it tokenises itself may get other tokens. Send token ids.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import gguf
import numpy as np

from parrotlet_tokenizer.specials import (
    END_OF_TEXT_ID,
    FILE_ID,
    FIM_MIDDLE_ID,
    FIM_PREFIX_ID,
    FIM_SUFFIX_ID,
    REPOSITORY_ID,
    SPECIAL_TOKENS,
)

from .checkpoint import Checkpoint
from .errors import BundleError
from .weights import read_any

TYPES = {
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
}
"""Types of the linear weights and the embedding; everything else is float32."""

BLOCK = 32
"""Weights that share a scale in Q8_0; each row has to be made of whole blocks."""

_PARTS = {
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
_WHOLE = {
    "wte.weight": "token_embd.weight",
    "wpe.weight": "position_embd.weight",
    "ln_f.weight": "output_norm.weight",
    "ln_f.bias": "output_norm.bias",
}


def export_gguf(
    model: Path,
    file: Path,
    kind: str = "q8_0",
    licence: str | None = None,
    overwrite: bool = False,
) -> None:
    """Writes the model in the folder `model`, a checkpoint or a bundle, to `file`.

    Args:
        model: a bundle's weights are those that it computes with.
        file: appears whole or not at all.
        kind: a key of `TYPES`.
        licence: of the weights; None takes what the model states.
        overwrite: replaces `file`.

    Raises:
        BundleError: if `model` is damaged or does not fit `kind`, or `file` is taken.
    """
    _check_file(file, overwrite)
    content = read_any(model)
    shape = content.architecture
    if kind == "q8_0" and (shape.width % BLOCK or shape.inner % BLOCK):
        raise BundleError(
            f"{model}: for q8_0 n_embd ({shape.width}) and n_inner ({shape.inner}) must be "
            f"multiples of {BLOCK}: use --bits 32"
        )
    aside = file.with_name(f".{file.name}.{secrets.token_hex(4)}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        writer = gguf.GGUFWriter(aside, "gpt2")
        _describe(writer, content, kind, licence or content.licence)
        _add_vocabulary(writer, content)
        _add_tensors(writer, content, kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        aside.replace(file)
    except OSError as error:
        raise BundleError(f"cannot write {file}: {error}") from error
    finally:
        aside.unlink(missing_ok=True)


def _check_file(file: Path, overwrite: bool) -> None:
    if file.is_dir() or file.is_symlink():
        raise BundleError(f"{file} is a folder or a link: name a file, such as model.gguf")
    if file.exists() and not overwrite:
        raise BundleError(f"{file} exists: give another name or --overwrite")


def gguf_name(name: str) -> str:
    """What llama.cpp calls the tensor `name` of `Architecture.shapes`."""
    if name in _WHOLE:
        return _WHOLE[name]
    _, layer, part = name.split(".", 2)
    part, _, last = part.rpartition(".")
    return f"blk.{layer}.{_PARTS[part]}.{last}"


def _describe(writer: gguf.GGUFWriter, content: Checkpoint, kind: str, licence: str | None) -> None:
    shape = content.architecture
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name("Parrotlet")
    if licence:
        writer.add_license(licence)
    writer.add_file_type(TYPES[kind][1])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_context_length(shape.context_length)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.inner)
    writer.add_block_count(shape.layers)
    writer.add_head_count(shape.heads)
    writer.add_layer_norm_eps(shape.epsilon)
    writer.add_vocab_size(shape.vocabulary_size)


def _add_vocabulary(writer: gguf.GGUFWriter, content: Checkpoint) -> None:
    model = json.loads(content.tokenizer.json)["model"]
    tokens = [""] * content.architecture.vocabulary_size
    kinds = [gguf.TokenType.UNUSED] * len(tokens)
    for token, index in model["vocab"].items():
        tokens[index], kinds[index] = token, gguf.TokenType.NORMAL
    for index, token in enumerate(SPECIAL_TOKENS):
        tokens[index], kinds[index] = token, gguf.TokenType.CONTROL
    for index, token in enumerate(tokens):
        tokens[index] = token or f"<|unused_{index}|>"
    pairs = (pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(list(pairs))
    for add, index in (
        (writer.add_bos_token_id, END_OF_TEXT_ID),
        (writer.add_eos_token_id, END_OF_TEXT_ID),
        (writer.add_pad_token_id, END_OF_TEXT_ID),
    ):
        add(index)
    writer.add_add_bos_token(False)
    for key, index in (
        ("fim_pre", FIM_PREFIX_ID),
        ("fim_suf", FIM_SUFFIX_ID),
        ("fim_mid", FIM_MIDDLE_ID),
        ("fim_rep", REPOSITORY_ID),
        ("fim_sep", FILE_ID),
    ):
        writer.add_uint32(f"tokenizer.ggml.{key}_token_id", index)


def _add_tensors(writer: gguf.GGUFWriter, content: Checkpoint, kind: str) -> None:
    stored = TYPES[kind][0]
    for name, tensor in content.tensors.items():
        matrix = tensor.ndim == 2 and name != "wpe.weight"
        if matrix and name != "wte.weight":
            tensor = tensor.T
        tensor = np.ascontiguousarray(tensor, dtype=np.float32)
        if matrix and stored != gguf.GGMLQuantizationType.F32:
            data = gguf.quants.quantize(tensor, stored)
            writer.add_tensor(gguf_name(name), data, raw_dtype=stored)
        else:
            writer.add_tensor(gguf_name(name), tensor)
