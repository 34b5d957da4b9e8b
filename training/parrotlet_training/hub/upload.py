"""One checkpoint, one commit on the Hub.

``python -m parrotlet_training.hub.upload`` does it in a process of its own, which can be ended
whatever hangs: the Hub's library waits without a limit, and its threads outlive an interpreter that
wants to end. What was sent before lies in the Hub's storage under its hash and is not sent again.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .failure import PushError, check_name, failure, hub_token

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

STATE = "training_state"
_WEIGHTS = re.compile(r"model(?:-\d+-of-\d+)?\.safetensors(?:\.index\.json)?")
_STEP = re.compile(r"Step (\d+)")


@dataclass(frozen=True)
class Upload:
    """What goes where.

    Attributes:
        folder: of the checkpoint.
        repo_id: ``owner/name`` of the model; made if it is not there.
        branch: made if it is not there; ``main`` is.
        message: of the commit.
        private: whether a model that is made is private.
        with_state: also the training state, which is twice as large as the weights or more.
    """

    folder: str
    repo_id: str
    branch: str
    message: str
    private: bool = False
    with_state: bool = False

    def size(self) -> int:
        """Bytes to send."""
        return sum(file.stat().st_size for file in contents(Path(self.folder), self.with_state))


def step_message(step: int) -> str:
    """Title of a checkpoint's commit; `steps_there` reads it."""
    return f"Step {step}"


def contents(folder: Path, with_state: bool) -> list[Path]:
    """Files of a checkpoint that are published."""
    files = [file for file in folder.iterdir() if file.is_file() and file.name[0] != "."]
    if with_state and (folder / STATE).is_dir():
        files += [file for file in (folder / STATE).rglob("*") if file.is_file()]
    return sorted(files)


def upload(item: Upload) -> str:
    """Sends `item` in one commit and returns the model's address.

    Raises:
        PushError: if the name is malformed, there is no token or no network, or the Hub refuses.
    """
    check_name(item.repo_id)
    token = hub_token()
    from huggingface_hub import HfApi

    try:
        return _upload(HfApi(token=token), item)
    except PushError:
        raise
    except Exception as error:  # of several libraries: HTTP, sockets, files, malformed answers
        raise failure(error, item.repo_id, token) from None  # its text may hold the token


def steps_there(repo_id: str, branch: str) -> list[int]:
    """Steps whose checkpoints `branch` has or had, by the titles of its commits; newest first.

    Raises:
        PushError: as `upload`.
    """
    check_name(repo_id)
    token = hub_token()
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        commits = HfApi(token=token).list_repo_commits(repo_id, revision=branch)
    except Exception as error:
        if isinstance(error, HfHubHTTPError) and error.response.status_code == 404:
            return []  # no such model or branch: the first upload makes it
        raise failure(error, repo_id, token) from None
    found = (_STEP.fullmatch(commit.title) for commit in commits)
    return [int(match[1]) for match in found if match]


def _upload(api: HfApi, item: Upload) -> str:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    # None: as the owner's settings have it
    made = api.create_repo(item.repo_id, private=item.private or None, exist_ok=True)
    if item.branch != "main":
        api.create_branch(item.repo_id, branch=item.branch, exist_ok=True)
    folder = Path(item.folder)
    names = {
        file.relative_to(folder).as_posix(): file for file in contents(folder, item.with_state)
    }
    there = api.list_repo_files(item.repo_id, revision=item.branch)
    stale = [name for name in there if _WEIGHTS.fullmatch(name) and name not in names]
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        CommitOperationAdd(name, str(file)) for name, file in names.items()
    ]
    operations += [CommitOperationDelete(name) for name in stale]
    api.create_commit(item.repo_id, operations, commit_message=item.message, revision=item.branch)
    return str(made)


def arguments_of(item: Upload) -> list[str]:
    """The command line of a process that runs `upload`."""
    return [sys.executable, "-m", __name__, json.dumps(asdict(item))]


def environment() -> dict[str, str]:
    """That of such a process: it finds this package, and draws no bars."""
    paths = os.pathsep.join(filter(None, sys.path))
    quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return {**os.environ, "PYTHONPATH": paths, **quiet}


def main(argument: str) -> int:
    """Runs one upload; prints how it went as one line of JSON."""
    answer: dict[str, str | bool]
    try:
        answer = {"address": upload(Upload(**json.loads(argument)))}
    except PushError as error:
        answer = {"error": str(error), "again": error.again}
    sys.stdout.write(json.dumps(answer) + "\n")
    return int("error" in answer)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
