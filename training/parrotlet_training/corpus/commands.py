"""`parrotlet corpus …` and `parrotlet holdout …`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from ..typed_yaml import RecipeError
from .decontamination import DecontaminationError
from .filters import filters_from
from .near import SignaturesError
from .recipe import CorpusRecipe, NearDedup, load_corpus_recipe
from .report.manifest import CorpusError
from .sources import Source, SourceError, open_sources

_REFUSALS = (SourceError, RecipeError, DecontaminationError, SignaturesError, CorpusError, OSError)


def build(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet corpus build`."""
    from .build import build_corpus, no_room, work_folder

    folder = arguments.out.resolve()
    try:
        recipe = _recipe(arguments)
        load = partial(open_inputs, recipe, arguments.clones, arguments.cache or cache_folder())
        work = work_folder(folder)
        if arguments.fresh:
            shutil.rmtree(work, ignore_errors=True)
        if work.exists():
            print("going on with a build that was interrupted (--fresh begins anew)")
        if arguments.cluster:
            return _build_on_cluster(load, folder, arguments.cluster)
        sources, recipe = load()
        manifest = build_corpus(sources, folder, recipe, workers=arguments.workers)
    except _REFUSALS as error:
        full = no_room(error, folder) if isinstance(error, OSError) else None
        return _refuse(error if full is None else full)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on", file=sys.stderr)
        return 130
    print("\n".join(manifest.summary()))
    print(f"corpus written to {arguments.out}")
    return 0


def open_inputs(
    recipe: CorpusRecipe, clones: str, cache: Path
) -> tuple[Sequence[Source], CorpusRecipe]:
    """Sources of a recipe, and the recipe; what each machine of a cluster begins with."""
    with tqdm(desc="opening", unit="source", delay=1, leave=False, disable=None) as bar:

        def opened(done: int, of: int) -> None:
            bar.total = of
            bar.update(done - bar.n)

        return open_sources(recipe, clones, cache, opened), recipe


def cache_folder() -> Path:
    """Where clones and wheels are kept, unless the user says."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "parrotlet" / "sources"


def report(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet corpus report`."""
    from .card import write_card
    from .report.write import write_report

    try:
        done = write_report(
            arguments.corpus, arguments.out, arguments.sample, arguments.seed, progress=True
        )
        card = write_card(arguments.corpus)
    except _REFUSALS as error:
        return _refuse(error)
    print("\n".join(done.findings))
    print(f"{done.file} and {card} written, from a close look at {done.sampled:,} documents")
    return 0


def push(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet corpus push`."""
    from .push import PushError
    from .push import push as publish

    try:
        done = publish(
            arguments.corpus, arguments.repo_id, arguments.private, arguments.revision, print
        )
    except (PushError, *_REFUSALS) as error:
        return _refuse(error)
    print("\n".join(done.summary()))
    return 0


def cursors(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet holdout cursors`."""
    from ..evaluate.cursors import CursorError, make

    try:
        lines = make(arguments.corpus, arguments.out, arguments.per_kind, arguments.seed)
    except (CursorError, *_REFUSALS) as error:
        return _refuse(error)
    print("\n".join(lines))
    return 0


def _recipe(arguments: argparse.Namespace) -> CorpusRecipe:
    """The named recipe, or the usual one, changed by what the command line says."""
    recipe = load_corpus_recipe(arguments.recipe) if arguments.recipe else CorpusRecipe()
    changes = {
        name: value
        for name in ("min_bytes", "max_bytes", "max_bytes_per_repository", "validation_share")
        if (value := getattr(arguments, name)) is not None
    }
    if arguments.holdout:
        changes["holdout"] = True
    for name in ("redact", "quality", "near_dedup"):
        if getattr(arguments, f"no_{name}"):
            changes[name] = False
    if arguments.against:
        near = recipe.near or NearDedup()
        changes["near_dedup"] = replace(near, against=(*near.against, *arguments.against))
    changes["decontaminate"] = (*recipe.decontaminate, *arguments.decontaminate)
    changes["sources"] = (*recipe.sources, *arguments.sources)
    try:
        recipe = replace(recipe, **changes)
        filters_from(recipe.filters)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    if not recipe.sources and not recipe.repositories:
        raise SourceError("no source given: name a SOURCE or a --recipe")
    return recipe


def _build_on_cluster(
    load: partial[tuple[Sequence[Source], CorpusRecipe]], folder: Path, description: Path
) -> int:
    try:
        from .cluster import executors, read_cluster
    except ImportError:
        print(
            'parrotlet: --cluster needs datatrove: pip install "parrotlet[cluster]"',
            file=sys.stderr,
        )
        return 2
    cluster = read_cluster(description)
    executors(load, folder, cluster).run()
    if cluster.executor != "slurm":  # which has only queued its jobs
        print(f"corpus written to {folder}")
    return 0


def _refuse(error: BaseException | str) -> int:
    print(f"parrotlet: {error}", file=sys.stderr)
    return 1
