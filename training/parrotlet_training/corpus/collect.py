"""The first stage of a build: files of sources, one by one, into a spool."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from .document import RawFile
from .filters import filters_from
from .holdout import is_held_out, is_validation
from .licences import is_permissive
from .manifest import Manifest
from .near import Signatures
from .process import Outcome, Processing, Workers
from .recipe import CorpusRecipe
from .reference import reference_entries
from .selection import SIGNATURES
from .sources import Source, SourceError
from .spool import Entry, Origin, Spool

MOST_KNOWN = 100_000
"""Repositories of a large data set whose fate is remembered."""

COMMIT_FILES = 20_000
"""Files after which a build notes how far it is, inside of one source."""


def collect(
    sources: Sequence[Source],
    folder: Path,
    recipe: CorpusRecipe,
    bar: tqdm[NoReturn],
    workers: int = 1,
    against: bool = True,
) -> None:
    """Takes the files of `sources` into the spool in `folder`, from where it stopped.

    Args:
        sources: in a fixed order.
        folder: of the spool; one of other sources or of another recipe is begun anew.
        recipe: what to take.
        bar: counts bytes.
        workers: processes that filter.
        against: also take the documents that push their copies out (one of several spools does).

    Raises:
        SourceError: if a corpus to compare with cannot be read.
        OSError: if the disk is full, say.
    """
    identity = _identity(sources, recipe)
    spool = Spool(folder)
    if spool.progress.get("identity") != identity:
        spool.close()
        shutil.rmtree(folder)
        spool = Spool(folder)
    with ExitStack() as stack:
        stack.enter_context(closing(spool))
        pool = stack.enter_context(Workers(_processing(recipe), workers))
        keep = len(spool) if recipe.near else 0
        rows = stack.enter_context(Signatures(folder / SIGNATURES, keep=keep))
        manifest = Manifest({})
        if spool.progress:
            manifest.add(spool.progress["manifest"])

        def commit(source: int, file: int) -> None:
            rows.flush()
            spool.commit(
                {
                    "identity": identity,
                    "source": source,
                    "file": file,
                    "manifest": manifest.progress(),
                }
            )

        def take(entry: Entry, outcome: Outcome) -> None:
            spool.add(entry)
            if outcome.signature is not None:
                rows.append_array(outcome.signature[None])

        if not spool.progress:
            if recipe.near and against:
                for entry, outcome in reference_entries([Path(p) for p in recipe.near.against]):
                    take(entry, outcome)
            commit(0, 0)
        first, skip = spool.progress["source"], spool.progress["file"]
        for place in range(first, len(sources)):
            source = sources[place]
            bar.set_postfix_str(source.repository[:30])
            seen = skip if place == first else 0
            origins = _Origins(source, recipe, manifest)
            try:
                for raw, origin, outcome in pool.run(
                    _wanted(source, recipe, origins, seen), source.own
                ):
                    seen += 1
                    bar.update(len(raw.data))
                    kept = _take(outcome, raw, origin, manifest)
                    if kept is not None:
                        take(kept, outcome)
                    if seen % COMMIT_FILES == 0:
                        commit(place, seen)
            except SourceError as error:
                manifest.skipped_sources[source.repository] = str(error)
            manifest.warnings += source.warnings
            commit(place + 1, 0)


def _identity(sources: Sequence[Source], recipe: CorpusRecipe) -> str:
    """What must agree for a build to go on."""
    named = [(source.kind, source.repository, source.commit) for source in sources]
    text = json.dumps([named, recipe.to_dict()])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _processing(recipe: CorpusRecipe) -> Processing:
    benchmarks = [Path(file) for file in recipe.decontaminate]
    decontaminator = None
    if benchmarks:
        from .decontamination import Decontaminator

        decontaminator = Decontaminator.load(benchmarks)
    return Processing(
        min_bytes=recipe.min_bytes,
        filters=filters_from(recipe.filters),
        licences=frozenset(recipe.licences),
        redact=recipe.redact,
        decontaminator=decontaminator,
        quality=recipe.quality,
        signature=recipe.near is not None,
    )


class _Origins:
    """The origin of each file of a source, or None where its repository is not wanted."""

    def __init__(self, source: Source, recipe: CorpusRecipe, manifest: Manifest) -> None:
        self._source = source
        self._recipe = recipe
        self._manifest = manifest
        self._known: dict[tuple[str, str, str], Origin | str] = {}

    def of(self, raw: RawFile) -> Origin | None:
        """None if the file is not to be read any further."""
        source = self._source
        name = (
            source.repository if raw.repository is None else raw.repository,
            source.commit if raw.commit is None else raw.commit,
            source.licence if raw.licence is None else raw.licence,
        )
        if name not in self._known:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[name] = self._decide(*name)
        decision = self._known[name]
        if isinstance(decision, Origin):
            return decision
        if source.many:
            self._manifest.left_out[decision] += 1
        else:
            self._manifest.skipped_sources[name[0]] = decision
        return None

    def _decide(self, repository: str, commit: str, licence: str) -> Origin | str:
        recipe = self._recipe
        held_out = is_held_out(repository)
        if held_out != recipe.holdout:
            return "held out for evaluation" if held_out else "not of the hold-out"
        if recipe.excludes(repository):
            return "excluded by its owner"
        if not self._source.own and not is_permissive(licence, recipe.licences):
            return f"licence not permissive: {licence or 'unknown'}"
        split = "holdout" if recipe.holdout else "train"
        if not recipe.holdout and is_validation(repository, recipe.validation_share):
            split = "validation"
        return Origin(repository, commit, licence, self._source.kind, split)


def _wanted(
    source: Source, recipe: CorpusRecipe, origins: _Origins, skip: int
) -> Iterator[tuple[RawFile, Origin]]:
    """Files of wanted repositories, after the first `skip` of them."""
    # a source of one repository that is not wanted is not even read
    if not source.many and origins.of(RawFile(b"", "")) is None:
        return
    pairs = ((raw, origins.of(raw)) for raw in source.files(recipe.max_bytes))
    yield from islice(((raw, origin) for raw, origin in pairs if origin is not None), skip, None)


def _take(outcome: Outcome, raw: RawFile, origin: Origin, manifest: Manifest) -> Entry | None:
    """Counts what became of a file; the entry for the spool if it goes on."""
    manifest.files_seen += 1
    if outcome.reason is not None:
        manifest.left_out[outcome.reason] += 1
        if outcome.task is not None:
            manifest.decontaminated[outcome.task] += 1
        return None
    manifest.redacted.update(outcome.redacted)
    return Entry(origin, raw.path, outcome.text, outcome.digest, outcome.quality)
