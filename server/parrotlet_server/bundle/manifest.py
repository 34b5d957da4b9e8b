"""The bundle's manifest, ``parrotlet.json``, and the check of a bundle against it.

A bundle is a folder of three files: the manifest, ``model.onnx`` and ``tokenizer.json``. Others, a
``README.md`` for instance, are neither read nor checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from parrotlet_server.version import version
from parrotlet_tokenizer import CodeTokenizer, TokenizerError
from parrotlet_tokenizer.specials import QUALITY_LEVELS, RESERVED, SPECIAL_IDS
from parrotlet_tokenizer.tokenizer import TOKENIZER_FILE

from .checkpoint import (
    LARGEST,
    MOST_LAYERS,
    RUN_KEYS,
    Architecture,
    is_checkpoint,
    read_json_object,
)
from .errors import BundleError

MANIFEST_FILE = "parrotlet.json"
MODEL_FILE = "model.onnx"
FORMAT = "parrotlet-bundle"
FORMAT_VERSION = 2
FIM_LAYOUT = "spm"

_FILES = (MODEL_FILE, TOKENIZER_FILE)
_SPECIALS = {token: index for token, index in SPECIAL_IDS.items() if token not in RESERVED}


@dataclass(frozen=True)
class Manifest:
    """What a bundle holds and where it comes from.

    Attributes:
        architecture: the model's numbers.
        bits: of the weights, 8 or 32.
        block: weights per scale of the embedding; None at 32 bits.
        notes: "corpus", "run" and "evaluation", as the training wrote them.
        licence: of the weights; None if it is not stated.
        made_by: the program and its version.
        files: size in bytes and SHA-256 by name.
    """

    architecture: Architecture
    bits: int
    block: int | None
    notes: Mapping[str, Mapping[str, Any]]
    licence: str | None
    made_by: str
    files: Mapping[str, tuple[int, str]]

    @property
    def best_quality(self) -> int | None:
        """The quality level that prompts ask for; None if the model learnt no levels."""
        return best_quality(self.notes)

    def to_json(self) -> dict[str, Any]:
        """The content of ``parrotlet.json``."""
        return {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "made_by": self.made_by,
            "licence": self.licence,
            "architecture": asdict(self.architecture),
            "quantisation": {"bits": self.bits, "block": self.block},
            "fim": FIM_LAYOUT,
            "special_tokens": _SPECIALS,
            **{key: dict(self.notes.get(key, {})) for key in RUN_KEYS},
            "files": {
                name: {"bytes": size, "sha256": digest}
                for name, (size, digest) in self.files.items()
            },
        }


def best_quality(notes: Mapping[str, Mapping[str, Any]]) -> int | None:
    """The quality level that prompts ask for, by what the training wrote; None for no levels."""
    level = notes.get("run", {}).get("best_quality")
    return level if type(level) is int and 0 <= level < QUALITY_LEVELS else None


@dataclass(frozen=True)
class Bundle:
    """A verified bundle.

    Attributes:
        folder: where it lies.
        manifest: what it holds.
    """

    folder: Path
    manifest: Manifest

    @property
    def model_file(self) -> Path:
        """The ONNX model."""
        return self.folder / MODEL_FILE

    @cached_property
    def tokenizer(self) -> CodeTokenizer:
        """The vocabulary.

        Raises:
            BundleError: if it is not one of Parrotlet's.
        """
        try:
            return CodeTokenizer.load(self.folder / TOKENIZER_FILE)
        except TokenizerError as error:
            raise BundleError(str(error)) from error


def is_bundle(folder: Path) -> bool:
    """Whether `folder` looks like a bundle."""
    return (folder / MANIFEST_FILE).is_file()


def open_bundle(folder: Path) -> Bundle:
    """Reads the bundle in `folder` and checks every file's size and SHA-256.

    Raises:
        BundleError: if a file is missing, cut short or changed, the manifest is no JSON, of
            another format or version, or `folder` holds something else.
    """
    if not folder.is_dir():
        raise BundleError(f"there is no folder {folder}")
    if not is_bundle(folder):
        if is_checkpoint(folder):
            raise BundleError(
                f"{folder} is a checkpoint, not a bundle: `parrotlet export {folder} DIR` makes one"
            )
        raise BundleError(f"{folder} is not a model bundle: it holds no {MANIFEST_FILE}")
    manifest = _parse(read_json_object(folder / MANIFEST_FILE), folder / MANIFEST_FILE)
    for name, (size, digest) in manifest.files.items():
        _verify(folder / name, size, digest)
    return Bundle(folder, manifest)


def describe_files(folder: Path) -> dict[str, tuple[int, str]]:
    """Size and SHA-256 of each file that a manifest lists."""
    return {name: ((folder / name).stat().st_size, sha256(folder / name)) for name in _FILES}


def sha256(file: Path) -> str:
    """SHA-256 of `file`, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def program() -> str:
    """This program and its version."""
    return f"parrotlet {version()}"


def _parse(content: Mapping[str, Any], file: Path) -> Manifest:
    if content.get("format") != FORMAT:
        raise BundleError(f"{file} is not the manifest of a Parrotlet model bundle")
    if content.get("version") != FORMAT_VERSION:
        raise BundleError(
            f"{file}: the bundle has format version {content.get('version')!r}, this program reads "
            f"{FORMAT_VERSION}: update parrotlet, or export the model again"
        )
    try:
        if content["fim"] != FIM_LAYOUT or content["special_tokens"] != _SPECIALS:
            raise BundleError(f"{file}: the model uses other special tokens than this program")
        return Manifest(
            architecture=_architecture(content["architecture"]),
            bits=int(content["quantisation"]["bits"]),
            block=content["quantisation"]["block"],
            notes={key: dict(content[key]) for key in RUN_KEYS},
            licence=None if content["licence"] is None else str(content["licence"]),
            made_by=str(content["made_by"]),
            files=_files(content["files"], file),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"{file} is damaged: {_said(error)}") from error


def _architecture(content: Mapping[str, Any]) -> Architecture:
    for field in fields(Architecture):
        value = content[field.name]
        kind = float if field.name == "epsilon" else int
        largest = MOST_LAYERS if field.name == "layers" else LARGEST
        if type(value) is not kind or not 0 < value <= largest:
            raise ValueError(f"architecture.{field.name} is {value!r}")
    return Architecture(**{field.name: content[field.name] for field in fields(Architecture)})


def _files(content: Mapping[str, Any], file: Path) -> dict[str, tuple[int, str]]:
    # An exact list, so that no name in a manifest can lead out of the folder.
    if set(content) != set(_FILES):
        raise BundleError(f"{file} must list exactly the files {' and '.join(_FILES)}")
    return {name: (int(content[name]["bytes"]), str(content[name]["sha256"])) for name in _FILES}


def _verify(file: Path, size: int, digest: str) -> None:
    again = "download or export the bundle again"
    if file.is_symlink():
        raise BundleError(f"{file} is a symbolic link; a bundle holds its files itself")
    if not file.is_file():
        raise BundleError(f"{file} is missing: {again}")
    try:
        found = file.stat().st_size
        if found != size:
            raise BundleError(f"{file} has {found} bytes instead of {size}: {again}")
        if sha256(file) != digest:
            raise BundleError(f"{file} was changed (its SHA-256 differs): {again}")
    except OSError as error:
        raise BundleError(f"{file} is not readable: {error}") from error


def _said(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
