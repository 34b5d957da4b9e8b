"""The processes of one training: how many are started, and what they agree on."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import (
    DistributedDataParallelKwargs,
    InitProcessGroupKwargs,
    broadcast_object_list,
    gather_object,
)

from .hardware import has_fast_bf16
from .recipe import Recipe, RecipeError
from .sharding import fsdp_plugin

T = TypeVar("T")

log = logging.getLogger(__name__)

COLLECTIVE_TIMEOUT = timedelta(hours=1)
"""The others wait so long while the first process writes a large checkpoint."""


def launch_command(
    arguments: Sequence[str],
    devices: int,
    streams: int,
    environment: Mapping[str, str] = os.environ,
) -> list[str] | None:
    """What to become so that all GPUs train; None if this process does it alone.

    Args:
        arguments: of `parrotlet`, the command with its options.
        devices: GPUs of this machine.
        streams: `data.streams` of the recipe, which the number of processes divides.
        environment: of this process, which tells whether a launcher has started it already.
    """
    launched = "RANK" in environment or "ACCELERATE_MIXED_PRECISION" in environment
    processes = shared(devices, streams)
    if launched or processes < 2:
        return None
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    launcher += ["--num_processes", str(processes), "--num_machines", "1"]
    launcher += ["--mixed_precision", "no", "--dynamo_backend", "no"]  # the recipe says both
    launcher += ["--main_process_port", "0"]  # any free one: runs may go on side by side
    return [*launcher, "--module", "parrotlet_server", *arguments]


def shared(devices: int, streams: int) -> int:
    """The most processes, one a device, among which `streams` can be shared evenly."""
    return next((n for n in range(min(devices, streams), 1, -1) if streams % n == 0), 1)


def precision_of(recipe: Recipe) -> str:
    """Accelerate's word for the recipe's precision on this machine: ``no``, ``bf16``, ``fp16``.

    Raises:
        RecipeError: if the device cannot compute in it.
    """
    asked = recipe.run.precision
    if asked == "fp16" and not torch.accelerator.is_available():
        raise RecipeError("run.precision: fp16 is for GPUs; choose bf16, fp32 or auto")
    if asked != "auto":
        return "no" if asked == "fp32" else asked
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return "bf16" if has_fast_bf16(device) else "no"


def open_accelerator(recipe: Recipe, logs: Path) -> Accelerator:
    """Joins the processes of this launch, or is alone; a process may do so several times.

    Raises:
        RecipeError: if the recipe asks for what this machine or installation lacks.
    """
    AcceleratorState._reset_state(reset_partial_state=True)  # of an earlier training
    precision = precision_of(recipe)
    os.environ.pop("ACCELERATE_USE_FSDP", None)
    for tracker in recipe.run.trackers:  # Accelerate leaves out what is missing without a word
        if find_spec(tracker) is None:
            raise RecipeError(f"run.trackers: {tracker} is missing; pip install {tracker}")
    sharded = recipe.run.parallel == "fsdp"
    launched = int(os.environ.get("WORLD_SIZE", "1")) > 1
    handlers = [
        DistributedDataParallelKwargs(gradient_as_bucket_view=True, broadcast_buffers=False),
        InitProcessGroupKwargs(timeout=COLLECTIVE_TIMEOUT),
    ]
    try:
        accelerator = Accelerator(
            # it takes the processes of a launch without GPUs for so many single ones otherwise
            cpu=launched and not torch.accelerator.is_available(),
            mixed_precision=precision,
            log_with=list(recipe.run.trackers) or None,
            project_dir=logs,
            fsdp_plugin=fsdp_plugin(precision) if sharded else None,
            kwargs_handlers=handlers,
        )
    finally:
        os.environ.pop("ACCELERATE_USE_FSDP", None)  # Accelerate sets it, for good
    if sharded and accelerator.num_processes > 1 and not accelerator.is_fsdp2:
        raise RecipeError("run.parallel: fsdp shards over GPUs; choose ddp for processors")
    return accelerator


def agreed(accelerator: Accelerator, loss: torch.Tensor, stop: bool) -> tuple[float, bool]:
    """The mean loss of all processes, and whether any wants to stop."""
    values = torch.stack([loss.float(), torch.tensor(float(stop), device=loss.device)])
    mean, stopping = accelerator.reduce(values, "mean").tolist()
    return mean, stopping > 0


def from_first(accelerator: Accelerator, value: T) -> T:
    """The `value` of the first process, on all of them."""
    if accelerator.num_processes == 1:
        return value
    shared_value: T = broadcast_object_list([value])[0]
    return shared_value


def gathered(accelerator: Accelerator, states: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The states of all processes' streams, in the streams' order."""
    parts = gather_object([states])
    return sorted((state for part in parts for state in part), key=lambda s: int(s["index"]))


def can_compile(accelerator: Accelerator) -> bool:
    """Whether `torch.compile` has the compiler that it needs on a CPU."""
    names = [os.environ.get("CXX", ""), "g++", "clang++", "c++"]
    if accelerator.device.type != "cpu" or any(name and shutil.which(name) for name in names):
        return True
    log.warning("no C++ compiler found (apt install g++): training uncompiled")
    return False


def is_memory_short(error: BaseException) -> bool:
    """Whether `error` says that a GPU's or the machine's memory does not suffice."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(words in str(error) for words in ("can't allocate memory", "bad_alloc"))
