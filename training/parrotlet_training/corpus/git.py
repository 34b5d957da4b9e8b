"""Reading a commit's files from a git object store, and fetching one, through the git program."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .document import TOO_LARGE, UNREADABLE, RawFile
from .licences import MAX_LICENCE_BYTES, is_licence_file


class GitError(RuntimeError):
    """git is missing, or does not understand the repository; the message carries its own words."""


@dataclass(frozen=True)
class Blob:
    """A regular file of a commit: the hash of its content, and its path with forward slashes."""

    hash: str
    path: str


def find_git_dir(path: Path) -> Path | None:
    """The object store of `path`: itself if bare, its ``.git`` if a work tree, else None."""
    for candidate in (path / ".git", path):
        if (candidate / "HEAD").is_file() and (candidate / "objects").is_dir():
            return candidate
        if candidate.name == ".git" and candidate.is_file():  # a linked work tree
            word, _, target = candidate.read_text(errors="replace").partition(":")
            if word == "gitdir":
                return (path / target.strip()).resolve()
    return None


def resolve(git_dir: Path, revision: str) -> str:
    """Full hash of a revision's commit.

    Raises:
        GitError: if there is none.
    """
    return _run(git_dir, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").strip()


def origin_name(git_dir: Path) -> str | None:
    """``owner/name`` of the remote called origin, if it has one."""
    try:
        link = _run(git_dir, "config", "--get", "remote.origin.url").strip()
    except GitError:
        return None
    match = re.search(r"([\w.-]+)/([\w.-]+?)(?:\.git)?/?$", link)
    return f"{match[1]}/{match[2]}" if match else None


def tree(git_dir: Path, commit: str) -> list[Blob]:
    """Regular files of `commit` in the order of its tree.

    Raises:
        GitError: if a tree is missing or damaged.
    """
    blobs = []
    for entry in _run(git_dir, "ls-tree", "-r", "-z", commit).split("\0"):
        facts, _, path = entry.partition("\t")
        fields = facts.split()
        if len(fields) == 3 and fields[0].startswith("100"):
            blobs.append(Blob(fields[2], path))
    return blobs


def python_files(git_dir: Path, commit: str, max_bytes: int) -> Iterator[RawFile]:
    """Regular files ending in ``.py`` of `commit`, in the order of the tree; see `read`.

    Raises:
        GitError: if the object store is damaged.
    """
    blobs = [blob for blob in tree(git_dir, commit) if blob.path.endswith(".py")]
    yield from read(git_dir, blobs, max_bytes)


def licence_texts(git_dir: Path, commit: str) -> dict[str, str]:
    """Name and text of each licence file of `commit`.

    Raises:
        GitError: if the object store is damaged.
    """
    blobs = [blob for blob in tree(git_dir, commit) if is_licence_file(blob.path)]
    read_files = read(git_dir, blobs, MAX_LICENCE_BYTES)
    return {raw.path: raw.data.decode("utf-8", "replace") for raw in read_files}


def read(git_dir: Path, blobs: Sequence[Blob], max_bytes: int) -> Iterator[RawFile]:
    """The content of `blobs` in their order; those over `max_bytes` come unread.

    Memory holds one file at a time. A missing or damaged one is counted and the rest is read.

    Raises:
        GitError: if git is not installed.
    """
    sizes = _sizes(git_dir, blobs)
    place = 0
    while place < len(blobs):
        for raw in _read_some(git_dir, blobs[place:], sizes, max_bytes):
            place += 1
            yield raw
        if place < len(blobs):  # git ended at a damaged object
            yield RawFile(b"", blobs[place].path, UNREADABLE)
            place += 1


def _sizes(git_dir: Path, blobs: Sequence[Blob]) -> dict[str, int]:
    """Bytes of each blob that git can find, by hash."""
    sizes: dict[str, int] = {}
    with _cat_file(git_dir, "--batch-check", [blob.hash for blob in blobs]) as process:
        assert process.stdout is not None
        for line in process.stdout:
            fields = line.split()
            if len(fields) == 3 and fields[1] == b"blob":
                sizes[fields[0].decode()] = int(fields[2])
    return sizes


def _read_some(
    git_dir: Path, blobs: Sequence[Blob], sizes: dict[str, int], max_bytes: int
) -> Iterator[RawFile]:
    """Files up to the end or to the first that makes git stop."""
    wanted = [blob.hash for blob in blobs if 0 <= sizes.get(blob.hash, -1) <= max_bytes]
    with _cat_file(git_dir, "--batch", wanted) as process:
        assert process.stdout is not None
        for blob in blobs:
            size = sizes.get(blob.hash)
            if size is None:  # damaged, or a partial clone
                yield RawFile(b"", blob.path, UNREADABLE)
            elif size > max_bytes:
                yield RawFile(b"", blob.path, TOO_LARGE)
            else:
                head = process.stdout.readline().split()
                if len(head) != 3 or int(head[2]) != size:
                    return
                data = process.stdout.read(size + 1)
                if len(data) != size + 1:
                    return
                yield RawFile(data[:-1], blob.path)


class _cat_file:  # noqa: N801
    """A running ``git cat-file`` that is fed a list of hashes, as a context."""

    def __init__(self, git_dir: Path, mode: str, hashes: Sequence[str]) -> None:
        self._command = ["git", "--git-dir", str(git_dir), "cat-file", mode]
        self._hashes = hashes

    def __enter__(self) -> subprocess.Popen[bytes]:
        with tempfile.TemporaryFile() as wanted:
            wanted.write("".join(f"{name}\n" for name in self._hashes).encode())
            wanted.seek(0)
            try:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=wanted,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env=_environment(),
                )
            except FileNotFoundError as error:
                raise GitError(_NO_GIT) from error
        return self._process

    def __exit__(self, *_: object) -> None:
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.kill()
        self._process.wait()


_FULL_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def is_url(text: str) -> bool:
    """Whether `text` names a repository elsewhere: ``https://…``, ``ssh://…``, ``file://…``."""
    return re.match(r"[a-z][a-z0-9+.-]*://", text) is not None


def clone_at(url: str, commit: str, cache: Path) -> Path:
    """Fetches one commit of a repository elsewhere; what is in the cache is not fetched again.

    Where the server allows it, only that commit comes, and of its files only the Python and the
    licences (a partial clone, ``--filter=blob:none``); else the whole repository. It is made aside
    and renamed.

    Args:
        url: see `is_url`.
        commit: its full hash.
        cache: a folder, made if need be.

    Returns:
        The bare repository.

    Raises:
        GitError: if `commit` is no full hash, or the server does not give it.
    """
    if not _FULL_HASH.fullmatch(commit):
        raise GitError(f"{_shown(url)} needs a commit as a full hash, not {commit!r}")
    short = re.sub(r"[^\w.-]+", "-", url.rstrip("/").removesuffix(".git").rpartition("/")[2])
    digest = hashlib.sha256(url.encode()).hexdigest()[:12]
    folder = cache / "git" / f"{short}-{digest}" / f"{commit}.git"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent) as aside:
        made = Path(aside) / "part.git"
        try:
            _fetch_part(made, url, commit)
        except GitError:
            made = Path(aside) / "whole.git"
            _init(made, url)
            heads, tags = "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"
            try:
                _run(made, *_SLOW, "fetch", "--quiet", "--no-tags", "origin", heads, tags)
            except GitError as error:
                words = str(error).partition("failed: ")[2]
                raise GitError(f"cannot clone {_shown(url)}: {words}") from error
            try:
                resolve(made, commit)
            except GitError as error:
                raise GitError(f"{_shown(url)} has no commit {commit}") from error
        _run(made, "update-ref", "--no-deref", "HEAD", commit)
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another build was faster
                raise
    return folder


# a connection that gives under 1 kB/s for a minute is dead
_SLOW = ("-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60")


def _init(git_dir: Path, url: str) -> None:
    git_dir.mkdir()
    _run(git_dir, "init", "--quiet", "--bare")
    _run(git_dir, "config", "remote.origin.url", url)


def _fetch_part(git_dir: Path, url: str, commit: str) -> None:
    _init(git_dir, url)
    fetch = (*_SLOW, "fetch", "--quiet", "--no-tags", "--filter=blob:none")
    _run(git_dir, *fetch, "--depth=1", "origin", commit)
    wanted = [b for b in tree(git_dir, commit) if b.path.endswith(".py") or is_licence_file(b.path)]
    present = _sizes(git_dir, wanted)
    missing = sorted({blob.hash for blob in wanted} - set(present))
    if missing:
        lines = "".join(f"{name}\n" for name in missing)
        _run(git_dir, *fetch, "--no-write-fetch-head", "--stdin", "origin", given=lines)
    # what is not here is not wanted: git shall not fetch it later, file by file
    _run(git_dir, "config", "--unset-all", "remote.origin.promisor", may_fail=True)
    _run(git_dir, "config", "--unset-all", "remote.origin.partialclonefilter", may_fail=True)
    if len(_sizes(git_dir, wanted)) < len({blob.hash for blob in wanted}):
        raise GitError(f"{_shown(url)} did not send all files of {commit}")


_NO_GIT = "the program git is not installed: install it and run this again"


def _shown(text: str) -> str:
    """`text` without the passwords of its URLs."""
    return re.sub(r"://[^/@\s]*@", "://", text)


def _run(git_dir: Path, *arguments: str, given: str = "", may_fail: bool = False) -> str:
    try:
        done = subprocess.run(
            ["git", "--git-dir", str(git_dir), *arguments],
            input=given.encode(),
            capture_output=True,
            check=False,
            env=_environment(),
        )
    except FileNotFoundError as error:
        raise GitError(_NO_GIT) from error
    if done.returncode != 0 and not may_fail:
        words = " ".join(done.stderr.decode("utf-8", "replace").split()) or "no such revision"
        verb = next(word for word in arguments if word != "-c" and "=" not in word)
        raise GitError(_shown(f"{git_dir}: git {verb} failed: {words}"))
    return done.stdout.decode("utf-8", "replace")


def _environment() -> dict[str, str]:
    """Keeps git from fetching what a partial clone lacks, and from asking for a password."""
    return {**os.environ, "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}
