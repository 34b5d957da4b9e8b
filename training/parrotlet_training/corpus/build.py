"""Building a corpus: sources → files one by one → selection among all → shards and manifest.

A build leaves its work beside the corpus, in ``.NAME.build``, until the corpus is whole: the same
command goes on where an interruption, a full disk or a lost network stopped it.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NoReturn

import numpy as np
from tqdm import tqdm

from .collect import collect
from .document import Document
from .manifest import MANIFEST, Manifest
from .recipe import CorpusRecipe
from .selection import KEPT, REASONS, REFERENCE, Selection, select
from .shards import ShardWriter
from .sources import Source, SourceError
from .spool import BUCKETS, Spool


def build_corpus(
    sources: Iterable[Source],
    folder: Path,
    recipe: CorpusRecipe,
    progress: bool = True,
    workers: int = 1,
) -> Manifest:
    """Writes the corpus of `sources` into `folder` and returns its manifest.

    The folder is made aside and renamed at the end: it holds a whole corpus or none. An older
    corpus of that name is replaced.

    Args:
        sources: in a fixed order.
        folder: of the corpus.
        recipe: what to take; its own list of sources is not opened here.
        progress: show a bar.
        workers: processes that filter; the corpus does not depend on their number.

    Raises:
        SourceError: if no document is left.
        FileExistsError: if `folder` holds something that is no corpus.
        OSError: if the disk is full, say; the build goes on when it is started again.
    """
    folder = folder.resolve()
    check_target(folder)
    work = work_folder(folder)
    with new_bar(progress) as bar:
        collect(list(sources), work / "spool-00000", recipe, bar, workers)
        return finish(folder, recipe, bar)


def check_target(folder: Path) -> None:
    """Refuses a folder that holds something else than a corpus.

    Raises:
        FileExistsError: if it does.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise FileExistsError(f"{folder} is not empty and holds no corpus: choose another --out")


def no_room(error: OSError, folder: Path) -> str | None:
    """What to do if an error says that the build of `folder` found no room; None if it does not."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return None
    return (
        f"cannot write to {work_folder(folder)}: {os.strerror(error.errno)}: make room there and "
        "run the same command again; it goes on where it stopped"
    )


def work_folder(folder: Path) -> Path:
    """Where the build of `folder` keeps its spools, named ``spool-…``."""
    return folder.parent / f".{folder.name}.build"


def new_bar(progress: bool = True) -> tqdm[NoReturn]:
    """The progress bar of a build, on a terminal alone."""
    return tqdm(unit="B", unit_scale=True, disable=None if progress else True, desc="corpus")


def finish(folder: Path, recipe: CorpusRecipe, bar: tqdm[NoReturn]) -> Manifest:
    """The last stages: selects among the documents of all spools, and writes the corpus.

    Raises:
        SourceError: if no document is left.
    """
    work = work_folder(folder)
    manifest = Manifest(recipe.options())
    with ExitStack() as stack:
        spools = [
            stack.enter_context(closing(Spool(place))) for place in sorted(work.glob("spool-*"))
        ]
        for spool in spools:
            manifest.add(spool.progress["manifest"])
        bar.set_postfix_str("looking for copies")
        threshold = recipe.near.threshold if recipe.near else None
        selection = select(spools, threshold, recipe.max_bytes_per_repository)
        out = work / "corpus"
        shutil.rmtree(out, ignore_errors=True)
        manifest.shards = _write(spools, selection, out, bar)
        manifest.count(selection)
    if not manifest.shards:
        shutil.rmtree(work)
        raise SourceError("no document is left: every source was empty, filtered or held out")
    text = json.dumps(manifest.to_json(), indent=1, ensure_ascii=False)
    (out / MANIFEST).write_text(text + "\n", encoding="utf-8")
    if folder.exists():
        folder.rename(work / "replaced")
    out.rename(folder)
    shutil.rmtree(work)
    return manifest


def _write(
    spools: Sequence[Spool], selection: Selection, folder: Path, bar: tqdm[NoReturn]
) -> list[dict[str, str | int]]:
    """Writes the kept documents of `spools` in the order of their keys."""
    kept = selection.reasons == REASONS.index(KEPT)
    buckets = selection.rows["key"] >> np.uint64(56)
    starts = np.cumsum([0, *map(len, spools)])
    splits = sorted({o.split for o in selection.origins} - {REFERENCE})
    with ExitStack() as stack:
        writers = {split: stack.enter_context(ShardWriter(folder, split)) for split in splits}
        for bucket in range(BUCKETS):
            bar.set_postfix_str(f"writing {bucket + 1}/{BUCKETS}")
            here = np.flatnonzero(kept & (buckets == bucket))
            held: list[tuple[int, int, str, str]] = []
            for place, spool in enumerate(spools):
                own = here[(here >= starts[place]) & (here < starts[place + 1])] - starts[place]
                for number, path, text in spool.bucket(bucket, own) if len(own) else ():
                    whole = number + int(starts[place])
                    held.append((int(selection.rows["key"][whole]), whole, path, text))
            for _, number, path, text in sorted(held):
                row = selection.rows[number]
                origin = selection.origins[int(row["origin"])]
                level = int(row["quality"])
                document = Document(
                    text,
                    path,
                    origin.repository,
                    origin.commit,
                    origin.licence,
                    origin.source,
                    None if level < 0 else level,
                )
                writers[origin.split].add(document)
    return [shard for split in splits for shard in writers[split].shards]
