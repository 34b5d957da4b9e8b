"""Which text of other files to put before a prompt."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..types import Related
from .imports import Read, imported
from .similar import Passage, names, similar

Part = Literal["imports", "similar"]
PARTS: tuple[Part, ...] = ("imports", "similar")

NEAR_LINES = 20
"""Lines each side of the cursor that say which of the imported definitions matter."""

MOST_PASSAGES = 2
CHARACTERS_PER_TOKEN = 4
SHARE = 0.6
"""Of the room, what passages may take beside imports."""


@dataclass(frozen=True)
class Sources:
    """Where text of other files is had.

    Attributes:
        read: gives files; what must not be shown to the model it does not give.
        roots: folders in which absolute imports are looked for.
        passages: text that may be like what is being written, the most important first.
    """

    read: Read
    roots: Sequence[str] = ()
    passages: Sequence[Passage] = ()


def choose(
    before: str,
    after: str,
    path: str,
    sources: Sources,
    tokens: int,
    parts: Sequence[Part] = PARTS,
) -> tuple[Related, ...]:
    """What of other files to show at a cursor, the most important last.

    Args:
        before: text before the cursor.
        after: text after it.
        path: of the file.
        sources: of the text.
        tokens: most of them, roughly, of both parts together.
        parts: that are wanted.

    Returns:
        Text of other files; of one file, definitions stand together.
    """
    room = tokens * CHARACTERS_PER_TOKEN
    left = int(room * SHARE) if "imports" in parts else room
    chosen: list[Related] = []
    if "similar" in parts:
        for passage in similar(before, sources.passages, MOST_PASSAGES):
            text = passage.text[: passage.text.rfind("\n", 0, left) + 1]  # whole lines
            if text:
                chosen.insert(0, Related(passage.path, text))
                left -= len(text)
    if "imports" in parts:
        left = room - sum(len(one.text) for one in chosen)
        chosen = _definitions(before, after, path, sources, left) + chosen
    return tuple(chosen)


def _definitions(
    before: str, after: str, path: str, sources: Sources, budget: int
) -> list[Related]:
    """Imported definitions: those named near the cursor, then the others, as far as they fit."""
    lines = [*before.split("\n")[-NEAR_LINES:], *after.split("\n")[:NEAR_LINES]]
    near = names("\n".join(lines))
    roots = [*sources.roots, *_package_roots(path, sources)]
    found = list(imported(before + after, path, roots, sources.read))
    named = [(name.split(".")[0] in near, number, one) for number, (name, one) in enumerate(found)]
    texts: dict[str, list[tuple[int, str]]] = {}
    rank: dict[str, int] = {}
    for is_near, number, one in sorted(named, key=lambda item: (not item[0], item[1])):
        if len(one.text) > budget:
            continue
        budget -= len(one.text)
        texts.setdefault(one.path, []).append((number, one.text))
        rank[one.path] = rank.get(one.path, 0) + is_near
    order = sorted(texts, key=lambda file: rank[file])
    return [Related(file, "".join(text for _, text in sorted(texts[file]))) for file in order]


def _package_roots(path: str, sources: Sources) -> list[str]:
    """The folder in which the package lies that the file belongs to."""
    folder = posixpath.dirname(path)
    while folder and folder != "/" and sources.read(f"{folder}/__init__.py") is not None:
        folder = posixpath.dirname(folder)
    return [folder]
