"""A contender's process, seen from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from ..errors import BenchmarkError
from .plan import Plan


@dataclass(frozen=True)
class Slice:
    """What some steps of a contender took.

    Attributes:
        steps: optimiser steps.
        seconds: that passed.
        processor_seconds: of all its threads.
        memory: most bytes held so far: by the process, or by torch on a GPU.
        loss: of the last step; None where reading it would change what is measured.
        facts: what else the process told.
    """

    steps: int
    seconds: float
    processor_seconds: float
    memory: int
    loss: float | None
    facts: Mapping[str, Any] = field(default_factory=dict)


class Worker:
    """A contender's process."""

    def __init__(self, loop: str, plan: Plan, threads: int) -> None:
        """Starts it; it waits for its first order."""
        plan.folder.mkdir(parents=True, exist_ok=True)
        file = plan.folder / "plan.json"
        file.write_text(plan.to_json(), encoding="utf-8")
        self._log = plan.folder / "log"
        command = [sys.executable, "-m", f"{__package__}.worker", loop, str(file)]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environment(plan, threads),
                text=True,
                encoding="utf-8",
            )

    def run(self, steps: int) -> Slice:
        """Lets it take so many steps.

        Raises:
            BenchmarkError: if it ends instead; the message holds its last words.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(f"{steps}\n")
            self._process.stdin.flush()
        except OSError:
            pass  # it has ended: the next line says why
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            words = self._log.read_text(encoding="utf-8", errors="replace").strip()
            last = words.splitlines()[-1] if words else "it said nothing"
            raise BenchmarkError(f"{self._log.parent.name} ended: {last}")
        report = json.loads(line)
        own = {name: report.pop(name) for name in list(report) if name not in Slice.__annotations__}
        return Slice(**report, facts=own)

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()


def _environment(plan: Plan, threads: int) -> dict[str, str]:
    """One process on one device, whatever launcher this one was started by."""
    launchers = ("ACCELERATE_", "FSDP_", "TORCHELASTIC_")
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(launchers) and k not in names}
    kept |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    kept |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(plan.folder / "datasets")}
    kept |= {"TOKENIZERS_PARALLELISM": "true", "PYTHONUNBUFFERED": "1"}
    if plan.device == "cpu":
        return kept | {"CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}
    visible = kept.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    return kept | {"CUDA_VISIBLE_DEVICES": visible}
