"""A candidate's process: ``python host.py ADAPTER MODEL THREADS CONTEXT``.

It loads the model, writes the line ``{"ready": true}`` and then answers each line of JSON on its
standard input with one on its standard output. Orders, by their key ``do``:

* ``suggest``: ``prompt`` and ``answer`` are lists of ids, ``fresh`` forgets earlier prompts first.
  The prompt is read, reusing what earlier ones left where the peer can, and as many tokens as
  `answer` has are decoded, fed with those of `answer` whatever the model chose. Gives
  ``first`` and ``whole``: seconds until the first token and until the last was chosen;
  ``chosen``: what the model itself chose at each place.
* any other name is a method of the adapter, called with the other keys as named arguments.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from typing import Any, Protocol


class Adapter(Protocol):
    """A way to run the model, loaded by ``Adapter(model, threads, context)``."""

    def forget(self) -> None:
        """Drops what earlier prompts left."""
        ...

    def suggest(self, prompt: list[int], answer: list[int], clock: Clock) -> list[int]:
        """Reads `prompt`, decodes ``len(answer)`` tokens; `clock.first` is called after the first.

        Returns:
            The likeliest token at each place. An adapter that cannot be fed with `answer` goes on
            with its own tokens, as many of them.
        """
        ...


class Clock:
    """Takes the time of one order."""

    def __init__(self) -> None:
        self.begin = self.at_first = time.perf_counter()

    def first(self) -> None:
        """The first token is chosen."""
        self.at_first = time.perf_counter()

    def result(self, chosen: list[int]) -> dict[str, Any]:
        """The answer to the order."""
        end = time.perf_counter()
        return {"first": self.at_first - self.begin, "whole": end - self.begin, "chosen": chosen}


def answer(adapter: Adapter, order: dict[str, Any]) -> Any:
    """Does what one line asks for."""
    name = order.pop("do")
    if name != "suggest":
        return getattr(adapter, name)(**order)
    if order["fresh"]:
        adapter.forget()
    clock = Clock()
    return clock.result(adapter.suggest(order["prompt"], order["answer"], clock))


def main() -> None:
    """Serves until its input ends."""
    module, model, threads, context = sys.argv[1:5]
    # libraries print as they like: what they print goes to the log
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    adapter: Adapter = importlib.import_module(module).Adapter(model, int(threads), int(context))
    print(json.dumps({"ready": True}), file=out, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(adapter, json.loads(line))), file=out, flush=True)


if __name__ == "__main__":
    main()
