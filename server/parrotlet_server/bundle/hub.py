"""A checkpoint from the Hugging Face Hub, at one commit."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .checkpoint import CONFIG_FILE, RUN_FILE, WEIGHTS_FILE
from .errors import BundleError

_FILES = (CONFIG_FILE, WEIGHTS_FILE, "tokenizer.json")
_NAME = re.compile(r"[\w.-]+/[\w.-]+@[\w./-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_hub_name(name: str) -> bool:
    """Whether `name` is ``owner/name@commit``."""
    return _NAME.fullmatch(name) is not None


def download(name: str) -> Path:
    """The folder of the checkpoint `name`, ``owner/name@commit``; the network is asked only once.

    Raises:
        BundleError: if the revision is no commit (the message tells the one it stands for now),
            or the model cannot be had.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read at import: nothing but the model
    # Imported here: a server with a local model neither needs it nor waits for it.
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    repository, _, revision = name.partition("@")
    wanted = [*_FILES, RUN_FILE]
    if not _COMMIT.fullmatch(revision):
        try:
            commit = HfApi().model_info(repository, revision=revision, timeout=10).sha
        except Exception as error:
            raise BundleError(_failure(name, error)) from error
        raise BundleError(
            f"{name} may change at any time; pin it: {repository}@{commit} is what it is now"
        )
    try:
        folder = Path(
            snapshot_download(
                repository, revision=revision, allow_patterns=wanted, local_files_only=True
            )
        )
        if all((folder / file).exists() for file in _FILES):
            return folder
    except LocalEntryNotFoundError:
        pass
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=wanted))
    except Exception as error:  # of several libraries: HTTP, sockets, files
        raise BundleError(_failure(name, error)) from error


def _failure(name: str, error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = " ".join(lines[:2]) or type(error).__name__
    return (
        f"cannot get {name} from the Hub; check the name and the network, or give the folder of a "
        f"model that is on this machine ({reason})"
    )
