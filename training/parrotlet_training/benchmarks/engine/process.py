"""A candidate's process, seen from outside."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..crew import peak_memory
from ..errors import BenchmarkError

HOST = Path(__file__).with_name("adapters") / "host.py"


@dataclass(frozen=True)
class Timed:
    """One answer.

    Attributes:
        first: seconds until the first token was chosen, the prompt being read by then.
        whole: seconds until the last was.
        chosen: the candidate's own choice at each place.
    """

    first: float
    whole: float
    chosen: list[int]


class Candidate:
    """A process that runs the model in one way."""

    def __init__(self, python: Path, adapter: str, model: str, threads: int, context: int) -> None:
        """Starts it and waits until the model is loaded.

        Raises:
            BenchmarkError: if it ends instead; the message holds its last words.
        """
        self.name = adapter
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        begin = time.perf_counter()
        self._process = subprocess.Popen(
            [str(python), str(HOST), adapter, model, str(threads), str(context)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=_environment(threads),
            text=True,
            encoding="utf-8",
        )
        try:
            self._receive()
        except BaseException:
            self.close()
            raise
        self.seconds = time.perf_counter() - begin
        """From the start of the process until it was ready."""

    def suggest(self, prompt: Sequence[int], answer: Sequence[int], fresh: bool) -> Timed:
        """Reads `prompt` and decodes as many tokens as `answer` has; see `adapters.host`."""
        return Timed(**self.call("suggest", prompt=prompt, answer=answer, fresh=fresh))

    def call(self, what: str, **arguments: Any) -> Any:
        """Another order of the adapter's.

        Raises:
            BenchmarkError: if the process ends instead.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
            self._process.stdin.flush()
        except OSError:
            pass  # it has ended: what follows says why
        return self._receive()

    def peak_memory(self) -> int:
        """Most bytes that it has held so far."""
        return peak_memory(self._process.pid)

    def _receive(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._process.wait()
        self._log.seek(0)
        words = self._log.read().strip().splitlines()
        raise BenchmarkError(f"{self.name} ended: {words[-1] if words else 'it said nothing'}")

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()
        self._log.close()


def _environment(threads: int) -> dict[str, str]:
    limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    offline = {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **limits, **offline}
