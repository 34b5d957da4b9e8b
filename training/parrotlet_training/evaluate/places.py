"""Places at which lines are asked for: those of the hold-out, or drawn from a folder."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .cursors import INSIDE_LINE, KINDS, LINE_START, MAX_PER_FILE, code_lines, load, texts
from .errors import EvaluationError
from .lines import Place

_LEFT_OUT = {"__pycache__", "node_modules", "site-packages", "venv"}
MAX_FILE_BYTES = 1_000_000


@dataclass(frozen=True)
class DrawnPlace:
    """A place to ask at.

    Attributes:
        kind: as in `Cursor.kind`.
        group: what it is counted with for intervals: a repository, or a file.
        path: of the file, as the model is told it.
        text: of the whole file.
        offset: of the cursor, in characters.
    """

    kind: str
    group: str
    path: str
    text: str
    offset: int

    @property
    def place(self) -> Place:
        """For `line_score`."""
        return self.path, self.text, self.offset


def draw_places(
    files: Iterable[tuple[str, str]], number: int, seed: int = 0, per_file: int = MAX_PER_FILE
) -> list[DrawnPlace]:
    """Draws up to `number` places, half of each kind, evenly spread over `files`.

    The same files, in whatever order, and the same seed give the same places. What is left out is
    told in `cursors.code_lines`.

    Args:
        files: path and text of each.
        number: of places.
        seed: of the choice.
        per_file: most places of a kind in one file.
    """
    queues: dict[str, list[tuple[str, list[DrawnPlace]]]] = {kind: [] for kind in KINDS}
    for path, text in files:
        lines = code_lines(text)
        if lines is None:
            continue
        order = hashlib.sha256(f"{seed}\0{path}\0{text}".encode("utf-8", "replace")).hexdigest()
        chosen = random.Random(order)
        starts = [start for start, _ in chosen.sample(lines, min(per_file, len(lines)))]
        shuffled = chosen.sample(lines, len(lines))
        inside = [chosen.choice(offsets) for _, offsets in shuffled if offsets][:per_file]
        for kind, offsets in ((LINE_START, starts), (INSIDE_LINE, inside)):
            own = [DrawnPlace(kind, path, path, text, offset) for offset in offsets]
            queues[kind].append((order, own))
    found = []
    for place, kind in enumerate(KINDS):
        wanted = number * (place + 1) // len(KINDS) - number * place // len(KINDS)
        lists = [own for _, own in sorted(queues[kind], key=lambda item: item[0])]
        turns = (own[turn] for turn in range(per_file) for own in lists if turn < len(own))
        found += [one for _, one in zip(range(wanted), turns, strict=False)]
    return found


def folder_places(folder: Path, number: int, seed: int = 0) -> list[DrawnPlace]:
    """`draw_places` from the Python files of `folder`, hidden and installed ones left out.

    Raises:
        EvaluationError: if there is no such folder, or no code in it.
    """
    if not folder.is_dir():
        raise EvaluationError(f"there is no folder {folder}")
    found = draw_places(python_files(folder), number, seed)
    if not found:
        raise EvaluationError(f"{folder} holds no Python code to draw places from")
    return found


def held_out_places(
    corpus: Path, cursors: Path | None, number: int | None
) -> tuple[list[DrawnPlace], str]:
    """The places of a list of cursors, and a line that says how many were found again.

    Args:
        corpus: a folder of `parrotlet corpus build --holdout`.
        cursors: the list; None is the committed one.
        number: most places, evenly over kinds and over the list; None is all.

    Raises:
        CursorError: if either cannot be read.
        EvaluationError: if none is found again.
    """
    joined = texts(corpus, None if cursors is None else load(cursors))
    if not joined.places:
        raise EvaluationError(f"{joined.summary()}: build the hold-out of the list in {corpus}")
    places = [
        DrawnPlace(cursor.kind, cursor.repository, cursor.path, text, cursor.offset)
        for cursor, text in joined.places
    ]
    if number is None:
        return places, joined.summary()
    found = []
    for at, kind in enumerate(KINDS):
        wanted = number * (at + 1) // len(KINDS) - number * at // len(KINDS)
        found += _evenly([place for place in places if place.kind == kind], wanted)
    return found, joined.summary()


def _evenly(places: Sequence[DrawnPlace], number: int) -> list[DrawnPlace]:
    if number >= len(places):
        return list(places)
    return [places[at * len(places) // number] for at in range(number)]


def python_files(folder: Path) -> Iterator[tuple[str, str]]:
    """Path and text of each file below `folder` that code is drawn from."""
    for file in sorted(folder.rglob("*.py")):
        parts = file.relative_to(folder).parts
        if any(part.startswith(".") or part in _LEFT_OUT for part in parts):
            continue
        try:
            if not file.is_file() or file.stat().st_size > MAX_FILE_BYTES:
                continue
            text = file.read_bytes().decode("utf-8-sig")
        except (OSError, UnicodeDecodeError):
            continue
        yield "/".join(parts), text.replace("\r\n", "\n").replace("\r", "\n")
