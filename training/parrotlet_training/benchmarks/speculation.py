"""Drafts out of the text beside plain decoding: the same text, in how much less time.

Three questions, each at the same held-out places and in one process:

1. With drafts and without, in turn, each one character after a request of the same kind, as when
   typing: is the text the same, and how long does it take?
2. From a state that an earlier key left, and from a fresh one: is the text the same?
3. The prompt read at once and read in pieces: is the text the same?

And what drafts live on: the time of a pass over several tokens beside that over one.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from operator import truediv

from parrotlet_server.backends.base import Backend
from parrotlet_server.bundle import BundleError
from parrotlet_server.engine import Completion, Engine, Request, never
from parrotlet_server.engine.decode import Decoder
from parrotlet_server.engine.place import Place
from parrotlet_server.engine.prompt import Prompt, build_prompt
from parrotlet_server.engine.stopping import stopping_at
from parrotlet_server.engine.vocabulary import Vocabulary

from ..evaluate.cursors import CursorError, texts

WARM_UP = 5

PASSES = (1, 2, 4, 8)
"""Tokens of the passes that are timed, after as many as fit half of the context."""

ROUNDS = 200


@dataclass(frozen=True)
class Pair:
    """One place, decoded plainly and with drafts.

    Attributes:
        plain: after the same was asked one character before.
        drafting: likewise.
    """

    plain: Completion
    drafting: Completion

    @property
    def same(self) -> bool:
        """Whether both suggest the same."""
        return _text(self.plain) == _text(self.drafting)


def requests(corpus: argparse.Namespace) -> list[Request]:
    """The hold-out's places as requests, in an order fixed by the seed."""
    joined = texts(corpus.holdout)
    places = list(joined.places)
    random.Random(corpus.seed).shuffle(places)
    found = []
    for cursor, text in places[: corpus.cursors]:
        end = text.find("\n", cursor.offset)
        end = len(text) if end < 0 else end
        found.append(Request(text[: cursor.offset], text[end:], path=cursor.path))
    if not found:
        raise CursorError(f"{corpus.holdout} holds none of the cursors")
    return found


class Bench:
    """A model, asked in several ways."""

    def __init__(self, model: str | None, threads: int | None) -> None:
        """Loads `model`, as for `Engine.load`."""
        loaded = Engine.load(model, threads)
        self.loaded = loaded
        self.backend: Backend = loaded.backend
        self.quality = loaded.bundle.manifest.best_quality if loaded.bundle else None
        self.vocabulary = Vocabulary(loaded.tokenizer)

    def fresh(self, request: Request) -> Completion:
        """The completion from an empty state, with drafts."""
        return self._engine(True).complete(request)

    def pair(self, request: Request, drafting_first: bool) -> Pair:
        """The request in both ways, each in an engine that was asked one character before."""
        order = (True, False) if drafting_first else (False, True)
        done = {speculate: self._typed(request, speculate) for speculate in order}
        return Pair(done[False], done[True])

    def _typed(self, request: Request, speculate: bool) -> Completion:
        engine = self._engine(speculate)
        if request.prefix:
            engine.complete(replace(request, prefix=request.prefix[:-1]))
        return engine.complete(request)

    def _engine(self, speculate: bool) -> Engine:
        loaded = self.loaded
        return Engine(self.backend, loaded.tokenizer, loaded.bundle, 1, speculate)

    def prompt(self, request: Request) -> Prompt:
        """What the model reads."""
        return build_prompt(
            self.loaded.tokenizer, request, self.backend.context_length, self.quality
        )

    def read_at_once(self, request: Request) -> tuple[str, str]:
        """The raw answer where the prompt was read in pieces, and where it was read at once."""
        prompt = self.prompt(request)
        decoder = Decoder(self.backend, self.vocabulary)
        stopping = stopping_at(Place.of(request), request.multiline)
        answers = []
        for whole in (False, True):
            state = self.backend.new_state()
            keep = 0
            if whole and len(prompt.ids) > 1:
                keep = len(prompt.ids) - 1
                self.backend.evaluate(state, 0, prompt.ids[:keep])
            answers.append(decoder.run(prompt, state, keep, stopping, never).text)
        return answers[0], answers[1]

    def passes(self, request: Request) -> dict[int, list[float]]:
        """Seconds of passes over each of `PASSES` tokens, taken in turn."""
        ids = self.prompt(request).ids
        half = self.backend.context_length // 2
        while len(ids) < half + max(PASSES):
            ids = [*ids, *ids]
        state = self.backend.new_state()
        self.backend.evaluate(state, 0, ids[:half])
        seconds: dict[int, list[float]] = {size: [] for size in PASSES}
        for _ in range(ROUNDS):
            for size in PASSES:
                start = time.perf_counter()
                self.backend.evaluate_rows(state, half, ids[half : half + size], size)
                seconds[size].append(time.perf_counter() - start)
        return seconds


def run(arguments: argparse.Namespace) -> Iterator[str]:
    """The report, line by line.

    Raises:
        BundleError: if there is no such model.
        CursorError: if there is no hold-out.
    """
    asked = requests(arguments)
    bench = Bench(arguments.model, arguments.threads)
    for request in asked[:WARM_UP]:
        bench.pair(request, True)
    pairs: list[Pair] = []
    typed = split = 0
    for number, request in enumerate(asked):
        pair = bench.pair(request, bool(number % 2))
        pairs.append(pair)
        typed += _text(bench.fresh(request)) == _text(pair.drafting)
        at_once, in_pieces = bench.read_at_once(request)
        split += at_once == in_pieces
        if arguments.progress and (number + 1) % 50 == 0:
            sys.stderr.write(f"{number + 1} of {len(asked)}\n")
    yield from report(pairs)
    yield f"same text from a reused state as from a fresh one: {_share(typed, len(asked))}"
    yield f"same text where the prompt is read at once: {_share(split, len(asked))}"
    seconds = bench.passes(asked[0])
    ratios = {
        size: statistics.median(map(truediv, seconds[size], seconds[1])) for size in PASSES[1:]
    }
    yield f"a pass over one token: {1000 * statistics.median(seconds[1]):.2f} ms; " + ", ".join(
        f"over {size}: {ratio:.2f} x" for size, ratio in ratios.items()
    )


def report(pairs: Sequence[Pair]) -> list[str]:
    """What came of question 1."""
    same = sum(pair.same for pair in pairs)
    tokens = sum(pair.drafting.generated_tokens for pair in pairs)
    passes = sum(pair.drafting.passes for pair in pairs)
    drafted = sum(pair.drafting.drafted_tokens for pair in pairs)
    accepted = sum(pair.drafting.accepted_tokens for pair in pairs)
    lines = [
        f"{len(pairs)} places, one character typed before each; "
        f"{tokens / len(pairs):.1f} tokens written on average",
        f"same text with drafts: {_share(same, len(pairs))}",
        f"tokens per pass: {tokens / max(1, passes):.2f}; "
        f"of {drafted} drafted tokens {_share(accepted, drafted)} accepted",
        f"{'milliseconds':<14}{'plain':>9}{'drafts':>9}{'ratio':>8}",
    ]
    for name, times in (
        ("whole", [(_ms(pair.plain), _ms(pair.drafting)) for pair in pairs]),
        ("per token", [(_per_token(pair.plain), _per_token(pair.drafting)) for pair in pairs]),
    ):
        for kind, mean in (("median", statistics.median), ("mean", statistics.fmean)):
            plain, drafts = mean([a for a, _ in times]), mean([b for _, b in times])
            label = f"{kind} {name}"
            lines.append(f"{label:<18}{plain:>7.2f}{drafts:>9.2f}{plain / drafts:>8.2f}")
    return lines


def _text(completion: Completion) -> str | None:
    return completion.suggestion.text if completion.suggestion else None


def _ms(completion: Completion) -> float:
    return 1000 * completion.seconds


def _per_token(completion: Completion) -> float:
    return _ms(completion) / max(1, completion.generated_tokens)


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / max(1, whole):.1f} %)"


def main(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet bench speculation`."""
    try:
        if arguments.cursors < 1:
            raise CursorError("--cursors is 1 or more")
        for line in run(arguments):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    except (CursorError, BundleError) as error:
        sys.stderr.write(f"parrotlet: {error}\n")
        return 1
    return 0
