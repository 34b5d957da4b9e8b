"""What happens to one file by itself: the part of a build that worker processes share."""

from __future__ import annotations

import gc
import hashlib
import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .document import RawFile
from .filters import Filter, first_reason
from .licences import PERMISSIVE, header_licence, is_permissive
from .text import UndecodableError, decode_python

if TYPE_CHECKING:
    from multiprocessing.pool import AsyncResult

    from .decontamination import Decontaminator

BATCH = 64
"""Files that go to a worker at once."""

TOO_SMALL = "too small"
UNDECODABLE = "not decodable"
OTHER_LICENCE = "licence in the file"
EVALUATION = "evaluation text"


@dataclass(frozen=True)
class Processing:
    """What is done to each file.

    Attributes:
        min_bytes: smaller files are left out.
        filters: by name, in the order in which they run.
        licences: SPDX identifiers; a file whose own header names another is left out. None: no
            file is.
        redact: replace secrets, e-mail and IP addresses.
        decontaminator: leaves out what holds an evaluation set's text.
        quality: rate the file.
        signature: compute its MinHash signature.
    """

    min_bytes: int = 64
    filters: Mapping[str, Filter] = field(default_factory=dict)
    licences: frozenset[str] | None = PERMISSIVE
    redact: bool = False
    decontaminator: Decontaminator | None = None
    quality: bool = False
    signature: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Attributes:
        reason: why it is left out, or None; the rest is empty then.
        task: with `reason` `EVALUATION`: whose text it holds.
        text: as it goes into the corpus.
        digest: 32 bytes, of `text` without white space.
        redacted: replacements by kind.
        quality: level, or None where not rated.
        signature: shape (SIGNATURE_WIDTH,), or None.
    """

    reason: str | None
    task: str | None = None
    text: str = ""
    digest: bytes = b""
    redacted: Mapping[str, int] = field(default_factory=dict)
    quality: int | None = None
    signature: NDArray[np.uint32] | None = None


def process(raw: RawFile, options: Processing, own: bool = False) -> Outcome:
    """Decodes, filters, redacts and rates one file; of an `own` one the licence does not matter."""
    return process_all([raw], options, own)[0]


def process_all(files: Iterable[RawFile], options: Processing, own: bool = False) -> list[Outcome]:
    """`process` of each file; signatures cost less taken together."""
    outcomes = [_without_signature(raw, options, own) for raw in files]
    if options.signature:
        from .near import signatures_of

        places = [place for place, outcome in enumerate(outcomes) if outcome.reason is None]
        rows = signatures_of(outcomes[place].text for place in places)
        for place, row in zip(places, rows, strict=True):
            outcomes[place] = replace(outcomes[place], signature=row)
    return outcomes


def _without_signature(raw: RawFile, options: Processing, own: bool) -> Outcome:
    if raw.problem is not None:
        return Outcome(raw.problem)
    if len(raw.data) < options.min_bytes:
        return Outcome(TOO_SMALL)
    try:
        text = decode_python(raw.data)
    except UndecodableError:
        return Outcome(UNDECODABLE)
    reason = first_reason(options.filters, text, raw.path)
    if reason is not None:
        return Outcome(reason)
    if options.licences is not None and not own:
        licence = header_licence(text)
        if licence and not is_permissive(licence, options.licences):
            return Outcome(OTHER_LICENCE)
    if options.decontaminator is not None:
        task = options.decontaminator.found(text)
        if task is not None:
            return Outcome(EVALUATION, task)
    redacted: Mapping[str, int] = {}
    if options.redact:
        from .redaction import redact

        result = redact(text)
        text, redacted = result.text, result.counts
    level = None
    if options.quality:
        from .quality import quality

        level = quality(text, raw.path, raw.metadata)
    return Outcome(None, None, text, digest_of(text), redacted, level)


_WHITE_SPACE = bytes(code for code in range(128) if chr(code).isspace())


def digest_of(text: str) -> bytes:
    """SHA-256 of a text without white space: copies have the same."""
    if text.isascii():
        kept = text.encode("ascii").translate(None, _WHITE_SPACE)
    else:
        kept = "".join(text.split()).encode("utf-8", "surrogatepass")
    return hashlib.sha256(kept).digest()


_options: Processing


def _begin(options: Processing) -> None:
    global _options
    _options = options
    gc.freeze()  # what was imported lives for ever


def _process_batch(files: list[RawFile], own: bool) -> list[Outcome]:
    return process_all(files, _options, own)


Tag = TypeVar("Tag")
"""What goes with a file, and not to the workers."""

Batch = list[tuple[RawFile, Tag]]


def _batches(files: Iterable[tuple[RawFile, Tag]]) -> Iterator[Batch[Tag]]:
    """Files by `BATCH`; what comes before an error of the source is not lost."""
    batch: Batch[Tag] = []
    try:
        for file in files:
            batch.append(file)
            if len(batch) == BATCH:
                yield batch
                batch = []
    except Exception:
        yield batch
        raise
    if batch:
        yield batch


class Workers:
    """Processes files in this process, or in several others, in the order that they came in."""

    def __init__(self, options: Processing, workers: int = 1) -> None:
        """Starts `workers` processes, or none for one."""
        self._options = options
        self._pool = (
            multiprocessing.get_context("spawn").Pool(workers, _begin, (options,))
            if workers > 1
            else None
        )
        self._ahead = 2 * workers

    def run(
        self, files: Iterable[tuple[RawFile, Tag]], own: bool = False
    ) -> Iterator[tuple[RawFile, Tag, Outcome]]:
        """Outcome of each file; a few batches are on their way, however many files there are.

        An error of the source comes after the outcomes of all files before it, so that what is
        counted does not depend on the number of workers.
        """
        for batch, outcomes in self._outcomes(_batches(files), own):
            for (raw, tag), outcome in zip(batch, outcomes, strict=True):
                yield raw, tag, outcome

    def _outcomes(
        self, batches: Iterator[Batch[Tag]], own: bool
    ) -> Iterator[tuple[Batch[Tag], list[Outcome]]]:
        if self._pool is None:
            for batch in batches:
                yield batch, process_all((raw for raw, _ in batch), self._options, own)
            return
        waiting: deque[tuple[Batch[Tag], AsyncResult[list[Outcome]]]] = deque()
        failure: Exception | None = None
        more = True
        while more or waiting:
            while more and len(waiting) < self._ahead:
                try:
                    batch = next(batches)
                except StopIteration:
                    more = False
                except Exception as error:
                    more, failure = False, error
                else:
                    files = [raw for raw, _ in batch]
                    result = self._pool.apply_async(_process_batch, (files, own))
                    waiting.append((batch, result))
            if waiting:
                batch, result = waiting.popleft()
                yield batch, result.get()
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Ends the processes."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool.join()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
