"""A model's float32 weights, of a bundle or a checkpoint alike."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from .checkpoint import Checkpoint, is_checkpoint, read_checkpoint
from .errors import BundleError
from .graph import read_weights
from .manifest import Bundle, is_bundle, open_bundle


def restored(bundle: Bundle) -> Checkpoint:
    """The checkpoint that computes as `bundle` does.

    Raises:
        BundleError: if the bundle was not made by this program.
    """
    manifest = bundle.manifest
    try:
        tensors = read_weights(onnx.load(bundle.model_file), manifest.architecture)
    except (DecodeError, KeyError, ValueError) as error:
        raise BundleError(f"{bundle.model_file} was not made by this program: {error}") from error
    return Checkpoint(
        manifest.architecture, tensors, bundle.tokenizer, manifest.notes, manifest.licence
    )


def read_any(folder: Path) -> Checkpoint:
    """The model in `folder`, a checkpoint or a bundle, as a checkpoint.

    Raises:
        BundleError: if it holds neither, or is damaged.
    """
    if is_checkpoint(folder) and not is_bundle(folder):
        return read_checkpoint(folder)
    return restored(open_bundle(folder))
