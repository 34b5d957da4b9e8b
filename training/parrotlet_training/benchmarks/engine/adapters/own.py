"""Parrotlet's own engine, with its kept states, on its kernels or on ONNX Runtime.

`suggest` is the engine's backend, states and chunks with the tokens of others, so that all do equal
work; `drafted` gives the same answer by way of drafts; `served` is the engine as it serves: text
in, text out, n-grams and filters with it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parrotlet_server.backends.base import Backend
from parrotlet_server.backends.onnx import OnnxBackend
from parrotlet_server.backends.processor import open_backend
from parrotlet_server.bundle.resolve import resolve_model
from parrotlet_server.engine import Engine, Request
from parrotlet_server.engine.decode import CHUNK
from parrotlet_server.engine.engine import STATES
from parrotlet_server.engine.lookup import Lookup
from parrotlet_server.engine.states import States

if TYPE_CHECKING:
    from .host import Clock

PAUSE = 0.2
"""Seconds between two keys."""


class Adapter:
    """See `host.Adapter`.

    The model is a bundle, or ``BUNDLE::GRAPH`` for a graph of it in ONNX Runtime.
    """

    def __init__(self, model: str, threads: int, context: int) -> None:
        folder, _, graph = model.partition("::")
        bundle = resolve_model(folder)
        self._backend: Backend = (
            OnnxBackend(Path(graph), threads) if graph else open_backend(bundle, threads)
        )
        self._bundle = bundle
        self._engine = Engine(self._backend, bundle.tokenizer, bundle)
        self._lookup = Lookup([], bundle.tokenizer.token_bytes)
        self.forget()

    def forget(self) -> None:
        """See `host.Adapter`."""
        self._states = States(self._backend, STATES)

    def suggest(self, prompt: list[int], answer: list[int], clock: Clock) -> list[int]:
        """See `host.Adapter`."""
        state, keep = self._states.take(prompt, "")
        keep = min(keep, len(prompt) - 1)
        for start in range(keep, len(prompt), CHUNK):
            logits = self._backend.evaluate(state, start, prompt[start : start + CHUNK])
        chosen = [int(logits.argmax())]
        clock.first()
        for at, token in enumerate(answer[:-1]):
            logits = self._backend.evaluate(state, len(prompt) + at, [token])
            chosen.append(int(logits.argmax()))
        return chosen

    def drafted(self, prompt: list[int], answer: list[int], fresh: bool) -> dict[str, Any]:
        """As `suggest`, with the engine's drafts: seconds, and what was chosen.

        A draft is not cut short for the end of the answer, which the engine would see coming.
        """
        if fresh:
            self.forget()
        begin = time.perf_counter()
        state, keep = self._states.take(prompt, "")
        keep = min(keep, len(prompt) - 1)
        self._lookup.turn(prompt)
        end = len(prompt)
        while end - keep > CHUNK:
            self._backend.evaluate(state, keep, prompt[keep : keep + CHUNK])
            keep += CHUNK
        unread, chosen = prompt[keep:], list[int]()
        while len(chosen) < len(answer):
            draft = self._lookup.draft()[: self._backend.context_length - keep - len(unread)]
            rows = self._backend.evaluate_rows(state, keep, [*unread, *draft], 1 + len(draft))
            keep += len(unread)
            for row, token in zip(rows, [*draft, None], strict=True):
                chosen.append(int(row.argmax()))
                given = answer[len(chosen) - 1]
                self._lookup.extend([given])
                if len(chosen) == len(answer) or given != token:
                    unread = [given]
                    break
                keep += 1
        return {"whole": time.perf_counter() - begin, "chosen": chosen}

    def served(
        self, prefix: str, suffix: str, path: str, document: str, fresh: bool
    ) -> dict[str, Any]:
        """What an editor would wait for: seconds, and tokens written."""
        if fresh:
            self._engine = Engine(self._backend, self._bundle.tokenizer, self._bundle)
        begin = time.perf_counter()
        done = self._engine.complete(Request(prefix, suffix, path=path, document=document))
        return {"whole": time.perf_counter() - begin, "tokens": done.generated_tokens}

    def fill(self, prompt: list[int]) -> None:
        """Fills all states that are kept to the last token of the context."""
        size = self._backend.context_length
        for number in range(STATES):
            ids = [prompt[(number + at) % len(prompt)] for at in range(size)]
            state, _ = self._states.take(ids, str(number))
            for start in range(0, size, CHUNK):
                self._backend.evaluate(state, start, ids[start : start + CHUNK])

    def nats(self, rows: list[list[int]]) -> list[float]:
        """Negative log-likelihood of each row's tokens after its first."""
        found = []
        for row in rows:
            logits = self._backend.evaluate_rows(
                self._backend.new_state(), 0, row[:-1], len(row) - 1
            ).astype(np.float64)
            logits -= logits.max(axis=1, keepdims=True)
            chosen = logits[np.arange(len(row) - 1), row[1:]]
            found.append(math.fsum(np.log(np.exp(logits).sum(axis=1)) - chosen))
        return found

    def processor_use(self, seconds: float) -> dict[str, float]:
        """Processor seconds a second while idle, and while a token is read every 0.2 seconds.

        `spinning` is how much of the latter lies between the runs.
        """
        backend = self._backend
        state = backend.new_state()
        backend.evaluate(state, 0, [0])
        time.sleep(PAUSE)
        idle = _share(lambda: time.sleep(seconds))
        inside = 0.0

        def typing() -> None:
            nonlocal inside
            for _ in range(round(seconds / PAUSE)):
                begin = time.process_time()
                backend.evaluate(state, 0, [0])
                inside += time.process_time() - begin
                time.sleep(PAUSE)

        used = _share(typing)
        return {"idle": idle, "typing": used, "spinning": used - inside / seconds}


def _share(work: Callable[[], None]) -> float:
    """Processor seconds of this process for each second that `work` lasts."""
    wall, used = time.perf_counter(), time.process_time()
    work()
    return (time.process_time() - used) / (time.perf_counter() - wall)
