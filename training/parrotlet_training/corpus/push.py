"""Publishing a corpus as a dataset of the Hugging Face Hub.

Shards go up one by one; a single commit then makes all of them visible, with the card and the
manifest, and removes shards of an earlier corpus. So a reader of the dataset sees the old corpus or
the new one, never a mixture. What an interrupted run sent lies in the Hub's storage under its
hash, so the next run does not send it again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..hub.failure import PushError as PushError
from ..hub.failure import check_name, failure, hub_token
from .report.manifest import MANIFEST_FILE, CorpusError, CorpusManifest, read_manifest

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

SPLITS = ("train", "validation")
_SHARD = re.compile(r"data/(?:train|validation)-\d+\.parquet")


@dataclass(frozen=True)
class Pushed:
    """What a push did.

    Attributes:
        address: of the dataset.
        commit: that the branch is at.
        uploaded: files sent or changed by this run.
        skipped: files that were there already.
        removed: shards of an earlier corpus.
    """

    address: str
    commit: str
    uploaded: list[str]
    skipped: list[str]
    removed: list[str]

    def summary(self) -> list[str]:
        """Lines for the user."""
        if not self.uploaded and not self.removed:
            return [f"nothing to do: all {len(self.skipped)} files are there", self.address]
        lines = [f"{len(self.uploaded)} files uploaded, {len(self.skipped)} were there already"]
        if self.removed:
            lines.append(f"{len(self.removed)} shards of the corpus before it removed")
        return [*lines, f"{self.address} at {self.commit}"]


def push(
    corpus: Path,
    repo_id: str,
    private: bool = False,
    revision: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Pushed:
    """Publishes the training and validation split of `corpus`, its manifest and its card.

    A card that stands in the corpus (``README.md``) is taken as it is; without one it is written.
    The token is the one that ``hf auth login`` stored or the variable ``HF_TOKEN``.

    Args:
        corpus: its folder.
        repo_id: ``owner/name``; made if it is not there.
        private: whether a dataset that is made is private.
        revision: the branch, made if it is not there; ``main`` if None.
        say: is given a line for each step.

    Raises:
        PushError: if the name is malformed, there is no token or no network, or the Hub refuses.
        CorpusError: if the corpus cannot be read, is damaged, or is of the hold-out.
    """
    check_name(repo_id)
    manifest = read_manifest(corpus)
    shards = _shards(corpus, manifest)
    token = hub_token()
    from huggingface_hub import HfApi

    if not (corpus / "README.md").is_file():
        from .card import write_card

        say("writing the card")
        write_card(corpus)
    try:
        return _push(HfApi(token=token), corpus, shards, repo_id, private, revision, say)
    except (PushError, CorpusError):
        raise
    except Exception as error:  # of several libraries: HTTP, sockets, files, malformed answers
        raise failure(error, repo_id, token) from None  # its text may hold the token


def _shards(corpus: Path, manifest: CorpusManifest) -> dict[str, str]:
    """SHA-256 by path of what is to be published."""
    names = {str(shard["file"]): str(shard["sha256"]) for shard in manifest.shards}
    if any(not _SHARD.fullmatch(name) for name in names):
        raise CorpusError(
            f"{corpus} holds more than training and validation; the hold-out stays unpublished, "
            "since a model trained on it could not be evaluated with it"
        )
    if not names:
        raise CorpusError(f"{corpus} names no shard: build it again")
    for name in names:
        if not (corpus / name).is_file():
            raise CorpusError(f"{corpus} lacks its shard {name}: build or fetch it again")
    return names


def _push(
    api: HfApi,
    corpus: Path,
    shards: dict[str, str],
    repo_id: str,
    private: bool,
    revision: str | None,
    say: Callable[[str], None],
) -> Pushed:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    # None: as the owner's settings have it
    made = api.create_repo(repo_id, repo_type="dataset", private=private or None, exist_ok=True)
    address = str(made)
    if revision is not None and revision != "main":
        api.create_branch(repo_id, branch=revision, repo_type="dataset", exist_ok=True)
    there = _remote_hashes(api, repo_id, revision)

    adds: list[CommitOperationAdd] = []
    skipped = []
    for number, (name, digest) in enumerate(shards.items(), 1):
        if there.get(name) == digest:
            skipped.append(name)
            continue
        say(f"shard {number} of {len(shards)}: {name}")
        if _sha256(corpus / name) != digest:
            raise CorpusError(f"{corpus / name} is damaged: build or fetch the corpus again")
        add = CommitOperationAdd(name, str(corpus / name))
        api.preupload_lfs_files(repo_id, [add], repo_type="dataset", revision=revision)
        adds.append(add)
    for name in ("README.md", MANIFEST_FILE):
        content = (corpus / name).read_bytes()
        if there.get(name) in (_git_hash(content), hashlib.sha256(content).hexdigest()):
            skipped.append(name)
        else:
            adds.append(CommitOperationAdd(name, content))
    stale = sorted(name for name in there if _SHARD.fullmatch(name) and name not in shards)
    uploaded = [add.path_in_repo for add in adds]
    if not adds and not stale:
        commit = str(api.dataset_info(repo_id, revision=revision).sha)
        return Pushed(address, commit, [], skipped, [])
    operations: list[CommitOperationAdd | CommitOperationDelete] = [*adds]
    operations += [CommitOperationDelete(name) for name in stale]
    say(f"committing {len(adds)} files")
    done = api.create_commit(
        repo_id,
        operations,
        commit_message="Publish the corpus",
        repo_type="dataset",
        revision=revision,
    )
    return Pushed(address, done.oid, uploaded, skipped, stale)


def _remote_hashes(api: HfApi, repo_id: str, revision: str | None) -> dict[str, str]:
    """By path: the SHA-256 of a large file, the Git hash of a small one."""
    from huggingface_hub import RepoFile

    entries = api.list_repo_tree(repo_id, recursive=True, revision=revision, repo_type="dataset")
    return {
        entry.path: entry.lfs.sha256 if entry.lfs else entry.blob_id
        for entry in entries
        if isinstance(entry, RepoFile)
    }


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
