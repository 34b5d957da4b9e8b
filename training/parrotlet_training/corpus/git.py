"""Reading a commit's files from a git object store through the git program."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .document import TOO_LARGE, UNREADABLE, RawFile


class GitError(RuntimeError):
    """git is missing, or does not understand the repository; the message carries its own words."""


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


def python_files(git_dir: Path, commit: str, max_bytes: int) -> Iterator[RawFile]:
    """Regular files ending in ``.py`` of `commit`, in the order of the tree.

    One ``ls-tree`` lists them and one ``cat-file --batch`` streams them, so memory holds one
    file at a time.

    Raises:
        GitError: if the object store is damaged.
    """
    listed: list[tuple[str, str]] = []
    listing = _run(git_dir, "ls-tree", "-r", "-l", "-z", commit)
    for entry in listing.split("\0"):
        facts, _, path = entry.partition("\t")
        fields = facts.split()
        if len(fields) != 4 or not path.endswith(".py") or not fields[0].startswith("100"):
            continue
        if fields[3].isdigit() and int(fields[3]) > max_bytes:
            yield RawFile(b"", path, TOO_LARGE)
        else:
            listed.append((fields[2], path))
    with tempfile.TemporaryFile() as wanted:
        wanted.write("".join(f"{blob}\n" for blob, _ in listed).encode())
        wanted.seek(0)
        process = subprocess.Popen(
            ["git", "--git-dir", str(git_dir), "cat-file", "--batch"],
            stdin=wanted,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
        )
        assert process.stdout is not None
        try:
            for blob, path in listed:
                head = process.stdout.readline().split()
                if head[1:] == [b"missing"]:  # a partial clone
                    yield RawFile(b"", path, UNREADABLE)
                    continue
                if len(head) != 3 or head[1] != b"blob":
                    raise GitError(f"{git_dir}: object {blob} of {path} cannot be read")
                data = process.stdout.read(int(head[2]) + 1)
                if len(data) != int(head[2]) + 1:
                    raise GitError(f"{git_dir}: object {blob} of {path} is cut short")
                yield RawFile(data[:-1], path)
        finally:
            process.stdout.close()
            process.kill()
            process.wait()


def _run(git_dir: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "--git-dir", str(git_dir), *arguments],
            capture_output=True,
            check=False,
            env=_environment(),
        )
    except FileNotFoundError as error:
        raise GitError("the program git is not installed") from error
    if done.returncode != 0:
        words = done.stderr.decode("utf-8", "replace").strip() or "no such revision"
        raise GitError(f"{git_dir}: git {arguments[0]} failed: {words}")
    return done.stdout.decode("utf-8", "replace")


def _environment() -> dict[str, str]:
    """Keeps git from fetching what a partial clone lacks, and from asking for a password."""
    return {**os.environ, "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}
