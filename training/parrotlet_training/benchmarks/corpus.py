"""Filters and removal of copies: CodeParrot's and ours on the same documents, and our memory."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..corpus.filters import (
    ConfigOrTest,
    FewAssignments,
    Filter,
    Generated,
    LongLines,
    NoKeywords,
    NotAlphanumeric,
    default_filters,
    first_reason,
)
from ..corpus.near import (
    Signatures,
    name_key,
    near_duplicates,
    rank_documents,
    signature,
)
from ..corpus.shards import shard_files
from ..corpus.text import UndecodableError, decode_python
from .arguments import add_corpus_arguments
from .crew import Crew, Stage, peak_memory

Named = tuple[str, str]
"""A document's name and text."""

FURTHER = "further filters"
RATIO = "characters per token"

_TOKENIZER_CHARACTERS = 2_000_000
"""Text that CodeParrot's tokenizer is trained on, before the clock starts."""


class BenchmarkError(ValueError):
    """There is nothing to measure; the message says what to do."""


def documents(place: Path) -> Iterator[Named]:
    """Documents of a corpus, or the Python files of a folder, in a fixed order.

    Raises:
        BenchmarkError: if there are none.
    """
    shards = [file for split in ("train", "holdout") for file in shard_files(place, split)]
    found = False
    for one in _of_shards(shards) if shards else _of_folder(place):
        found = True
        yield one
    if not found:
        raise BenchmarkError(f"{place} holds neither a corpus nor Python files")


def _of_shards(shards: Sequence[Path]) -> Iterator[Named]:
    import pyarrow.parquet as parquet

    for file in shards:
        shard = parquet.ParquetFile(file)
        for group in range(shard.num_row_groups):
            columns = ["repository", "path", "content"]
            for row in shard.read_row_group(group, columns=columns).to_pylist():
                yield f"{row['repository']}/{row['path']}", row["content"]


def _of_folder(place: Path) -> Iterator[Named]:
    for path in sorted(place.rglob("*.py")):
        try:
            text = decode_python(path.read_bytes())
        except (OSError, UndecodableError):
            continue
        if text.strip():
            yield path.relative_to(place).as_posix(), text


_WORD = re.compile(r"\b[A-Za-z_]\w*")


def repeated(place: Path, number: int) -> Iterator[Named]:
    """`number` documents; where there are fewer, they come again with other words."""
    taken = 0
    for turn in count():
        for name, text in islice(documents(place), number - taken):
            taken += 1
            yield (
                (name, text)
                if not turn
                else (
                    f"{turn}/{name}",
                    _WORD.sub(rf"\g<0>_{turn}", text),
                )
            )
        if taken == number:
            return


class _Texts:
    """Texts in a file, by number."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b")
        self._ends = [0]
        self.names: list[int] = []

    def add(self, name: str, text: str) -> None:
        data = text.encode("utf-8", "surrogatepass")
        self._file.write(data)
        self._ends.append(self._ends[-1] + len(data))
        self.names.append(name_key("", name))

    def sizes(self) -> NDArray[np.int64]:
        return np.diff(self._ends)

    def read(self, numbers: NDArray[np.int64]) -> Iterator[str]:
        for number in numbers.tolist():
            self._file.seek(self._ends[number])
            data = self._file.read(self._ends[number + 1] - self._ends[number])
            yield data.decode("utf-8", "surrogatepass")

    def close(self) -> None:
        self._file.close()


def codeparrots_filters() -> dict[str, Filter]:
    """Ours for what CodeParrot filters, characters per token aside."""
    kinds = (FewAssignments, Generated, LongLines, NotAlphanumeric, NoKeywords, ConfigOrTest)
    chosen: list[Filter] = [kind() for kind in kinds]
    return {one.name: one for one in chosen}


def further_filters() -> dict[str, Filter]:
    """Those of ours that are on by default and that CodeParrot has not."""
    has = codeparrots_filters()
    return {name: one for name, one in default_filters().items() if name not in has}


def _reason(filters: Mapping[str, Filter], named: Named) -> str | None:
    return first_reason(filters, named[1], named[0])


def _digest(text: str) -> bytes:
    return hashlib.sha256("".join(text.split()).encode("utf-8", "surrogatepass")).digest()


def ours(found: Sequence[Named], crew: Crew, folder: Path) -> tuple[list[int], dict[str, Stage]]:
    """Numbers of the documents that we keep, and the time of each stage.

    Args:
        found: documents.
        crew: workers.
        folder: for temporary files.
    """
    stages: dict[str, Stage] = {}
    same = partial(_reason, codeparrots_filters())
    reasons, stages["filters"] = crew.timed(lambda: list(crew.map(same, found)))
    more = partial(_reason, further_filters())
    # what these drop goes on, so that the stages after them have as much to do as CodeParrot's
    _, stages[FURTHER] = crew.timed(lambda: list(crew.map(more, found)))
    passed = [number for number, reason in enumerate(reasons) if reason is None]

    def exact() -> list[int]:
        seen: set[bytes] = set()
        kept = []
        digests = crew.map(_digest, (found[number][1] for number in passed))
        for number, digest in zip(passed, digests, strict=True):
            if digest not in seen:
                seen.add(digest)
                kept.append(number)
        return kept

    kept, stages["exact copies"] = crew.timed(exact)
    texts = _Texts(folder / "texts")
    for number in kept:
        texts.add(*found[number])
    with ExitStack() as stack:
        stack.callback(texts.close)
        signatures = stack.enter_context(Signatures(folder / "signatures"))

        def sign() -> None:
            for row in crew.map(signature, (found[number][1] for number in kept)):
                signatures.append_array(row[None])

        def reduce() -> NDArray[np.bool_]:
            ranks = rank_documents(np.array(texts.names, np.uint64), texts.sizes())
            return near_duplicates(signatures, ranks, texts.read, scratch=folder).dropped

        _, stages["signatures"] = crew.timed(sign)
        dropped, stages["near-copies"] = crew.timed(reduce)
    return [number for number, drop in zip(kept, dropped, strict=True) if not drop], stages


@dataclass(frozen=True)
class Memory:
    """Peak memory of a build's filters and copies.

    Attributes:
        documents: of the input.
        text: bytes of the input.
        main: peak bytes of the process that holds signatures.
        worker: peak bytes of its largest worker.
    """

    documents: int
    text: int
    main: int
    worker: int


def measure_memory(place: Path, number: int, processes: int) -> Memory:
    """Streams documents through the filters and the search for copies, none held in memory."""
    total = 0

    def stream() -> Iterator[Named]:
        nonlocal total
        for named in repeated(place, number):
            total += len(named[1].encode("utf-8", "surrogatepass"))
            yield named

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        crew = stack.enter_context(Crew(processes))
        texts = _Texts(folder / "texts")
        stack.callback(texts.close)
        signatures = stack.enter_context(Signatures(folder / "signatures"))
        filters = codeparrots_filters()
        seen: set[bytes] = set()
        for outcome in crew.map(partial(_outcome, filters), stream()):
            if outcome is None or outcome[1] in seen:
                continue
            named, digest, row = outcome
            seen.add(digest)
            texts.add(*named)
            signatures.append_array(row[None])
        ranks = rank_documents(np.array(texts.names, np.uint64), texts.sizes())
        near_duplicates(signatures, ranks, texts.read, scratch=folder)
        return Memory(number, total, peak_memory(), max(crew.peaks.values()))


def _outcome(
    filters: Mapping[str, Filter], named: Named
) -> tuple[Named, bytes, NDArray[np.uint32]] | None:
    if _reason(filters, named) is not None:
        return None
    return named, _digest(named[1])[:16], signature(named[1])


def _memory_of_child(place: Path, number: int, processes: int) -> Memory:
    command = [sys.executable, "-m", f"{__package__}.corpus", str(place), "--memory-only"]
    command += ["--documents", str(number), "--processes", str(processes)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BenchmarkError(f"the measurement of memory failed: {done.stderr.strip()[-2000:]}")
    return Memory(**json.loads(done.stdout))


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


def run(place: Path, number: int, processes: int, scale: int) -> Iterator[str]:
    """Measures; yields the lines of the report as they are known.

    Raises:
        BenchmarkError: if there is nothing to measure.
    """
    from . import codeparrot

    yield f"machine: {machine()}; {processes} worker processes for both"
    found = list(islice(documents(place), number))
    texts = [text for _, text in found]
    characters = sum(map(len, texts))
    yield f"input: {len(found):,} documents, {characters / 1e6:,.1f} MB of text"
    sample, taken = [], 0
    for text in texts:
        if taken > _TOKENIZER_CHARACTERS:
            break
        sample.append(text)
        taken += len(text)
    tokenizer = codeparrot.train_bpe(sample)
    with tempfile.TemporaryDirectory() as folder, Crew(processes) as crew:
        kept, mine = ours(found, crew, Path(folder))
        theirs_kept, theirs = codeparrot.preprocess(texts, tokenizer, crew)
    yield f"kept: CodeParrot {len(theirs_kept):,}, Parrotlet {len(kept):,}"
    yield ""
    yield f"{'seconds (processor seconds)':<28}{'CodeParrot':>20}{'Parrotlet':>20}{'ratio':>18}"
    for name in dict.fromkeys((*theirs, *mine)):
        yield _row(name, theirs.get(name), mine.get(name))
    whole, own = sum(theirs.values(), Stage()), sum(mine.values(), Stage())
    near = ("signatures", "near-copies")
    yield _row("removal of near-copies", _sum(theirs, near), _sum(mine, near))
    yield _row("stages that both have", whole - theirs[RATIO], own - mine[FURTHER])
    yield _row("all, no further filters", whole, own - mine[FURTHER])
    yield _row("all", whole, own)
    yield f"({RATIO}: ours is off by default; {FURTHER}: {', '.join(further_filters())})"
    yield ""
    yield "peak memory of Parrotlet (texts streamed)"
    for times in (1, scale):
        memory = _memory_of_child(place, len(found) * times, processes)
        yield (
            f"  {memory.documents:>9,} documents, {memory.text / 1e6:>8,.1f} MB: "
            f"{memory.main / 2**20:,.0f} MiB, and {memory.worker / 2**20:,.0f} MiB a worker"
        )


def _sum(stages: Mapping[str, Stage], names: Iterable[str]) -> Stage:
    return sum((stages[name] for name in names), Stage())


def _row(name: str, theirs: Stage | None, mine: Stage | None) -> str:
    cells = [f"{s.wall:.2f} ({s.cpu:.2f})" if s else "-" for s in (theirs, mine)]
    ratio = ""
    if theirs and mine:
        ratio = f"{_ratio(theirs.wall, mine.wall)} ({_ratio(theirs.cpu, mine.cpu)})"
    return f"{name:<28}{cells[0]:>20}{cells[1]:>20}{ratio:>18}"


def _ratio(theirs: float, mine: float) -> str:
    return f"{theirs / mine:.1f}x" if mine > 0 else "-"


def main(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet bench corpus`."""
    try:
        if min(arguments.documents, arguments.processes, arguments.scale) < 1:
            raise BenchmarkError("--documents, --processes and --scale are at least 1")
        if arguments.memory_only:
            memory = measure_memory(arguments.place, arguments.documents, arguments.processes)
            sys.stdout.write(json.dumps(asdict(memory)) + "\n")
            return 0
        for line in run(arguments.place, arguments.documents, arguments.processes, arguments.scale):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    except (BenchmarkError, ImportError, OSError) as error:
        sys.stderr.write(f"parrotlet: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    _parser = argparse.ArgumentParser(prog="parrotlet bench corpus", description=__doc__)
    add_corpus_arguments(_parser)
    sys.exit(main(_parser.parse_args()))
