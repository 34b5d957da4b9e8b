"""Vocabularies on the Hugging Face Hub: one commit of a repository, read and written."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .tokenizer import TOKENIZER_FILE, CodeTokenizer, TokenizerError

CONFIGURATION_FILE = "tokenizer_config.json"
_FILES = (TOKENIZER_FILE, CONFIGURATION_FILE)
_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def is_hub_name(name: str) -> bool:
    """Whether `name` is ``owner/name@revision``."""
    repository, _, revision = name.partition("@")
    return bool(_NAME.fullmatch(repository)) and bool(re.fullmatch(r"[\w./-]+", revision))


def load_from_hub(name: str) -> CodeTokenizer:
    """The vocabulary of the repository `name`, ``owner/name@revision``.

    A commit that was fetched once needs no network again; a branch or tag is asked for anew.

    Raises:
        TokenizerError: if the name has no such form, the repository or file cannot be had, or it
            is no vocabulary of ours.
    """
    if not is_hub_name(name):
        raise TokenizerError(f"{name!r} is not of the form owner/name@revision")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read at import
    from huggingface_hub import hf_hub_download

    repository, _, revision = name.partition("@")
    try:
        file = hf_hub_download(repository, TOKENIZER_FILE, revision=revision)
    except Exception as error:  # of several libraries: HTTP, sockets, files
        raise TokenizerError(
            f"cannot get {name} from the Hub; check the name and the network ({_reason(error)})"
        ) from error
    return CodeTokenizer.load(Path(file))


def push_to_hub(folder: Path, repository: str, private: bool = False) -> str:
    """Uploads the vocabulary in `folder` to `repository` (``owner/name``), made if absent.

    Only ``tokenizer.json`` and ``tokenizer_config.json`` go up, in one commit.

    Returns:
        ``owner/name@commit``, which `load_from_hub` takes.

    Raises:
        TokenizerError: if the folder holds no vocabulary of ours, or the Hub refuses it or cannot
            be reached.
    """
    if not _NAME.fullmatch(repository):
        raise TokenizerError(f"{repository!r} is not of the form owner/name")
    CodeTokenizer.load(folder)  # nothing that does not load goes up
    missing = [file for file in _FILES if not (folder / file).is_file()]
    if missing:
        raise TokenizerError(
            f"{folder} holds no {missing[0]}: give a folder of `parrotlet tokenizer train`"
        )
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import CommitOperationAdd, HfApi, get_token

    if get_token() is None:
        raise TokenizerError("the Hub wants a token to write: run `hf auth login`, or set HF_TOKEN")
    api = HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.create_commit(
            repository,
            operations=[CommitOperationAdd(file, folder / file) for file in _FILES],
            commit_message="Vocabulary of Parrotlet",
        )
    except Exception as error:
        raise TokenizerError(
            f"cannot write {repository} on the Hub; check the name, the token's rights and the "
            f"network ({_reason(error)})"
        ) from error
    return f"{repository}@{commit.oid}"


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) or type(error).__name__
