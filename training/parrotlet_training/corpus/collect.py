"""The first stage of a build: files of sources, one by one, into a spool."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple, NoReturn

from tqdm import tqdm

from .document import RawFile
from .filters import filters_from
from .holdout import is_held_out, is_validation
from .licences import is_permissive
from .manifest import MANIFEST, Manifest
from .near import Signatures
from .process import Outcome, Processing, Workers
from .recipe import CorpusRecipe
from .reference import reference_entries
from .selection import SIGNATURES
from .sources import Changing, Source, SourceError
from .sources.base import state_of
from .spool import Entry, Origin, Spool

MOST_KNOWN = 100_000
"""Repositories of a large data set whose fate is remembered."""

_FORMAT = 2
"""Of what a spool notes of its progress."""

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
        folder: of the spool; one of other sources or of another recipe is begun anew, and so is one
            for which files were read that have changed since.
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
    known = spool.progress.get("states", [])
    same = spool.progress.get("identity") == identity
    if not same or known != [_state(source) for source in sources[: len(known)]]:
        if spool.progress:
            what = "files that it had read" if same else "its sources or options"
            bar.write(f"{what} have changed: the build begins anew", file=sys.stderr)
        spool.close()
        shutil.rmtree(folder)
        spool = Spool(folder)
    with ExitStack() as stack:
        stack.enter_context(closing(spool))
        pool = stack.enter_context(Workers(_processing(recipe), workers))
        keep = len(spool) if recipe.near else 0
        rows = stack.enter_context(Signatures(folder / SIGNATURES, keep=keep))
        manifest = Manifest({})
        states: list[str] = spool.progress.get("states", [])
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
                    "states": states,
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
            if place == len(states):
                states.append(_state(source))
            wanted = _Wanted(source, recipe, skip if place == first else 0)
            taken = 0
            try:
                for raw, tag, outcome in pool.run(wanted, source.own):
                    taken += 1
                    bar.update(len(raw.data))
                    manifest.left_out.update(tag.passed_over)
                    kept = _take(outcome, raw, tag.origin, manifest)
                    if kept is not None:
                        take(kept, outcome)
                    if taken % COMMIT_FILES == 0:
                        commit(place, tag.files)
            except SourceError as error:
                manifest.skipped_sources[source.repository] = _without_folders(str(error))
            manifest.left_out.update(wanted.passed_over)
            manifest.skipped_sources.update(wanted.refused)
            manifest.warnings += source.warnings
            commit(place + 1, 0)


def _state(source: Source) -> str:
    return source.state() if isinstance(source, Changing) else ""


_ABSOLUTE = re.compile(r"(?<![\w.:/~])/(?:[^\s/:'\"]+/)+")


def _without_folders(text: str) -> str:
    """`text` with paths of this machine cut to their names: a manifest may be published."""
    return _ABSOLUTE.sub("", text)


def _identity(sources: Sequence[Source], recipe: CorpusRecipe) -> str:
    """What must agree for a build to go on."""
    named = [(source.kind, source.repository, source.commit) for source in sources]
    against = [Path(folder, MANIFEST) for folder in recipe.near.against] if recipe.near else []
    compared = state_of([*against, *map(Path, recipe.decontaminate)])
    text = json.dumps([_FORMAT, named, recipe.to_dict(), compared])
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


class _Tag(NamedTuple):
    """What is known of a file before it is read.

    Attributes:
        origin: where it comes from.
        files: of its source, up to and with it.
        passed_over: files just before it whose repositories are not wanted, by reason.
    """

    origin: Origin
    files: int
    passed_over: Mapping[str, int]


class _Wanted:
    """The files of a source whose repositories are wanted, after its first `skip` files.

    Files are read ahead of what is done with them: so what is passed over is told along with the
    next file, and what follows the last one in the end.
    """

    def __init__(self, source: Source, recipe: CorpusRecipe, skip: int) -> None:
        self._source = source
        self._recipe = recipe
        self._skip = skip
        self._known: dict[tuple[str, str, str], Origin | str] = {}
        self.passed_over: Counter[str] = Counter()
        """After the end: by reason, what came after the last wanted file."""
        self.refused: dict[str, str] = {}
        """After the end: the source and why not, if it is of one repository that is not wanted."""

    def __iter__(self) -> Iterator[tuple[RawFile, _Tag]]:
        source = self._source
        if not source.many:  # one that is not wanted is not even read
            found = self._of(RawFile(b"", ""))
            if not isinstance(found, Origin):
                self.refused[source.repository] = found
                return
        for number, raw in enumerate(source.files(self._recipe.max_bytes), 1):
            if number <= self._skip:
                continue
            # what is no file of a repository, a damaged shard say, is counted as such
            nowhere = source.many and raw.repository is None
            found = raw.problem if nowhere and raw.problem is not None else self._of(raw)
            if isinstance(found, Origin):
                yield raw, _Tag(found, number, self.passed_over)
                self.passed_over = Counter()
            elif source.many:
                self.passed_over[found] += 1

    def _of(self, raw: RawFile) -> Origin | str:
        """The origin of a file, or why its repository is not wanted."""
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
        return self._known[name]

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
