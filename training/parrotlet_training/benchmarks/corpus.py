"""Filters and removal of copies: CodeParrot's and ours on the same documents, and our memory."""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from parrotlet_server.bundle.resolve import DEFAULT_MODEL
from parrotlet_tokenizer import CodeTokenizer

from ..corpus.filters import (
    CharactersPerToken,
    ConfigOrTest,
    FewAssignments,
    Filter,
    Generated,
    LongLines,
    NoKeywords,
    NotAlphanumeric,
    first_reason,
)
from ..corpus.near import (
    Signatures,
    name_key,
    near_duplicates,
    rank_documents,
    signatures_of,
)
from ..corpus.process import BATCH, digest_of
from . import codeparrot, pipeline
from .codeparrot import EXACT, FILTERS, NEAR, RATIO, SIGNATURES
from .crew import Crew, Stage
from .errors import BenchmarkError
from .pipeline import Named, documents

_TOKENIZER_CHARACTERS = 2_000_000
"""Text that CodeParrot's tokenizer is trained on, before the clock starts."""


def codeparrots_filters() -> dict[str, Filter]:
    """Ours for what CodeParrot filters, characters per token aside."""
    kinds = (FewAssignments, Generated, LongLines, NotAlphanumeric, NoKeywords, ConfigOrTest)
    chosen: list[Filter] = [kind() for kind in kinds]
    return {one.name: one for one in chosen}


@dataclass(frozen=True)
class _Passed:
    """What one pass over some documents gives.

    Attributes:
        places: of those that the filters keep.
        digests: of those, without white space.
        rows: of those, signatures, shape (kept, SIGNATURE_WIDTH).
        seconds: of the processor, by stage.
    """

    places: list[int]
    digests: list[bytes]
    rows: NDArray[np.uint32]
    seconds: dict[str, float]


def _one_pass(tokenizer: str, batch: Sequence[Named]) -> _Passed:
    """What a build's worker does with some files, where it has only what CodeParrot has."""
    filters = codeparrots_filters()
    tokens = CharactersPerToken(tokenizer=tokenizer)
    clock = time.process_time
    times = [clock()]
    reasons = [first_reason(filters, text, name) for name, text in batch]
    passed = [place for place, reason in enumerate(reasons) if reason is None]
    times.append(clock())
    places = [place for place in passed if not tokens(batch[place][1])]
    times.append(clock())
    digests = [digest_of(batch[place][1]) for place in places]
    times.append(clock())
    rows = signatures_of(batch[place][1] for place in places)
    times.append(clock())
    spent = (after - before for before, after in pairwise(times))
    return _Passed(
        places, digests, rows, dict(zip((FILTERS, RATIO, EXACT, SIGNATURES), spent, strict=True))
    )


def ours(
    found: Sequence[Named], tokenizer: Path, crew: Crew, folder: Path
) -> tuple[list[int], dict[str, Stage]]:
    """Numbers of the documents that we keep, and the time of each stage.

    Filters, digests and signatures are one pass over the documents, as in a build; its time is
    divided among them by what the processor spent on each.

    Args:
        found: documents.
        tokenizer: folder of the one that counts the characters per token.
        crew: workers.
        folder: for temporary files; empty.
    """
    stages: dict[str, Stage] = {}
    starts = range(0, len(found), BATCH)
    kept: list[int] = []
    seen: set[bytes] = set()
    spent: Counter[str] = Counter()
    with ExitStack() as stack:
        signatures = stack.enter_context(Signatures(folder / "signatures"))

        def go() -> None:
            batches = (found[start : start + BATCH] for start in starts)
            work = partial(_one_pass, str(tokenizer))
            for start, passed in zip(starts, crew.map(work, batches, 1), strict=True):
                spent.update(passed.seconds)
                new = []
                pairs = zip(passed.places, passed.digests, strict=True)
                for row, (place, digest) in enumerate(pairs):
                    if digest not in seen:
                        seen.add(digest)
                        kept.append(start + place)
                        new.append(row)
                signatures.append_array(passed.rows[new])

        _, whole = crew.timed(go)
        for name, seconds in spent.items():
            share = seconds / sum(spent.values())
            stages[name] = Stage(whole.wall * share, whole.cpu * share)

        def reduce() -> NDArray[np.bool_]:
            names = np.array([name_key("", found[number][0]) for number in kept], np.uint64)
            texts = [found[number][1] for number in kept]
            ranks = rank_documents(names, np.array([len(text) for text in texts], np.int64))
            return near_duplicates(
                signatures, ranks, lambda numbers: (texts[n] for n in numbers), scratch=folder
            ).dropped

        dropped, stages[NEAR] = crew.timed(reduce)
    return [number for number, drop in zip(kept, dropped, strict=True) if not drop], stages


def machine() -> str:
    """Processor, cores and memory, as far as the system tells."""
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        models = re.findall(r"^model name\s*: (.+)$", information.read_text(), re.MULTILINE)
        name = models[0] if models else name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    text = f"{name}, {cores} cores"
    if hasattr(os, "getloadavg"):
        text += f", load {os.getloadavg()[0]:.1f} before"
    return f"{text}, Python {platform.python_version()}, {platform.system()}"


def run(place: Path, number: int, processes: int, scale: int, rounds: int) -> Iterator[str]:
    """Measures; yields the lines of the report as they are known.

    Raises:
        BenchmarkError: if there is nothing to measure.
    """
    yield f"machine: {machine()}; {processes} worker processes for both"
    found = list(islice(documents(place), number))
    characters = sum(len(text) for _, text in found)
    yield f"input: {len(found):,} documents, {characters / 1e6:,.1f} MB of text; median of {rounds}"
    yield ""
    yield from _beside_codeparrot(found, processes, rounds)
    yield ""
    yield "the whole of `parrotlet corpus build`, default recipe"
    for stage in pipeline.stages(found):
        yield f"  {stage.name:<24}{stage.seconds / stage.documents * 1e6:>9,.0f} us a document"
    for times in dict.fromkeys((1, scale)):
        yield _of_pipeline(pipeline.measure_in_child(place, len(found) * times, processes))


def _beside_codeparrot(found: Sequence[Named], processes: int, rounds: int) -> Iterator[str]:
    texts = [text for _, text in found]
    sample, taken = [], 0
    for text in texts:
        if taken > _TOKENIZER_CHARACTERS:
            break
        sample.append(text)
        taken += len(text)
    theirs: list[dict[str, Stage]] = []
    mine: list[dict[str, Stage]] = []
    with tempfile.TemporaryDirectory() as folder, Crew(processes) as crew:
        tokenizer = Path(folder, "tokenizer.json")
        tokenizer.write_text(codeparrot.train_bpe(sample), encoding="utf-8")
        # imports, tables and caches are made before the clock starts
        warm = min(len(found), 2 * processes * BATCH)
        own = Path(folder, "own")
        CodeTokenizer.load(DEFAULT_MODEL).save(own)
        ours(found[:warm], own, crew, Path(folder, "warm"))
        codeparrot.preprocess(texts[:warm], tokenizer, crew)
        for turn in range(rounds):
            kept, stages = ours(found, own, crew, Path(folder, str(turn)))
            mine.append(stages)
            theirs_kept, stages = codeparrot.preprocess(texts, tokenizer, crew)
            theirs.append(stages)
    yield "filters and removal of copies, the same documents in memory, no files read or written"
    yield "  CodeParrot: its steps as published; 256 permutations over words, Jaccard 0.85"
    yield "  Parrotlet: the same filters; 128 minima over 5-grams of tokens, Jaccard 0.7"
    yield f"  kept: CodeParrot {len(theirs_kept):,}, Parrotlet {len(kept):,}"
    yield f"  {'seconds (of the processor)':<30}{'CodeParrot':>18}{'Parrotlet':>18}{'ratio':>18}"

    def row(name: str, *stages: str) -> str:
        return _row(
            name, *(_median([_sum(one, stages) for one in side]) for side in (theirs, mine))
        )

    copies = (EXACT, SIGNATURES, NEAR)
    for name in (FILTERS, RATIO, *copies):
        yield row(name, name)
    yield row("exact and near-copies", *copies)
    yield row(f"all but {RATIO}", FILTERS, *copies)
    yield row("all of CodeParrot", FILTERS, RATIO, *copies)
    yield (
        f"  ({RATIO}: CodeParrot runs a tokenizer over all text; here a sample decides where it "
        "is clear; the filter is off by default)"
    )


def _of_pipeline(found: pipeline.Measured) -> str:
    megabytes = found.text / 1e6
    return (
        f"  {found.documents:>9,} documents, {megabytes:>8,.1f} MB: "
        f"{megabytes / found.seconds:.2f} MB/s ({found.collect:.1f} s one by one, "
        f"{found.finish:.1f} s copies and writing); peak {found.main / 2**20:,.0f} MiB, and "
        f"{found.worker / 2**20:,.0f} MiB a worker"
    )


def _median(stages: Sequence[Stage]) -> Stage:
    return Stage(median(one.wall for one in stages), median(one.cpu for one in stages))


def _sum(stages: Mapping[str, Stage], names: Iterable[str]) -> Stage:
    return sum((stages[name] for name in names if name in stages), Stage())


def _row(name: str, theirs: Stage, mine: Stage) -> str:
    cells = [f"{s.wall:.2f} ({s.cpu:.2f})" if s.wall else "-" for s in (theirs, mine)]
    ratio = ""
    if theirs.wall and mine.wall:
        ratio = f"{_ratio(theirs.wall, mine.wall)} ({_ratio(theirs.cpu, mine.cpu)})"
    return f"  {name:<30}{cells[0]:>18}{cells[1]:>18}{ratio:>18}"


def _ratio(theirs: float, mine: float) -> str:
    return f"{theirs / mine:.1f}x" if mine > 0 else "-"


def main(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet bench corpus`."""
    numbers = (arguments.documents, arguments.processes, arguments.scale, arguments.rounds)
    try:
        if min(numbers) < 1:
            raise BenchmarkError("--documents, --processes, --scale and --rounds are at least 1")
        for line in run(arguments.place, *numbers):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    except (BenchmarkError, ImportError, OSError) as error:
        sys.stderr.write(f"parrotlet: {error}\n")
        return 1
    return 0
