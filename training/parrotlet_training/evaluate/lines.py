"""How often the served engine completes a line: exact matches and edit similarity.

At each place the rest of the cursor's line is taken away, as if it were not typed yet; what stands
above and below stays. The engine then suggests the rest of the line.
"""

from __future__ import annotations

import builtins
import keyword
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rapidfuzz.distance import Levenshtein

from parrotlet_server.bundle import Bundle
from parrotlet_server.engine import Engine, Request

from .figures import Figure, clustered, difference
from .mistakes import Kind, mistake

NEARLY = 0.8
"""Of the rest of a line: whoever wrote that much right knew what to write."""

DROPPED = "syntax"
"""Among `Completion.dropped`, what was dropped because it made the file less parseable."""

CUT = "length"
"""`Completion.reason` of what was cut because it grew too long."""

_WORD = re.compile(r"[^\W\d]\w*")
_PYTHONS = frozenset([*keyword.kwlist, *keyword.softkwlist, *dir(builtins), "self", "cls"])

Place = tuple[str, str, int]
"""Path (told to the model), whole text, and the cursor's offset in characters."""


@dataclass(frozen=True)
class LineItem:
    """What came of one place.

    Attributes:
        path: of the file.
        offset: of the cursor, in characters.
        before: the line up to the cursor.
        wanted: rest of the line, without white space at its end.
        suggested: by the engine; "" where it suggests nothing.
        similarity: 1 - Levenshtein distance / length of the longer one; 0 to 1.
        reason: why the suggestion ended or is missing, as in `Completion.reason`.
        seconds: that the engine took.
        dropped: why likelier answers were not worth showing, as in `Completion.dropped`.
        novel: whether the line takes a word that stands nowhere else in the file.
    """

    path: str
    offset: int
    before: str
    wanted: str
    suggested: str
    similarity: float
    reason: str
    seconds: float
    dropped: tuple[str, ...] = ()
    novel: bool = False

    @property
    def exact(self) -> bool:
        """Whether the suggestion is the rest of the line."""
        return self.suggested == self.wanted

    @property
    def mistake(self) -> Kind:
        """What is wrong with it, or "right"."""
        return mistake(self.before, self.wanted, self.suggested)

    @property
    def nearly(self) -> bool:
        """Whether the first 80 % of the rest of the line is suggested."""
        size = math.ceil(NEARLY * len(self.wanted))
        return self.suggested[:size] == self.wanted[:size]


@dataclass(frozen=True)
class LineScore:
    """Results at all places, in the order given.

    Attributes:
        items: one for each place.
        groups: what the intervals are drawn over: the group of each item.
        grouping: what these are, in the plural.
    """

    items: tuple[LineItem, ...]
    groups: tuple[str, ...]
    grouping: str = "files"

    @property
    def exacts(self) -> list[float]:
        """1 for each exact match, 0 for the others."""
        return [float(item.exact) for item in self.items]

    @property
    def similarities(self) -> list[float]:
        """Edit similarity of each item."""
        return [item.similarity for item in self.items]

    @property
    def exact(self) -> Figure:
        """Share of exact matches."""
        return clustered("exact match", self.exacts, self.groups, "lines", self.grouping)

    @property
    def similarity(self) -> Figure:
        """Mean edit similarity."""
        return clustered("edit similarity", self.similarities, self.groups, "lines", self.grouping)

    @property
    def stops_right(self) -> Figure:
        """Of the suggestions whose first 80 % is right, those that end where the line does.

        What is wrong in the last fifth before either ends says nothing of stopping, so it is left
        out.
        """
        near = [
            at
            for at, item in enumerate(self.items)
            if item.nearly
            and (item.wanted.startswith(item.suggested) or item.suggested.startswith(item.wanted))
        ]
        part = self.subset(near)
        return clustered("stops right", part.exacts, part.groups, "lines", self.grouping)

    @property
    def parseable(self) -> Figure:
        """Of what the model wrote first at each place, what leaves the file no less parseable.

        What does not is dropped by the server, and so never shown. A line that was cut for its
        length is not looked at, and does not count.
        """
        written = [
            at
            for at, item in enumerate(self.items)
            if item.dropped[:1] == (DROPPED,)
            or (not item.dropped and item.suggested and item.reason != CUT)
        ]
        part = self.subset(written)
        values = [float(not item.dropped) for item in part.items]
        return clustered("parseable as written", values, part.groups, "lines", self.grouping)

    def mistakes(self) -> Counter[Kind]:
        """How many items are wrong in which way."""
        return Counter(item.mistake for item in self.items if not item.exact)

    def subset(self, chosen: Sequence[int]) -> LineScore:
        """The score at the places with the indices `chosen` alone."""
        return LineScore(
            tuple(self.items[at] for at in chosen),
            tuple(self.groups[at] for at in chosen),
            self.grouping,
        )


def line_score(
    model: Engine | Bundle | Path | str | None,
    texts: Sequence[Place],
    groups: Sequence[str] | None = None,
    grouping: str = "files",
    progress: Callable[[int], object] | None = None,
    change: Callable[[int, Request], Request] | None = None,
) -> LineScore:
    """Asks the served engine at each of `texts` for the rest of the line.

    Args:
        model: an engine; or a bundle, or the name of a model as `parrotlet serve` takes it
            (None is the bundled one), of which an engine is made.
        texts: path, whole text and offset of the cursor of each place.
        groups: of each place, for the intervals; None groups by path.
        grouping: what the groups are, in the plural.
        progress: is told the number of places done.
        change: gives the request that is made in place of the usual one at a place, by its index.

    Raises:
        BundleError: if the model is missing or damaged.
        ValueError: if `groups` is not as long as `texts`, or an offset lies outside its text.
    """
    groups = [path for path, _, _ in texts] if groups is None else groups
    if len(groups) != len(texts):
        raise ValueError(f"{len(texts)} places, but {len(groups)} groups")
    engine = _engine(model)
    items = []
    for at, place in enumerate(texts):
        items.append(_ask(engine, *place, partial(change, at) if change else None))
        if progress:
            progress(len(items))
    return LineScore(tuple(items), tuple(groups), grouping)


def compare(before: LineScore, after: LineScore) -> tuple[Figure, Figure]:
    """By how much exact matches and edit similarity rise from `before` to `after`.

    Raises:
        ValueError: if the two were not measured at the same places in the same order.
    """
    places = [[(item.path, item.offset, item.wanted) for item in s.items] for s in (before, after)]
    if places[0] != places[1]:
        raise ValueError("the two scores are not of the same places")
    groups, grouping = before.groups, before.grouping
    return (
        difference("exact match", before.exacts, after.exacts, groups, "lines", grouping),
        difference(
            "edit similarity", before.similarities, after.similarities, groups, "lines", grouping
        ),
    )


def _engine(model: Engine | Bundle | Path | str | None) -> Engine:
    if isinstance(model, Engine):
        return model
    if isinstance(model, Bundle):
        model = model.folder
    return Engine.load(None if model is None else str(model))


def _ask(
    engine: Engine,
    path: str,
    text: str,
    offset: int,
    change: Callable[[Request], Request] | None = None,
) -> LineItem:
    if not 0 <= offset <= len(text):
        raise ValueError(f"{path} has {len(text)} characters: there is no offset {offset}")
    end = text.find("\n", offset)
    end = len(text) if end < 0 else end
    wanted = text[offset:end].rstrip()
    request = Request(text[:offset], text[end:], path=path, document=path, multiline="never")
    completion = engine.complete(change(request) if change else request)
    suggested = completion.suggestion.text if completion.suggestion else ""
    similarity = Levenshtein.normalized_similarity(wanted, suggested)
    return LineItem(
        path,
        offset,
        text[text.rfind("\n", 0, offset) + 1 : offset],
        wanted,
        suggested,
        similarity,
        completion.reason,
        completion.seconds,
        completion.dropped,
        has_novel_word(text, offset, offset + len(wanted)),
    )


def has_novel_word(text: str, start: int, end: int) -> bool:
    """Whether `text` from `start` to `end` has a word, or the rest of one, that is nowhere else.

    Python's own words count as known.
    """
    while start > 0 and (text[start - 1].isalnum() or text[start - 1] == "_"):
        start -= 1
    known = _PYTHONS | set(_WORD.findall(text[:start])) | set(_WORD.findall(text[end:]))
    return not known.issuperset(_WORD.findall(text[start:end]))
