"""Stops a training loop between two optimiser steps, and times the steps that it is let go for."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import IO, Any

from ..crew import peak_memory


class Gate:
    """Lets a loop that knows nothing of it take so many steps at a time.

    Orders are lines with a number of steps; after that many, a line of JSON tells what they took.
    The process ends when there are no more orders.
    """

    def __init__(self, orders: IO[str], reports: IO[str]) -> None:
        """Waits for the first order: what its steps take holds all that comes before them."""
        self._orders = orders
        self._reports = reports
        self._optimizer: Any = None
        self._cuda: Any = None
        self.loss: Callable[[], float | None] | None = None
        """Of the newest step that is known; asked between the timed steps only."""
        self.facts: dict[str, Any] = {}
        """What else a report shall tell."""
        self._wait()

    def watch(self, device: str) -> None:
        """Takes every optimiser step in this process for a step of the loop."""
        import torch
        from torch.optim.optimizer import register_optimizer_step_post_hook

        if device == "cuda":
            self._cuda = torch.cuda
        register_optimizer_step_post_hook(self._after)

    def _after(self, optimizer: Any, *_: Any) -> None:
        self._optimizer = self._optimizer or optimizer
        if optimizer is self._optimizer:  # a loop may have several, and steps them in turn
            self.step()

    def step(self) -> None:
        """Counts one step; the last one of an order returns when there is the next."""
        self._left -= 1
        if self._left:
            return
        if self._cuda:
            self._cuda.synchronize()
        seconds = time.perf_counter() - self._began
        processor = time.process_time() - self._began_processor
        memory = self._cuda.max_memory_allocated() if self._cuda else peak_memory()
        report = {
            "steps": self._steps,
            "seconds": seconds,
            "processor_seconds": processor,
            "memory": memory,
            "loss": self.loss() if self.loss else None,
            **self.facts,
        }
        self._reports.write(json.dumps(report) + "\n")
        self._reports.flush()
        self._wait()

    def _wait(self) -> None:
        order = self._orders.readline().strip()
        if not order:
            os._exit(0)  # in the middle of a loop that would go on to evaluate and save
        self._steps = self._left = int(order)
        self._began, self._began_processor = time.perf_counter(), time.process_time()
