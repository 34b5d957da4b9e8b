"""A build over many processes or machines, by datatrove's executors.

The stages are those of `build.build_corpus`: every task collects its share of the sources into a
spool of its own, then one task selects among all and writes. All machines see the folder of the
corpus and the sources under the same paths. The corpus is the same, byte for byte, as one machine
makes of the same recipe.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from datatrove.data import DocumentsPipeline
from datatrove.executor.base import PipelineExecutor
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep

from .build import check_target, finish, new_bar, work_folder
from .collect import collect
from .recipe import CorpusRecipe
from .sources import Source, SourceError


@dataclass(frozen=True)
class Cluster:
    """Where the tasks of a build run.

    Attributes:
        executor: ``local`` processes, ``slurm`` jobs, or tasks of a ``ray`` cluster.
        tasks: how many shares the sources are dealt into.
        workers: tasks that run at once; -1: all.
        options: further arguments of datatrove's executor for both stages, such as ``partition``,
            ``time``, ``mem_per_cpu_gb``, ``venv_path``.
    """

    executor: Literal["local", "slurm", "ray"] = "local"
    tasks: int = 2
    workers: int = -1
    options: dict[str, Any] = field(default_factory=dict)


Load = Callable[[], tuple[Sequence[Source], CorpusRecipe]]
"""Reads the recipe anew on each machine; a module's function or a `functools.partial` of one."""


class Collect(PipelineStep):  # type: ignore[misc]
    """Takes a task's share of the sources into its spool."""

    name = "collect"
    type = "parrotlet"

    def __init__(self, load: Load, folder: Path) -> None:
        super().__init__()
        self.load = load
        self.folder = folder

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> None:
        """Takes the sources rank, rank + world_size and so on."""
        sources, recipe = self.load()
        place = work_folder(self.folder) / f"spool-{rank:05d}"
        with new_bar(progress=False) as bar:
            collect(sources[rank::world_size], place, recipe, bar, against=rank == 0)


class Finish(PipelineStep):  # type: ignore[misc]
    """Selects among the documents of all spools and writes the corpus."""

    name = "finish"
    type = "parrotlet"

    def __init__(self, load: Load, folder: Path) -> None:
        super().__init__()
        self.load = load
        self.folder = folder

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> None:
        """Writes the corpus."""
        with new_bar(progress=False) as bar:
            finish(self.folder, self.load()[1], bar)


def read_cluster(file: Path) -> Cluster:
    """Reads a cluster's description: YAML with the fields of `Cluster`.

    Raises:
        SourceError: if it is malformed.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        cluster = Cluster(**content)
        if cluster.executor not in ("local", "slurm", "ray") or cluster.tasks < 1:
            raise ValueError("executor is local, slurm or ray, and tasks is positive")
    except (OSError, yaml.YAMLError, TypeError, ValueError) as error:
        raise SourceError(f"cannot read the cluster {file}: {error}") from error
    return cluster


def executors(load: Load, folder: Path, cluster: Cluster) -> PipelineExecutor:
    """The last stage's executor, which runs the one before it first.

    Args:
        load: gives sources and recipe.
        folder: of the corpus, on a disk that all machines share.
        cluster: where to run.

    Raises:
        FileExistsError: if `folder` holds something that is no corpus.
        SourceError: if the executor does not know an option, or its package is missing.
    """
    folder = folder.resolve()
    check_target(folder)
    logs = folder.parent / f"{folder.name}-logs"
    if not work_folder(folder).exists():  # else an interrupted build goes on
        shutil.rmtree(logs, ignore_errors=True)
    kind = _executor(cluster.executor)
    try:
        first = kind(
            pipeline=[Collect(load, folder)],
            tasks=cluster.tasks,
            workers=cluster.workers,
            logging_dir=str(logs / "collect"),
            **cluster.options,
        )
        return kind(
            pipeline=[Finish(load, folder)],
            tasks=1,
            depends=first,
            logging_dir=str(logs / "finish"),
            **cluster.options,
        )
    except TypeError as error:
        raise SourceError(f"the {cluster.executor} executor: {error}") from error


def _executor(name: str) -> Any:
    if name == "slurm":
        from datatrove.executor.slurm import SlurmPipelineExecutor

        return SlurmPipelineExecutor
    if name == "ray":
        try:
            import ray  # noqa: F401
            from datatrove.executor.ray import RayPipelineExecutor
        except ImportError as error:
            raise SourceError("the ray executor needs Ray: pip install ray") from error
        return RayPipelineExecutor
    return LocalPipelineExecutor
