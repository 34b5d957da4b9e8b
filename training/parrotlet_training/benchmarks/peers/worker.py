"""One contender's process: ``python -m parrotlet_training.benchmarks.peers.worker LOOP PLAN``."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

from .gate import Gate
from .plan import Plan

LOOPS = ("parrotlet", "codeparrot", "codeparrot_today", "trainer", "nanogpt", "peak")
"""Modules of this package; each has ``run(plan, gate)``, which takes `plan.steps` steps."""


def main(loop: str, file: str) -> None:
    """Runs a loop under the gate; orders on standard input, reports on standard output."""
    reports = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the loop prints is not for whoever reads the reports
    gate = Gate(sys.stdin, reports)
    importlib.import_module(f"{__package__}.{loop}").run(
        Plan.from_json(Path(file).read_text(encoding="utf-8")), gate
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
