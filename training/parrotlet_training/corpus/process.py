"""What happens to one file by itself: the part of a build that worker processes share."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .document import RawFile
from .filters import Filter, first_reason
from .licences import PERMISSIVE, header_licence, is_permissive
from .spool import Origin
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
    row = None
    if options.signature:
        from .near import signature

        row = signature(text)
    digest = hashlib.sha256("".join(text.split()).encode("utf-8")).digest()
    return Outcome(None, None, text, digest, redacted, level, row)


Batch = list[tuple[RawFile, Origin]]

_options: Processing


def _begin(options: Processing) -> None:
    global _options
    _options = options


def _process_batch(batch: Batch, own: bool) -> list[Outcome]:
    return [process(raw, _options, own) for raw, _ in batch]


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
        self, files: Iterable[tuple[RawFile, Origin]], own: bool = False
    ) -> Iterator[tuple[RawFile, Origin, Outcome]]:
        """Outcome of each file; a few batches are on their way, however many files there are."""
        if self._pool is None:
            for raw, origin in files:
                yield raw, origin, process(raw, self._options, own)
            return
        iterator = iter(files)
        waiting: deque[tuple[Batch, AsyncResult[list[Outcome]]]] = deque()
        batch = list(islice(iterator, BATCH))
        while batch or waiting:
            while batch and len(waiting) < self._ahead:
                waiting.append((batch, self._pool.apply_async(_process_batch, (batch, own))))
                batch = list(islice(iterator, BATCH))
            done, result = waiting.popleft()
            for (raw, origin), outcome in zip(done, result.get(), strict=True):
                yield raw, origin, outcome

    def close(self) -> None:
        """Ends the processes."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool.join()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
