"""Making a cache: parts in parallel, resumable, published in one rename."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from parrotlet_tokenizer import CodeTokenizer

from ..recipe import Recipe
from .cache import Origin, Part, is_cache, write_manifest, write_part
from .cached import Cache
from .evaluation import TextDocuments
from .sequences import TextSequences, piece_length
from .source import open_splits, origin_of
from .units import DataError

PART_UNITS = 256
"""Units of a part: 64 MiB of text, some 32 MiB of tokens for each draw."""

_PLAN = "plan.json"
_DONE = ".part.json"


@dataclass(frozen=True)
class Pretokenized:
    """What a run of `pretokenize` did.

    Attributes:
        cache: that it made, or found made.
        made: parts written by this run; none if the cache was there.
    """

    cache: Cache
    made: int


@dataclass(frozen=True)
class _Task:
    """All that a process needs to write parts."""

    recipe: Recipe
    origin: Origin
    folder: Path
    part_units: int
    piece_characters: int


@dataclass(frozen=True)
class _PartPlan:
    """One part: its name, and the units [start, end) of its split."""

    split: str
    name: str
    start: int
    end: int


def pretokenize(
    recipe: Recipe,
    out: Path,
    draws: int = 1,
    workers: int = 1,
    part_units: int = PART_UNITS,
) -> Pretokenized:
    """Writes the cache of a recipe; run again, it goes on where it stopped.

    Args:
        recipe: whose corpus, tokenizer, context, seed and fill-in-the-middle are baked in.
        out: folder to make; if it holds the cache already, that one is verified.
        draws: epochs until the drawn forms repeat.
        workers: processes.
        part_units: units of a part.

    Raises:
        DataError: if `out` holds something else, or the corpus cannot be read.
        TokenizerError: if the tokenizer cannot.
    """
    if draws < 1 or workers < 1:
        raise DataError("--draws and --workers are at least 1")
    if is_cache(recipe.data.corpus):
        raise DataError(f"{recipe.data.corpus} is pretokenised already: set data.corpus to text")
    tokenizer = CodeTokenizer.load(Path(recipe.data.tokenizer))
    splits = open_splits(recipe.data)
    context = recipe.model.context
    origin = origin_of(splits, recipe.data, tokenizer, context, recipe.run.seed, draws)
    if out.is_dir() and any(out.iterdir()):
        return _there(out, origin)
    task = _Task(
        recipe,
        origin,
        work_folder(out),
        part_units,
        piece_length(splits[0], tokenizer, context),
    )
    _claim(task)
    names = ("train", "validation")
    plans = [
        _PartPlan(split, f"{split}-{number:05d}", start, min(start + part_units, len(units)))
        for split, units in zip(names, splits, strict=True)
        for number, start in enumerate(range(0, len(units), part_units))
    ]
    missing = [plan for plan in plans if _finished(task.folder, plan) is None]
    total = sum(plan.end - plan.start for plan in plans)
    left = sum(plan.end - plan.start for plan in missing)
    with (
        tqdm(
            total=total, initial=total - left, unit="unit", desc="pretokenising", disable=None
        ) as bar,
        closing(_written(task, missing, min(workers, len(missing)))) as steps,
    ):
        for done in steps:
            bar.update(done)
    parts = {split: [_part(task.folder, p) for p in plans if p.split == split] for split in names}
    write_manifest(task.folder, origin, splits[0].facts, splits[0].rated, parts)
    if out.is_dir():
        out.rmdir()
    task.folder.rename(out)
    for file in (*out.glob(f"*{_DONE}"), out / _PLAN):
        file.unlink()
    return Pretokenized(Cache(out), len(missing))


def work_folder(out: Path) -> Path:
    """Where a run keeps what is not yet whole."""
    return out.with_name(f".{out.name}.partial")


def _there(out: Path, origin: Origin) -> Pretokenized:
    if not is_cache(out):
        raise DataError(f"{out} holds something else: choose another --out")
    cache = Cache(out)
    if cache.origin != origin:
        raise DataError(
            f"{out} holds a cache of another corpus, tokenizer, context, seed, number of draws or "
            "fill-in-the-middle: remove it, or choose another --out"
        )
    cache.verify()
    return Pretokenized(cache, 0)


def _claim(task: _Task) -> None:
    """Makes the folder of the work; what an interrupted run of another plan left goes."""
    plan = asdict(task.origin) | {
        "part_units": task.part_units,
        "piece_characters": task.piece_characters,
    }
    file = task.folder / _PLAN
    try:
        same = json.loads(file.read_text(encoding="utf-8")) == plan
    except (OSError, ValueError):
        same = False
    if not same:
        shutil.rmtree(task.folder, ignore_errors=True)
        task.folder.mkdir(parents=True)
        _write(file, plan)


def _written(task: _Task, plans: list[_PartPlan], workers: int) -> Generator[int, None, None]:
    """Writes parts; yields the number of units done since it last did.

    Processes are started by hand: each has its list of parts, tells of every unit, and so ends at
    its next unit when this process is gone, however that came about.
    """
    if workers <= 1:
        yield from _write_parts(task, plans)
        return
    context = multiprocessing.get_context("spawn")
    readers: list[Connection] = []
    processes = []
    try:
        for number in range(workers):
            reader, writer = context.Pipe(duplex=False)
            process = context.Process(
                target=_work, args=(task, plans[number::workers], writer), daemon=True
            )
            process.start()
            writer.close()
            readers.append(reader)
            processes.append(process)
        while readers:
            ready = wait(readers)
            for reader in [one for one in readers if one in ready]:
                try:
                    told = reader.recv()
                except EOFError:
                    raise DataError(
                        "a process ended before its work was done (out of memory?): run this "
                        "again to go on, with fewer --workers"
                    ) from None
                if told is None:
                    readers.remove(reader)
                elif isinstance(told, str):
                    raise DataError(told)
                else:
                    yield told
    finally:
        for process in processes:
            process.kill()
            process.join()


def _work(task: _Task, plans: list[_PartPlan], writer: Connection) -> None:
    """One process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # each process has its processor
    try:
        for done in _write_parts(task, plans):
            writer.send(done)
        writer.send(None)
    except BrokenPipeError:
        pass  # the parent is gone
    except (DataError, OSError) as error:
        writer.send(str(error))


def _write_parts(task: _Task, plans: list[_PartPlan]) -> Iterator[int]:
    """Writes parts one by one; yields 1 for each unit."""
    data = task.recipe.data
    tokenizer = CodeTokenizer.load(Path(data.tokenizer))
    train, validation = open_splits(data)
    documents = TextDocuments(validation, tokenizer)
    sequences = TextSequences(
        train, tokenizer, data.fim, task.recipe.run.seed, task.piece_characters
    )
    token = task.origin.token
    for plan in plans:
        units = range(plan.start, plan.end)
        training = plan.split == "train"
        sizes: list[int] = []
        draws: list[list[list[NDArray[Any]]]] = [
            [] for _ in range(task.origin.draws if training else 1)
        ]
        for unit in units:
            for draw, contents in enumerate(draws):
                made: Sequence[Any]
                if training:
                    window = sequences.window([unit], draw)
                    made = window.ids(range(len(window)))
                else:
                    own = documents.sizes(unit)
                    made = documents.ids(unit, len(own))
                    sizes += own
                contents.append([np.asarray(ids, token) for ids in made])
            yield 1
        part = write_part(task.folder, plan.name, token, draws, None if training else sizes)
        _write(task.folder / f"{plan.name}{_DONE}", asdict(part))


def _finished(folder: Path, plan: _PartPlan) -> Part | None:
    """The part, if an earlier run wrote all of it."""
    try:
        part = Part(**json.loads((folder / f"{plan.name}{_DONE}").read_text(encoding="utf-8")))
        whole = all(
            (folder / name).stat().st_size == size for name, (size, _) in part.files.items()
        )
    except (OSError, ValueError, TypeError):
        return None
    return part if whole else None


def _part(folder: Path, plan: _PartPlan) -> Part:
    part = _finished(folder, plan)
    if part is None:
        raise DataError(f"the part {plan.name} was not written whole: run this again to go on")
    return part


def _write(file: Path, content: object) -> None:
    aside = file.with_suffix(".tmp")
    aside.write_text(json.dumps(content), encoding="utf-8")
    aside.replace(file)
