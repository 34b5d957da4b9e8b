"""Reading and writing a model as a plain Hugging Face folder, without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from parrotlet_tokenizer import CodeTokenizer, TokenizerError
from parrotlet_tokenizer.specials import END_OF_TEXT_ID
from parrotlet_tokenizer.tokenizer import TOKENIZER_FILE

from .errors import BundleError

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
RUN_FILE = "parrotlet_run.json"
RUN_KEYS = ("corpus", "run", "evaluation")

Tensors = dict[str, NDArray[np.float32]]

# Settings of a GPT-2 that change what it computes, and the only value that is supported.
_FIXED: Mapping[str, Any] = {
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}


@dataclass(frozen=True)
class Architecture:
    """The numbers that fix a GPT-2's shape.

    Attributes:
        vocabulary_size: rows of the embedding, which is also the head.
        context_length: number of positions.
        width: of the residual stream.
        layers: number of blocks.
        heads: attention heads per block.
        inner: width of the feed-forward part.
        epsilon: of each layer normalisation.
    """

    vocabulary_size: int
    context_length: int
    width: int
    layers: int
    heads: int
    inner: int
    epsilon: float

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Each tensor's name, without the prefix ``transformer.``, and shape."""
        shapes: dict[str, tuple[int, ...]] = {
            "wte.weight": (self.vocabulary_size, self.width),
            "wpe.weight": (self.context_length, self.width),
            "ln_f.weight": (self.width,),
            "ln_f.bias": (self.width,),
        }
        for layer in range(self.layers):
            for part, shape in (
                ("ln_1", (self.width,)),
                ("attn.c_attn", (self.width, 3 * self.width)),
                ("attn.c_proj", (self.width, self.width)),
                ("ln_2", (self.width,)),
                ("mlp.c_fc", (self.width, self.inner)),
                ("mlp.c_proj", (self.inner, self.width)),
            ):
                shapes[f"h.{layer}.{part}.weight"] = shape
                shapes[f"h.{layer}.{part}.bias"] = shape[-1:]
        return shapes


LARGEST = 10_000_000
"""Most that any number of an architecture may be: no list gets long because a file says so."""

MOST_LAYERS = 1_000


@dataclass(frozen=True)
class Checkpoint:
    """A GPT-2 with its tokenizer.

    Attributes:
        architecture: its numbers.
        tensors: float32, named as in `Architecture.shapes`; linear weights as (inputs, outputs).
        tokenizer: its vocabulary.
        notes: "corpus", "run" and "evaluation", as the training wrote them; each may be empty.
        licence: of the weights; None if it is not stated.
    """

    architecture: Architecture
    tensors: Tensors
    tokenizer: CodeTokenizer
    notes: Mapping[str, Mapping[str, Any]]
    licence: str | None


def is_checkpoint(folder: Path) -> bool:
    """Whether `folder` looks like a checkpoint."""
    return (folder / CONFIG_FILE).is_file()


def read_checkpoint(folder: Path) -> Checkpoint:
    """Reads and checks the checkpoint in `folder`.

    Raises:
        BundleError: if a file is missing or corrupt, or the model is not a plain GPT-2.
    """
    architecture = read_architecture(read_json_object(folder / CONFIG_FILE), folder / CONFIG_FILE)
    try:
        tokenizer = CodeTokenizer.load(folder / TOKENIZER_FILE)
    except TokenizerError as error:
        raise BundleError(str(error)) from error
    if tokenizer.vocabulary_size > architecture.vocabulary_size:
        raise BundleError(
            f"{folder}: the tokenizer has {tokenizer.vocabulary_size} entries, the model "
            f"{architecture.vocabulary_size}: they do not belong together"
        )
    notes = read_json_object(folder / RUN_FILE) if (folder / RUN_FILE).exists() else {}
    for key in RUN_KEYS:
        if not isinstance(notes.setdefault(key, {}), dict):
            raise BundleError(f"{folder / RUN_FILE}: {key!r} must be an object")
    return Checkpoint(
        architecture,
        _read_tensors(folder, architecture),
        tokenizer,
        {key: notes[key] for key in RUN_KEYS},
        str(notes["licence"]) if "licence" in notes else None,
    )


def read_json_object(file: Path) -> dict[str, Any]:
    """The JSON object in `file`.

    Raises:
        BundleError: if there is none.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BundleError(f"{file} is missing") from error
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{file} is not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise BundleError(f"{file} does not hold a JSON object")
    return content


def read_architecture(config: Mapping[str, Any], file: Path) -> Architecture:
    """The numbers of a ``config.json``; `file` is used in errors.

    Raises:
        BundleError: if it is not that of a plain GPT-2.
    """
    kind = config.get("model_type")
    if kind != "gpt2":
        raise BundleError(f"{file}: model_type is {kind!r}; only 'gpt2' is supported")
    names = config.get("architectures") or ["GPT2LMHeadModel"]
    if names != ["GPT2LMHeadModel"]:
        raise BundleError(f"{file}: architectures is {names}; only GPT2LMHeadModel is supported")
    if config.get("quantization_config"):
        raise BundleError(f"{file}: the weights are quantised; give the unquantised checkpoint")
    activation = config.get("activation_function", "gelu_new")
    if activation not in ("gelu_new", "gelu_pytorch_tanh"):  # two names of one function
        raise BundleError(
            f"{file}: activation_function is {activation!r}; only 'gelu_new' is supported"
        )
    for key, value in _FIXED.items():
        if config.get(key, value) != value:
            raise BundleError(f"{file}: {key} is {config[key]!r}; only {value!r} is supported")

    def number(key: str, default: int | None = None) -> int:
        value = config.get(key)
        value = default if value is None else value
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise BundleError(f"{file}: {key} must be a positive integer, not {value!r}")
        largest = MOST_LAYERS if key == "n_layer" else LARGEST
        if value > largest:
            raise BundleError(f"{file}: {key} is {value}; at most {largest} are supported")
        return value

    epsilon = config.get("layer_norm_epsilon", 1e-5)
    if not isinstance(epsilon, float) or not 0 < epsilon < 1:
        raise BundleError(f"{file}: layer_norm_epsilon must lie between 0 and 1, not {epsilon!r}")
    width = number("n_embd")
    heads = number("n_head")
    if width % heads:
        raise BundleError(f"{file}: n_embd ({width}) is not a multiple of n_head ({heads})")
    return Architecture(
        vocabulary_size=number("vocab_size"),
        context_length=number("n_positions"),
        width=width,
        layers=number("n_layer"),
        heads=heads,
        inner=number("n_inner", 4 * width),
        epsilon=epsilon,
    )


def write_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Writes `checkpoint` into the existing `folder`, for transformers' ``from_pretrained``."""
    architecture = checkpoint.architecture
    config = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": architecture.vocabulary_size,
        "n_positions": architecture.context_length,
        "n_embd": architecture.width,
        "n_layer": architecture.layers,
        "n_head": architecture.heads,
        "n_inner": None if architecture.inner == 4 * architecture.width else architecture.inner,
        "activation_function": "gelu_new",
        # trained without, and so should it go on: transformers takes a tenth otherwise
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "layer_norm_epsilon": architecture.epsilon,
        "tie_word_embeddings": True,
        "bos_token_id": END_OF_TEXT_ID,
        "eos_token_id": END_OF_TEXT_ID,
        "dtype": "float32",
    }
    generation = {
        "bos_token_id": END_OF_TEXT_ID,
        "eos_token_id": END_OF_TEXT_ID,
        "pad_token_id": END_OF_TEXT_ID,
        "do_sample": False,
    }
    write_json(folder / CONFIG_FILE, config)
    write_json(folder / "generation_config.json", generation)
    licence = {} if checkpoint.licence is None else {"licence": checkpoint.licence}
    write_json(folder / RUN_FILE, {**checkpoint.notes, **licence})
    checkpoint.tokenizer.save(folder, architecture.context_length)
    tensors = {
        f"transformer.{name}": np.ascontiguousarray(tensor)
        for name, tensor in checkpoint.tensors.items()
    }
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Writes `content` to `file`, indented."""
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _read_tensors(folder: Path, architecture: Architecture) -> Tensors:
    file = folder / WEIGHTS_FILE
    if not file.is_file():
        others = sorted(path.name for path in folder.glob("*") if path.suffix in (".bin", ".pt"))
        hint = f" ({', '.join(others)} is not read: save as safetensors)" if others else ""
        if (folder / f"{WEIGHTS_FILE}.index.json").exists():
            hint = " (weights in several files are not read: save them as one)"
        raise BundleError(f"{file} is missing{hint}")
    try:
        with safe_open(file, framework="numpy") as weights:
            stored = {name.removeprefix("transformer."): name for name in weights.keys()}  # noqa: SIM118
            # before any of them is read: what does not belong here may be of any size
            for name, shape in architecture.shapes().items():
                if name not in stored:
                    raise BundleError(f"{file} lacks the tensor {name}")
                found = tuple(weights.get_slice(stored[name]).get_shape())
                if found != shape:
                    raise BundleError(
                        f"{file}: {name} has shape {found}, {CONFIG_FILE} asks for {shape}"
                    )
            tensors = {
                name: _float32(weights.get_tensor(stored[name]), name, file)
                for name in (*architecture.shapes(), "lm_head.weight")
                if name in stored
            }
    except (OSError, SafetensorError, TypeError) as error:
        raise BundleError(f"{file} is not readable: {error}") from error
    head = tensors.pop("lm_head.weight", None)
    for name in architecture.shapes():
        if not np.isfinite(tensors[name]).all():
            raise BundleError(f"{file}: {name} holds values that are not finite")
    if head is not None and not np.array_equal(head, tensors["wte.weight"]):
        raise BundleError(f"{file}: the head is not tied to the embedding; only tied is supported")
    buffers = (".attn.bias", ".attn.masked_bias")  # the causal mask, in older checkpoints
    for name in stored:
        if name not in tensors and name != "lm_head.weight" and not name.endswith(buffers):
            raise BundleError(f"{file}: {name} is no tensor of a plain GPT-2 of this size")
    return tensors


def _float32(tensor: NDArray[Any], name: str, file: Path) -> NDArray[np.float32]:
    if tensor.dtype.name not in ("float64", "float32", "float16", "bfloat16"):
        raise BundleError(f"{file}: {name} is {tensor.dtype.name}; only floats are supported")
    return tensor.astype(np.float32)
