"""The whole of a build, measured: its speed, its slowest stages and its memory."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import TypeVar

from ..corpus.build import finish, new_bar, work_folder
from ..corpus.collect import collect
from ..corpus.document import RawFile
from ..corpus.filters import default_filters
from ..corpus.licences import header_licence
from ..corpus.near import signatures_of
from ..corpus.process import BATCH, digest_of
from ..corpus.quality import quality
from ..corpus.recipe import CorpusRecipe
from ..corpus.redaction import redact
from ..corpus.shards import shard_files
from ..corpus.text import UndecodableError, decode_python
from .crew import peak_memory
from .errors import BenchmarkError

Named = tuple[str, str]
"""A document's name and text."""

Result = TypeVar("Result")


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


_LABELS = {"python 2": "parsing"}
"""The first filter that asks the parser pays for all that do."""


@dataclass(frozen=True)
class StageCost:
    """What a stage of the pass over single files costs.

    Attributes:
        name: of the filter or step.
        seconds: of one processor.
        documents: of the input, whether they reached the stage or not.
    """

    name: str
    seconds: float
    documents: int


def stages(found: Sequence[Named], most: int = 8) -> list[StageCost]:
    """The slowest stages of a build's pass over single files, in this process."""
    spent: defaultdict[str, float] = defaultdict(float)

    def clocked(name: str, work: Callable[..., Result], *arguments: object) -> Result:
        before = time.process_time()
        result = work(*arguments)
        spent[name] += time.process_time() - before
        return result

    filters = default_filters()
    for start in range(0, len(found), BATCH):
        passed: list[str] = []
        for path, original in found[start : start + BATCH]:
            text = clocked("decoding", decode_python, original.encode("utf-8", "surrogatepass"))
            if any(
                clocked(_LABELS.get(name, name), one, text, path) for name, one in filters.items()
            ):
                continue
            clocked("licence header", header_licence, text)
            text = clocked("redaction", redact, text).text
            clocked("quality", quality, text, path)
            clocked("digest", digest_of, text)
            passed.append(text)
        clocked("signatures", signatures_of, passed)
    slowest = sorted(spent.items(), key=lambda item: item[1], reverse=True)[:most]
    return [StageCost(name, seconds, len(found)) for name, seconds in slowest]


@dataclass
class _Stream:
    """A source that makes its documents as they are read."""

    place: Path
    number: int
    kind: str = "folder"
    repository: str = "parrotlet/measured"
    commit: str = ""
    licence: str = ""
    own: bool = True
    many: bool = False
    warnings: list[str] = field(default_factory=list)
    text: int = 0

    def files(self, max_bytes: int) -> Iterator[RawFile]:
        for name, text in repeated(self.place, self.number):
            data = text.encode("utf-8", "surrogatepass")
            self.text += len(data)
            yield RawFile(data, name)


class _Watch:
    """Remembers the most memory that a child process had."""

    def __init__(self) -> None:
        self.peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._done.wait(0.1):
            for child in multiprocessing.active_children():
                self.peak = max(self.peak, peak_memory(child.pid))

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


@dataclass(frozen=True)
class Measured:
    """One build.

    Attributes:
        documents: of the input.
        text: bytes of the input.
        collect: seconds for the pass over single files.
        finish: seconds for copies, near-copies and writing.
        main: peak bytes of the main process.
        worker: peak bytes of its largest worker, 0 without any.
    """

    documents: int
    text: int
    collect: float
    finish: float
    main: int
    worker: int

    @property
    def seconds(self) -> float:
        """Of all of it."""
        return self.collect + self.finish


def measure(place: Path, number: int, processes: int) -> Measured:
    """Builds a corpus of `number` documents and throws it away."""
    recipe = CorpusRecipe()
    source = _Stream(place, number)
    with tempfile.TemporaryDirectory() as scratch, _Watch() as watch, new_bar(False) as bar:
        folder = Path(scratch, "corpus")
        begin = time.perf_counter()
        collect([source], work_folder(folder) / "spool-00000", recipe, bar, processes)
        middle = time.perf_counter()
        finish(folder, recipe, bar)
        end = time.perf_counter()
    return Measured(number, source.text, middle - begin, end - middle, peak_memory(), watch.peak)


def measure_in_child(place: Path, number: int, processes: int) -> Measured:
    """`measure` in a process that has held nothing else.

    Raises:
        BenchmarkError: if it fails.
    """
    command = [sys.executable, "-m", __name__, str(place), str(number), str(processes)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BenchmarkError(f"the build to measure failed: {done.stderr.strip()[-2000:]}")
    return Measured(**json.loads(done.stdout))


if __name__ == "__main__":
    _parser = argparse.ArgumentParser(description=__doc__)
    _parser.add_argument("place", type=Path)
    _parser.add_argument("number", type=int)
    _parser.add_argument("processes", type=int)
    sys.stdout.write(json.dumps(asdict(measure(**vars(_parser.parse_args())))))
