"""A checkpoint to a bundle, and back."""

from __future__ import annotations

from pathlib import Path

import onnx

from parrotlet_tokenizer.tokenizer import TOKENIZER_FILE

from .aside import check_target, written_aside
from .calibrate import ROW_TOKENS, calibrate, calibration_rows
from .card import CARD_FILE, model_card
from .checkpoint import Checkpoint, read_checkpoint, write_checkpoint, write_json
from .errors import BundleError
from .graph import EightBits, build_graph, rounded
from .manifest import (
    MANIFEST_FILE,
    MODEL_FILE,
    Bundle,
    Manifest,
    best_quality,
    describe_files,
    open_bundle,
    program,
)
from .quantise import BLOCK_SIZES, block_size
from .weights import restored

_LARGEST = 2**31 - 2**20  # of one protobuf message, with room for the operators


def export_checkpoint(
    checkpoint: Path,
    folder: Path,
    bits: int = 8,
    licence: str | None = None,
    overwrite: bool = False,
) -> Bundle:
    """Converts the Hugging Face folder `checkpoint` to a bundle in `folder`.

    Args:
        checkpoint: ``config.json``, ``model.safetensors``, ``tokenizer.json`` and perhaps
            ``parrotlet_run.json`` with what is known of corpus, run and evaluation.
        folder: appears whole or not at all.
        bits: 8, or 32 for weights as they are.
        licence: of the weights; None takes what the checkpoint states.
        overwrite: replaces `folder`.

    Raises:
        BundleError: if the checkpoint is no plain GPT-2 or damaged, or `folder` is taken.
    """
    check_target(folder, overwrite)
    content = read_checkpoint(checkpoint)
    shape = content.architecture
    block = _block(content, bits, checkpoint)
    weights = sum(tensor.size for tensor in content.tensors.values()) * bits // 8
    if weights > _LARGEST:
        raise BundleError(f"{checkpoint}: {weights:,} bytes of weights do not fit one model file")
    with written_aside(folder, overwrite) as aside:
        (aside / TOKENIZER_FILE).write_text(content.tokenizer.json, encoding="utf-8")
        rounding = _rounding(content, block) if block else None
        onnx.save(build_graph(shape, content.tensors, rounding), aside / MODEL_FILE)
        manifest = Manifest(
            architecture=shape,
            bits=bits,
            block=block,
            notes=content.notes,
            licence=licence or content.licence,
            made_by=program(),
            files=describe_files(aside),
        )
        write_json(aside / MANIFEST_FILE, manifest.to_json())
        (aside / CARD_FILE).write_text(model_card(manifest), encoding="utf-8")
    return Bundle(folder, manifest)


def restore_checkpoint(bundle: Path, folder: Path, overwrite: bool = False) -> None:
    """Converts the bundle in `bundle` to a Hugging Face folder, float32, to train it further.

    The weights are what the bundle computes with: exporting them again gives the same bytes.

    Raises:
        BundleError: if the bundle is damaged, or `folder` is taken and `overwrite` not set.
    """
    check_target(folder, overwrite)
    checkpoint = restored(open_bundle(bundle))
    with written_aside(folder, overwrite) as aside:
        write_checkpoint(checkpoint, aside)


def _block(content: Checkpoint, bits: int, checkpoint: Path) -> int | None:
    if bits == 32:
        return None
    if bits != 8:
        raise BundleError(f"weights have 8 or 32 bits, not {bits}")
    shape = content.architecture
    block = block_size(shape.width)
    if block is None:
        raise BundleError(
            f"{checkpoint}: at 8 bits n_embd ({shape.width}) must be a multiple of "
            f"{BLOCK_SIZES[-1]}: use --bits 32"
        )
    return block


def _rounding(content: Checkpoint, block: int) -> EightBits:
    """The ranges are those of the rounded weights, so what was restored gives the same again."""
    shape = content.architecture
    quality = best_quality(content.notes)
    rows = calibration_rows(content.tokenizer, min(ROW_TOKENS, shape.context_length), quality)
    return EightBits(block, calibrate(shape, rounded(shape, content.tensors, block), rows))
