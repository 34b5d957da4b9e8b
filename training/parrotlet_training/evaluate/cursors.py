"""Places in the hold-out at which models are measured: the same ones for every model and year.

The list names files and offsets, never text; each file's hash makes a changed corpus noticed.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import random
import re
import tokenize
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from ..corpus.holdout import is_held_out
from ..corpus.shards import shard_files

CURSORS = Path(__file__).with_name("cursors.jsonl")
"""The committed list."""

LINE_START = "line_start"
INSIDE_LINE = "inside_line"
KINDS = (LINE_START, INSIDE_LINE)
SPLIT = "holdout"
PER_KIND = 1_000

MAX_PER_FILE = 4
"""Cursors of one kind in one file, so that a small repository still has its share."""

MIN_CODE_LINES = 5
MAX_LITERALS = 0.7
"""A larger share of literals among names and literals makes a file data-like."""

_FIXTURE = re.compile(r"(?:^|/)tests?/(?:.*/)?(?:cases|data|fixtures|testdata|test_data)/")
"""Input of tests: written to be odd, not to be run."""


class CursorError(ValueError):
    """A list of cursors or its corpus cannot be read; the message says what to do."""


@dataclass(frozen=True, order=True)
class Cursor:
    """A place in a document of the hold-out.

    Attributes:
        repository: ``owner/name``.
        commit: of the repository.
        path: inside it.
        kind: `LINE_START`: before the first character of a line of code that is not blank;
            `INSIDE_LINE`: after that and before a character of code, so never at a line's end.
        offset: in characters from the beginning of the document.
        sha256: of the document's text in UTF-8, hexadecimal.
    """

    repository: str
    commit: str
    path: str
    kind: str
    offset: int
    sha256: str


@dataclass(frozen=True)
class Joined:
    """Cursors with the documents that they point into.

    Attributes:
        places: cursor and whole text of its document, in the order of the list.
        missing: cursors whose document the corpus lacks.
        changed: cursors whose document reads differently now.
    """

    places: list[tuple[Cursor, str]]
    missing: int
    changed: int

    def summary(self) -> str:
        """One line for the user."""
        total = len(self.places) + self.missing + self.changed
        if len(self.places) == total:
            return f"all {total:,} cursors found"
        return (
            f"{len(self.places):,} of {total:,} cursors found; {self.missing:,} in documents that "
            f"the corpus lacks, {self.changed:,} in documents that have changed"
        )


def draw(corpus: Path, per_kind: int = PER_KIND, seed: int = 0) -> list[Cursor]:
    """Draws cursors from the hold-out, spread evenly over repositories, then over files.

    Left out are files that do not parse, are data-like or the input of tests; comments,
    docstrings, the inside of strings over several lines, and lines that set ``__author__``,
    ``__license__`` and the like.
    The same documents, in whatever order, and the same seed give the same cursors.

    Args:
        corpus: a folder of `parrotlet corpus build --holdout`.
        per_kind: cursors of each kind; fewer if the corpus has not as many places.
        seed: of the choice.

    Raises:
        CursorError: if there is no hold-out, or it cannot be read.
    """
    if per_kind < 1:
        raise CursorError(f"{per_kind} cursors of each kind are none: give 1 or more")
    files: dict[str, list[tuple[str, dict[str, list[Cursor]]]]] = {}
    for repository, commit, path, text in documents(corpus):
        if not is_held_out(repository):
            raise CursorError(f"{corpus} is not of the hold-out: it holds {repository}")
        digest = _sha256(text)
        order = hashlib.sha256(f"{seed}\0{repository}\0{path}\0{digest}".encode(*_UTF8)).hexdigest()
        lines = None if _FIXTURE.search(path) else code_lines(text)
        if lines is None:
            continue
        chosen = random.Random(order)
        at_starts = [start for start, _ in chosen.sample(lines, min(MAX_PER_FILE, len(lines)))]
        shuffled = chosen.sample(lines, len(lines))
        inside = [chosen.choice(places) for _, places in shuffled if places][:MAX_PER_FILE]
        own = {
            kind: [Cursor(repository, commit, path, kind, offset, digest) for offset in offsets]
            for kind, offsets in zip(KINDS, (at_starts, inside), strict=True)
        }
        files.setdefault(repository, []).append((order, own))
    if not files:
        raise CursorError(f"{corpus} holds no code to draw cursors from")
    found: list[Cursor] = []
    for kind in KINDS:
        queues = []
        for repository in sorted(files):
            lists = [own[kind] for _, own in sorted(files[repository], key=lambda item: item[0])]
            # a repository's files in turn: the first cursor of each, then the second of each
            queues.append(
                [one[turn] for turn in range(MAX_PER_FILE) for one in lists if turn < len(one)]
            )
        found += _in_turn(queues, per_kind)
    return sorted(found)


def _in_turn(queues: Sequence[Sequence[Cursor]], number: int) -> list[Cursor]:
    """The first `number` items, one from each queue in turn."""
    longest = max(map(len, queues), default=0)
    turns = (queue[turn] for turn in range(longest) for queue in queues if turn < len(queue))
    return [item for _, item in zip(range(number), turns, strict=False)]


_UTF8 = ("utf-8", "surrogatepass")
_METADATA = re.compile(r"__(?:author|copyright|credits|email|licen[cs]e|maintainer|version)s?__\b")
_LITERALS = frozenset({tokenize.NUMBER, tokenize.STRING})
_LAYOUT = frozenset(
    {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    | {tokenize.ENDMARKER, tokenize.ENCODING}
)


def code_lines(text: str) -> list[tuple[int, list[int]]] | None:
    """For each line of code, where it starts and where inside of it a cursor may stand.

    Returns:
        Offset of the first character that is not blank, and the offsets after it at which a
        character of code stands; None for what does not parse or is data-like.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
        tokens = list(_merged(tokenize.generate_tokens(io.StringIO(text).readline)))
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError):
        return None
    notes = {  # strings that stand alone as a statement: docstrings and the like
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    names = literals = 0
    found: dict[int, tuple[int, list[int]]] = {}
    for kind, (row, column), (end_row, end_column) in tokens:
        if kind in _LAYOUT:
            continue
        names += kind == tokenize.NAME
        literals += kind in _LITERALS
        line = lines[row - 1]
        first = len(line) - len(line.lstrip())
        if row in notes and kind == tokenize.STRING and column == first:
            continue
        if column == first and not _METADATA.match(line, first):
            found[row] = (starts[row - 1] + first, [])
        if row in found and end_row == row:
            inside = range(max(column, first + 1), end_column)
            found[row][1].extend(starts[row - 1] + at for at in inside if not line[at].isspace())
    if len(found) < MIN_CODE_LINES or literals > MAX_LITERALS * (names + literals):
        return None
    return [found[row] for row in sorted(found)]


def _merged(
    tokens: Iterable[tokenize.TokenInfo],
) -> Iterator[tuple[int, tuple[int, int], tuple[int, int]]]:
    """Kind, start and end of each token, an f-string as one, which it is before Python 3.12."""
    openers = {getattr(tokenize, name, -1) for name in ("FSTRING_START", "TSTRING_START")}
    closers = {getattr(tokenize, name, -1) for name in ("FSTRING_END", "TSTRING_END")}
    depth = 0
    start = (0, 0)
    for token in tokens:
        if token.type in openers:
            depth += 1
            if depth == 1:
                start = token.start
        elif token.type in closers:
            depth -= 1
            if not depth:
                yield tokenize.STRING, start, token.end
        elif not depth:
            yield token.type, token.start, token.end


def write(cursors: Sequence[Cursor], file: Path = CURSORS) -> None:
    """Writes `cursors` as JSON Lines, one file of the corpus a line; whole, or not at all.

    Raises:
        OSError: if that fails.
    """
    grouped: dict[tuple[str, str, str, str], dict[str, list[int]]] = {}
    for cursor in sorted(cursors):
        key = (cursor.repository, cursor.commit, cursor.path, cursor.sha256)
        grouped.setdefault(key, {kind: [] for kind in KINDS})[cursor.kind].append(cursor.offset)
    lines = [
        json.dumps(
            {"repository": repository, "commit": commit, "path": path, "sha256": digest, **offsets}
        )
        for (repository, commit, path, digest), offsets in grouped.items()
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        aside.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)


def load(file: Path = CURSORS) -> list[Cursor]:
    """The cursors in `file`, in their order.

    Raises:
        CursorError: if it is missing or damaged, names a repository that is not held out, or
            names a place twice.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CursorError(f"{file} cannot be read: {error}") from error
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found += _parse(json.loads(line))
        except (ValueError, TypeError, KeyError) as error:
            raise CursorError(
                f"{file}, line {number}: {error}; draw the cursors again with "
                "`parrotlet holdout cursors`"
            ) from error
    if len(set(found)) != len(found):
        raise CursorError(f"{file} names a place twice: draw the cursors again")
    if not found:
        raise CursorError(f"{file} names no cursor: draw the cursors again")
    return sorted(found)


def _parse(values: Any) -> list[Cursor]:
    """The cursors of one line; ValueError says what is wrong with it."""
    names = ("repository", "commit", "path", "sha256")
    if not isinstance(values, dict) or set(values) != {*names, *KINDS}:
        raise ValueError(f"a line has the keys {', '.join((*names, *KINDS))} and no other")
    repository, commit, path, digest = (values[name] for name in names)
    if not all(isinstance(values[name], str) for name in names) or not repository or not path:
        raise ValueError(f"{', '.join(names)} are texts")
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise ValueError(f"{digest!r} is no SHA-256")
    if not is_held_out(repository):
        raise ValueError(f"{repository} is not held out: models may have seen it")
    for kind in KINDS:
        offsets = values[kind]
        if not isinstance(offsets, list) or not all(
            type(offset) is int and offset >= 0 for offset in offsets
        ):
            raise ValueError(f"{kind} is a list of offsets, 0 or more")
    return [
        Cursor(repository, commit, path, kind, offset, digest)
        for kind in KINDS
        for offset in values[kind]
    ]


def texts(corpus: Path, cursors: Sequence[Cursor] | None = None) -> Joined:
    """Joins `cursors` with the documents of the hold-out in the folder `corpus`.

    Args:
        corpus: a folder of `parrotlet corpus build --holdout`.
        cursors: those of `CURSORS` if None.

    Raises:
        CursorError: if either cannot be read.
    """
    cursors = load() if cursors is None else cursors
    wanted = {(cursor.repository, cursor.path) for cursor in cursors}
    found: dict[tuple[str, str], dict[str, str]] = {}
    for repository, _, path, text in documents(corpus):
        if (repository, path) in wanted:
            found.setdefault((repository, path), {})[_sha256(text)] = text
    places = []
    lost: Counter[str] = Counter()
    for cursor in cursors:
        versions = found.get((cursor.repository, cursor.path))
        if versions is None:
            lost["missing"] += 1
        elif cursor.sha256 not in versions or cursor.offset > len(versions[cursor.sha256]):
            lost["changed"] += 1
        else:
            places.append((cursor, versions[cursor.sha256]))
    return Joined(places, lost["missing"], lost["changed"])


def make(corpus: Path, file: Path = CURSORS, per_kind: int = PER_KIND, seed: int = 0) -> list[str]:
    """Draws cursors and writes them: `parrotlet holdout cursors`.

    Returns:
        Lines that say what was drawn.

    Raises:
        CursorError: see `draw`.
        OSError: if `file` cannot be written.
    """
    cursors = draw(corpus, per_kind, seed)
    write(cursors, file)
    kinds = Counter(cursor.kind for cursor in cursors)
    repositories = Counter(cursor.repository for cursor in cursors)
    files = {(cursor.repository, cursor.path) for cursor in cursors}
    lines = [f"{kinds[kind]:,} cursors of kind {kind}" for kind in KINDS]
    lines.append(f"in {len(files):,} files of {len(repositories):,} repositories")
    lines += [f"{name}: {count:,}" for name, count in sorted(repositories.items())]
    return [*lines, f"written to {file}"]


def documents(corpus: Path) -> Iterator[tuple[str, str, str, str]]:
    """Repository, commit, path and text of each document, a row group at a time."""
    files = shard_files(corpus, SPLIT)
    if not files:
        raise CursorError(
            f"{corpus} holds no hold-out: build one with `parrotlet corpus build --holdout`"
        )
    columns = ["repository", "commit", "path", "content"]
    try:
        for reader in map(parquet.ParquetFile, files):
            for group in range(reader.num_row_groups):
                rows = reader.read_row_group(group, columns=columns).to_pydict()
                yield from zip(*(rows[name] for name in columns), strict=True)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise CursorError(f"a shard of {corpus} cannot be read: {error}") from error


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(*_UTF8)).hexdigest()
