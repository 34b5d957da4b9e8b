"""What can go wrong between this machine and the Hub, in one line each."""

from __future__ import annotations

import os
import re

_NAME = re.compile(r"[A-Za-z0-9_](?:[\w.-]{0,94}[A-Za-z0-9_])?", re.ASCII)


class PushError(RuntimeError):
    """Something cannot be published; the message says what to do.

    Attributes:
        again: whether the same may succeed later.
    """

    def __init__(self, message: str, again: bool = False) -> None:
        super().__init__(message)
        self.again = again


def check_name(repo_id: str) -> None:
    """Refuses what the Hub would not take as ``owner/name``.

    Raises:
        PushError: if it is malformed.
    """
    parts = repo_id.split("/")
    if (
        len(parts) != 2
        or not all(_NAME.fullmatch(part) for part in parts)
        or re.search(r"--|\.\.|\.git$", repo_id)
    ):
        raise PushError(
            f"{repo_id!r} cannot name a repository of the Hub: give owner/name, each of up to 96 "
            "letters, digits, '-', '_' and '.', beginning and ending with a letter or digit"
        )


def hub_token() -> str:
    """The token that ``hf auth login`` stored, or that of the variable ``HF_TOKEN``.

    Raises:
        PushError: if there is none.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read at import
    from huggingface_hub import get_token

    token = get_token()
    if not token:
        raise PushError(
            "there is no token for the Hub: run `hf auth login`, or set HF_TOKEN to a token that "
            "may write"
        )
    return token


def failure(error: Exception, repo_id: str, token: str) -> PushError:
    """One line that says what failed and what to do, without the token."""
    from huggingface_hub.errors import HfHubHTTPError

    status = None
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) and len(causes) < 8:
        causes.append(cause)
    for cause in causes:
        if status is None and isinstance(cause, HfHubHTTPError):
            status = getattr(getattr(cause, "response", None), "status_code", None)
    words = re.sub(r"For more information check: \S+", "", str(error))
    words = " ".join(words.split()) or type(error).__name__
    words = words.replace(token, "***")[:300]
    if status == 401:
        return PushError(
            f"the Hub refuses the token: get one that may write, then `hf auth login` ({words})"
        )
    if status == 403:
        return PushError(
            f"the token may not write to {repo_id}: use one of its owner that may ({words})"
        )
    if status is None and any(isinstance(c, OSError) or _is_transport(c) for c in causes):
        return PushError(
            f"the Hub cannot be reached: check the network and run this again ({words})", True
        )
    return PushError(
        f"cannot publish {repo_id}: {words}; what was sent is kept, so run this again to go on",
        True,
    )


def _is_transport(error: BaseException) -> bool:
    """Whether it is an error of the HTTP client's connection, whichever client that is."""
    return any(kind.__name__ == "TransportError" for kind in type(error).__mro__)
