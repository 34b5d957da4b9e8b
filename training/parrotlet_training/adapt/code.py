"""The text that an adaptation learns from and is judged by.

Files of the user's own repositories are kept out by a hash of their paths; what is left is learnt.
General Python, out of the running interpreter's library and the distributions installed beside it,
is mixed in, since a model that sees one repository alone forgets the rest ("rehearsal", Robins
1995), and some of it is kept out too, to measure what was forgotten all the same.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..corpus.document import Document, RawFile
from ..corpus.filters import default_filters
from ..corpus.holdout import is_held_out
from ..corpus.licences import is_permissive
from ..corpus.near import Signatures, near_duplicates, signatures_of
from ..corpus.process import Processing, process
from ..corpus.sources import Source, SourceError, standard_library
from ..corpus.sources.distribution import distributions

HELD_OUT_SHARE = 0.1
"""Of the bytes of one's own code."""

HELD_OUT_BYTES = 400_000
"""Of one's own code, at most: more takes long to score and says no more."""

GENERAL_HELD_OUT_BYTES = 150_000
"""Of general Python, at most, for either of the two purposes that some is held out for."""

GENERAL_HELD_OUT_SHARE = 0.2
"""Of the projects that general Python comes from, for both."""

LEAST_FILES = 5
LEAST_BYTES = 20_000
"""Of useful code: with less there is nothing to learn, and nothing to measure it by."""

MAX_BYTES = 1024 * 1024
"""Of one file, as in a corpus."""


class TooLittleCodeError(ValueError):
    """There is not enough to learn from; the message says how much is there and why not more."""


@dataclass
class Seen:
    """What became of the files of one's own repositories.

    Attributes:
        files: Python files that are there.
        bytes: theirs, of those that could be read.
        left_out: why others were not taken.
        redacted: secrets and addresses that were replaced, by kind.
        warnings: lines for the user.
    """

    files: int = 0
    bytes: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    redacted: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)

    def reasons(self) -> str:
        """What was left out, as one phrase."""
        return ", ".join(f"{why}: {count}" for why, count in self.left_out.most_common())


@dataclass
class Material:
    """Documents by what they are for; no held-out one is like any that is learnt.

    Attributes:
        own: of the user, to learn.
        held_out: of the user, to judge by.
        general: other Python, to mix in, in a random but fixed order.
        general_bound: other Python, to decide by how much of what was learnt is taken.
        general_held_out: other Python, to judge by what came of it; of other projects than the
            former two where there are several.
    """

    own: list[Document]
    held_out: list[Document]
    general: list[Document]
    general_bound: list[Document]
    general_held_out: list[Document]


def own_documents(sources: Sequence[Source], quality: int | None) -> tuple[list[Document], Seen]:
    """The useful Python of the user's repositories, each text once.

    The licence does not matter, nor the rule of the hold-out: that one is for what is shared.

    Args:
        sources: of one repository each.
        quality: level that all documents get, since it is this code that is wanted; None where
            the model knows no levels.

    Raises:
        SourceError: if one cannot be read.
        TooLittleCodeError: if there is not enough.
    """
    options = Processing(filters=default_filters(), licences=None, redact=True)
    seen = Seen()
    documents: dict[bytes, Document] = {}
    with tqdm(unit="file", desc="own code", disable=None, delay=1, leave=False) as bar:
        for source in sources:
            for raw in source.files(MAX_BYTES):
                bar.update()
                seen.files += 1
                seen.bytes += len(raw.data)
                outcome = process(raw, options, own=True)
                reason = outcome.reason
                if reason is None and outcome.digest in documents:
                    reason = "a copy"
                if reason is not None:
                    seen.left_out[reason] += 1
                    continue
                seen.redacted.update(outcome.redacted)
                documents[outcome.digest] = _document(source, raw, outcome.text, quality)
            seen.warnings += source.warnings
    useful = list(documents.values())
    _check_enough(useful, seen, ", ".join(source.repository for source in sources))
    return useful, seen


def _check_enough(useful: Sequence[Document], seen: Seen, names: str) -> None:
    size = sum(map(_size, useful))
    if not seen.files:
        raise TooLittleCodeError(f"{names} holds no Python: give a repository with .py files")
    if len(useful) < LEAST_FILES or size < LEAST_BYTES:
        why = f" ({seen.reasons()})" if seen.left_out else ""
        raise TooLittleCodeError(
            f"too little code: {names} holds {seen.files} Python files, {seen.bytes / 1000:.0f} "
            f"kB, of which {len(useful)} files, {size / 1000:.0f} kB, are useful{why}; at least "
            f"{LEAST_FILES} files and {LEAST_BYTES // 1000} kB are needed: name more repositories"
        )


def general_sources() -> list[Source]:
    """The standard library and all installed distributions, but what is held out or not free."""
    found: list[Source] = [standard_library()]
    with suppress(SourceError):  # a bare interpreter
        found += distributions("*")
    return [
        source
        for source in found
        if not is_held_out(source.repository) and is_permissive(source.licence)
    ]


def general_documents(sources: Sequence[Source], max_bytes: int, rated: bool) -> Iterator[Document]:
    """About `max_bytes` of useful Python of `sources`, in turn from each, by a hash of the path.

    Args:
        sources: of one repository each.
        max_bytes: text wanted.
        rated: give each document its quality level.
    """
    options = Processing(filters=default_filters(), redact=True, quality=rated)
    taken = 0
    # a large one must not drown the others: a few times its equal share is read of each
    share = max(100_000, 4 * max_bytes // max(1, len(sources)))
    queues = [iter(_some(source, share)) for source in sources]
    digests: set[bytes] = set()
    with tqdm(total=max_bytes, unit="B", unit_scale=True, desc="general", disable=None) as bar:
        while queues and taken < max_bytes:
            for queue in list(queues):
                found = next(queue, None)
                if found is None:
                    queues.remove(queue)
                    continue
                source, raw = found
                outcome = process(raw, options)
                if outcome.reason is not None or outcome.digest in digests:
                    continue
                digests.add(outcome.digest)
                document = _document(source, raw, outcome.text, outcome.quality)
                taken += _size(document)
                bar.update(_size(document))
                yield document
                if taken >= max_bytes:
                    break


def _some(source: Source, max_bytes: int) -> list[tuple[Source, RawFile]]:
    """Files of `source` of about `max_bytes` in all, by a hash of their paths."""
    files = [raw for raw in source.files(MAX_BYTES // 4) if raw.problem is None]
    files.sort(key=lambda raw: _draw(source.repository, raw.path))
    ends = np.cumsum([len(raw.data) for raw in files])
    return [(source, raw) for raw in files[: int(np.searchsorted(ends, max_bytes)) + 1]]


def divide(own: Sequence[Document], general: Sequence[Document]) -> Material:
    """Sorts documents into those to learn and those to judge by.

    Of one's own code a tenth of the bytes is held out, but not a near-copy of what is learnt. Of
    general Python up to `GENERAL_HELD_OUT_BYTES` are, twice, out of projects of which nothing is
    learnt: what was forgotten of the world does not show in files whose neighbours were just read.
    What is like anything held out is not learnt.
    """
    judged, learnt = _drawn(own, min(HELD_OUT_BYTES, HELD_OUT_SHARE * sum(map(_size, own))))
    bound, general_judged, mixed_in = _projects_drawn(
        general, min(GENERAL_HELD_OUT_BYTES, sum(map(_size, general)) / 8)
    )
    kept = _without_copies([learnt, judged, bound, general_judged, mixed_in])
    return Material(kept[0], kept[1], kept[4], kept[2], kept[3])


def _drawn(documents: Sequence[Document], wanted: float) -> tuple[list[Document], list[Document]]:
    """About `wanted` bytes of files by a hash of their paths, and the others, in that order.

    A file that would be most of what is drawn is not drawn: it would decide the score alone.
    """
    ordered = sorted(documents, key=lambda document: _draw(document.repository, document.path))
    largest = max(wanted / 4, float(np.median([_size(document) for document in ordered] or [0])))
    drawn: list[Document] = []
    others: list[Document] = []
    total = 0
    for document in ordered:
        if total < wanted and _size(document) <= largest:
            drawn.append(document)
            total += _size(document)
        else:
            others.append(document)
    return drawn, others


def _projects_drawn(
    documents: Sequence[Document], wanted: float
) -> tuple[list[Document], list[Document], list[Document]]:
    """About `wanted` bytes, twice, of a fifth of the projects, and all of the others.

    The largest project is always among the others; where it is nearly alone, its files are divided.
    """
    projects: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        projects[document.repository].append(document)
    largest = max(projects, key=lambda name: sum(map(_size, projects[name])), default="")
    names = sorted(projects.keys() - {largest}, key=lambda name: _draw(name, ""))
    if len(names) < 2:
        drawn, others = _drawn(documents, 2 * wanted)
        return drawn[::2], drawn[1::2], others
    judged = names[: max(2, round(GENERAL_HELD_OUT_SHARE * len(names)))]
    bound, held_out = (
        _some_of_each([projects[name] for name in judged[start::2]], wanted) for start in (0, 1)
    )
    others = [document for document in documents if document.repository not in judged]
    others.sort(key=lambda document: _draw(document.repository, document.path))
    return bound, held_out, others


def _some_of_each(projects: Sequence[Sequence[Document]], wanted: float) -> list[Document]:
    """About `wanted` bytes of `projects`, a file of each in turn, none that would outweigh ten."""
    sizes = [_size(document) for project in projects for document in project]
    largest = max(wanted / 10, float(np.median(sizes)))
    queues = [
        sorted(
            (document for document in project if _size(document) <= largest),
            key=lambda document: _draw(document.repository, document.path),
        )
        for project in projects
    ]
    taken: list[Document] = []
    total = 0
    for turn in zip_longest(*queues):
        for document in turn:
            if document is not None and total < wanted:
                taken.append(document)
                total += _size(document)
    return taken


def _without_copies(groups: Sequence[Sequence[Document]]) -> list[list[Document]]:
    """The groups without near-copies of what stands before; the first group stays whole."""
    documents = [document for group in groups for document in group]
    texts = [document.content for document in documents]

    def read(numbers: NDArray[np.int64]) -> list[str]:
        return [texts[int(number)] for number in numbers]

    with (
        tempfile.TemporaryDirectory() as scratch,
        Signatures(Path(scratch) / "signatures") as signatures,
    ):
        for start in range(0, len(texts), 1024):
            signatures.append_array(signatures_of(texts[start : start + 1024]))
        first = np.arange(len(texts)) < len(groups[0])
        report = near_duplicates(
            signatures, np.arange(len(texts)), read, protected=first, scratch=Path(scratch)
        )
    kept: list[list[Document]] = []
    start = 0
    for group in groups:
        mask = report.dropped[start : start + len(group)]
        kept.append([document for document, gone in zip(group, mask, strict=True) if not gone])
        start += len(group)
    return kept


def rounds(
    own: Sequence[Document], general: Sequence[Document], share: float, max_bytes: int
) -> Iterator[Document]:
    """What the training reads: one's own code again and again, general Python between.

    Each round is all of `own`, with as much that was not there before of `general` as makes it
    `share` of the bytes; when it ends, it begins again.

    Args:
        own: at least one document.
        general: in the order in which it is taken.
        share: of general Python, in [0, 1).
        max_bytes: where to stop; always at the end of a round or before.
    """
    total = own_bytes = general_bytes = place = 0
    while total < max_bytes:
        for document in own:
            if total >= max_bytes:
                return
            own_bytes += _size(document)
            total += _size(document)
            yield document
            while general and general_bytes < own_bytes * share / (1 - share):
                other = general[place % len(general)]
                place += 1
                general_bytes += _size(other)
                total += _size(other)
                yield other


def _document(source: Source, raw: RawFile, text: str, quality: int | None) -> Document:
    return Document(
        text,
        raw.path,
        source.repository,
        source.commit,
        source.licence,
        source.kind,
        quality,
    )


def _draw(repository: str, path: str) -> bytes:
    """What decides by its order: the same for the same file, whatever else there is."""
    return hashlib.sha256(f"{repository}\0{path}".encode("utf-8", "surrogatepass")).digest()


def _size(document: Document) -> int:
    return len(document.content.encode("utf-8", "surrogatepass"))
