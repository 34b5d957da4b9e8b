"""Which model is measured: its name, folder and fingerprint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from parrotlet_server.bundle import open_bundle
from parrotlet_server.bundle.checkpoint import RUN_FILE, WEIGHTS_FILE, read_json_object
from parrotlet_server.bundle.hub import download, is_hub_name
from parrotlet_server.bundle.manifest import MODEL_FILE, is_bundle, sha256
from parrotlet_server.bundle.resolve import DEFAULT_MODEL
from parrotlet_tokenizer.specials import QUALITY_LEVELS

from .errors import EvaluationError


@dataclass(frozen=True)
class NamedModel:
    """A model that a user named.

    Attributes:
        name: as the user gave it.
        folder: a bundle or a checkpoint.
        weights_sha256: of the file of its weights.
    """

    name: str
    folder: Path
    weights_sha256: str

    @property
    def identity(self) -> dict[str, str]:
        """For reports."""
        return {"name": self.name, "weights_sha256": self.weights_sha256}


def named_model(name: str | None) -> NamedModel:
    """Finds the model that `name` stands for, as `parrotlet serve` does; None is the bundled one.

    Raises:
        EvaluationError: if there is none.
        BundleError: if it is a damaged bundle, or cannot be downloaded.
    """
    folder = DEFAULT_MODEL if name is None else Path(name).expanduser()
    if name is not None and not folder.exists() and is_hub_name(name):
        folder = download(name)
    if is_bundle(folder):
        digest = open_bundle(folder).manifest.files[MODEL_FILE][1]
    elif (folder / WEIGHTS_FILE).is_file():
        digest = sha256(folder / WEIGHTS_FILE)
    else:
        raise EvaluationError(
            f"there is no model {name or folder}: give the folder of a bundle or a checkpoint, or "
            "owner/name@commit for one on the Hugging Face Hub"
        )
    return NamedModel(name or "the bundled model", folder, digest)


def best_quality(checkpoint: Path) -> int | None:
    """The quality level that prompts ask for; None if the model learnt no levels."""
    file = checkpoint / RUN_FILE
    run = read_json_object(file).get("run") if file.is_file() else None
    level = run.get("best_quality") if isinstance(run, dict) else None
    return level if type(level) is int and 0 <= level < QUALITY_LEVELS else None
