"""The measurements: candidates in turn, so that whatever else the machine does hits all of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import onnx

from parrotlet_server.bundle import Bundle
from parrotlet_server.bundle.checkpoint import Architecture

from .candidates import FOUR_BITS, OURS, OWN, Files, Kind, python_of
from .process import Candidate, Timed
from .replay import Recorded, by_session
from .server import ServerFigures, measure_server

REST = 0.02
"""Seconds between two turns, in which the threads of the last one go to sleep."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Work:
    """What is asked of each candidate.

    Attributes:
        requests: of the replay.
        prompt: ids that are read for the figures of reading and decoding.
        answer: ids that are decoded after it.
        texts: rows of ids whose likelihood tells what fewer bits cost.
        text_bytes: that the ids of `texts` after each row's first stand for.
        rounds: turns of each candidate.
        loads: processes started of each.
        seconds: that a server is watched.
        threads: of each candidate.
        number: bytes of a number among the keys and values that our engine keeps.
    """

    requests: list[Recorded]
    prompt: list[int]
    answer: list[int]
    texts: list[list[int]]
    text_bytes: int
    rounds: int
    loads: int
    seconds: float
    threads: int
    number: int = 4


@dataclass
class Result:
    """What was measured of one candidate; lists hold a value for each round.

    Attributes:
        kind: which one.
        load: seconds from the start of its process until it was ready.
        memory: peak bytes, after prompts as long as the context; ours keeps three of them.
        read: seconds for the prompt, none of it known before.
        decode: seconds a token after it.
        replayed: in each round, seconds of each request.
        chose_ours: share of the recorded tokens that it chose itself.
        drafted: as `replayed`, the same answers by our engine with its drafts; else empty.
        served: as `replayed`, by the whole of our engine, from text to text; else empty.
        bits_per_byte: of the texts; None where it was not asked.
    """

    kind: Kind
    load: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    read: list[float] = field(default_factory=list)
    decode: list[float] = field(default_factory=list)
    replayed: list[list[float]] = field(default_factory=list)
    chose_ours: float = 0.0
    drafted: list[list[float]] = field(default_factory=list)
    served: list[list[float]] = field(default_factory=list)
    bits_per_byte: float | None = None


@dataclass
class Measured:
    """All that was measured.

    Attributes:
        work: what was asked.
        results: by candidate, ours first.
        weights: bytes of weights that a token reads.
        state: bytes of keys and values that it reads in the middle of the decoded answer.
        cached: in each round, bytes a second that are read of as many bytes as a token reads.
        fastest: the same at best.
        memory: as `cached`, of more than caches hold.
        weights_4bit: bytes of weights that a token of the 4-bit experiment reads, if it is there.
        state_4bit: of keys and values, which ONNX Runtime keeps in float32.
        server: of each start.
        use: processor use of each of our candidates, by its label; see `adapters.own`.
    """

    work: Work
    results: list[Result]
    weights: int
    state: int
    cached: list[float] = field(default_factory=list)
    fastest: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    weights_4bit: int = 0
    state_4bit: int = 0
    server: list[ServerFigures] = field(default_factory=list)
    use: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def ours(self) -> Result:
        """That of Parrotlet at 8 bits."""
        return self.results[0]

    @property
    def floors(self) -> list[float]:
        """In each round, the seconds in which a token's weights, keys and values are read."""
        return self.read_in(self.weights + self.state, self.cached)

    def read_in(self, size: int, bandwidths: Sequence[float]) -> list[float]:
        """In each round, the seconds in which so many bytes are read."""
        return [size / bandwidth for bandwidth in bandwidths]


FAR = 512 << 20
"""Bytes that no cache holds."""


def weights_read(model: Path) -> int:
    """Bytes of weights that a pass over one token reads: all but the tables of positions.

    The embedding is read whole, as the head.
    """
    graph = onnx.load(model).graph
    return sum(len(t.raw_data) for t in graph.initializer if t.name != "wpe.weight")


def state_read(shape: Architecture, tokens: int, number: int) -> int:
    """Bytes of keys and values of so many tokens, `number` for each of their numbers."""
    return 2 * number * shape.layers * shape.width * tokens


def bandwidths(sizes: Sequence[int], threads: int) -> list[tuple[float, float]]:
    """Bytes a second that are read of so many bytes, typically and at best; see `bandwidth`."""
    program = Path(__file__).with_name("bandwidth.py")
    command = [sys.executable, str(program), str(threads), *map(str, sizes)]
    names = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, "1")}
    done = subprocess.run(command, check=True, capture_output=True, env=environment)
    found: list[tuple[float, float]] = json.loads(done.stdout)
    return found


def measure(
    kinds: Sequence[Kind], bundle: Bundle, files: Files, work: Work, tell: Tell
) -> Measured:
    """Measures `kinds`, the first of which is ours.

    Raises:
        BenchmarkError: if a candidate ends.
        BundleError: if the bundle was not made by this program.
    """
    shape = bundle.manifest.architecture
    found = Measured(
        work,
        [Result(kind) for kind in kinds],
        weights_read(bundle.model_file),
        state_read(shape, len(work.prompt) + len(work.answer) // 2, work.number),
    )
    if any(kind.name == FOUR_BITS for kind in kinds):
        _, _, graph = str(files.path("four_bits")).partition("::")
        found.weights_4bit = weights_read(Path(graph))
        found.state_4bit = state_read(shape, len(work.prompt) + len(work.answer) // 2, 4)
    sizes = (found.weights + found.state, FAR)

    def open_candidate(kind: Kind) -> Candidate:
        model = files.path(kind.model)
        assert model is not None
        return Candidate(python_of(kind), kind.adapter, model, work.threads, shape.context_length)

    for turn in range(work.loads):
        tell(f"loading, {turn + 1} of {work.loads}")
        found.server.append(measure_server(str(bundle.folder), work.seconds))
        for result in found.results:
            with closing(open_candidate(result.kind)) as candidate:
                result.load.append(candidate.seconds)
                _fill(candidate, result, work, shape.context_length)
                result.memory.append(candidate.peak_memory())
    with ExitStack() as stack:
        running = [
            stack.enter_context(closing(open_candidate(result.kind))) for result in found.results
        ]
        order = list(zip(found.results, running, strict=True))
        for turn in range(work.rounds):
            tell(f"round {turn + 1} of {work.rounds}")
            turned = order[turn % len(order) :] + order[: turn % len(order)]
            for result, candidate in turned:
                if result is found.ours:  # what its time is compared with, at nearly the same time
                    (near, best), (far, _) = bandwidths(sizes, work.threads)
                    found.cached.append(near)
                    found.fastest.append(best)
                    found.memory.append(far)
                _read_and_decode(result, candidate, work)
            _replay(turned, work)
        for result, candidate in order:
            if result.kind.adapter == OWN:
                nats = candidate.call("nats", rows=work.texts)
                result.bits_per_byte = sum(nats) / _LN2 / work.text_bytes
        tell("processor use")
        found.use = {
            result.kind.label: candidate.call("processor_use", seconds=work.seconds)
            for result, candidate in order
            if result.kind.adapter == OWN and result.kind.name != FOUR_BITS
        }
    return found


_LN2 = 0.6931471805599453


def _fill(candidate: Candidate, result: Result, work: Work, context: int) -> None:
    if result.kind.adapter == OWN:
        candidate.call("fill", prompt=work.prompt)
    else:
        whole = (work.prompt * (1 + context // len(work.prompt)))[: context - len(work.answer)]
        candidate.suggest(whole, work.answer, True)


WARM_UP = 2
SECONDS, FEWEST = 1.0, 3
"""For which prompts are read and decoded, and how many at least."""


def _read_and_decode(result: Result, candidate: Candidate, work: Work) -> None:
    time.sleep(REST)
    for _ in range(WARM_UP):
        candidate.suggest(work.prompt, work.answer[:2], True)
    end = time.perf_counter() + SECONDS
    timed: list[Timed] = []
    while len(timed) < FEWEST or time.perf_counter() < end:
        timed.append(candidate.suggest(work.prompt, work.answer, True))
    result.read.append(median(one.first for one in timed))
    result.decode.append(median((t.whole - t.first) / (len(work.answer) - 1) for t in timed))


def _replay(turned: Sequence[tuple[Result, Candidate]], work: Work) -> None:
    """One round: each session by each candidate in turn."""
    right = dict.fromkeys((result.kind.name for result, _ in turned), 0)
    for result, _ in turned:
        result.replayed.append([])
        if result.kind.name == OURS:
            result.drafted.append([])
            result.served.append([])
    for session in by_session(work.requests):
        for result, candidate in turned:
            time.sleep(REST)
            for number, one in enumerate(session):
                timed = candidate.suggest(one.prompt, one.answer, number == 0)
                result.replayed[-1].append(timed.whole)
                pairs = zip(timed.chosen, one.answer, strict=True)
                right[result.kind.name] += sum(a == b for a, b in pairs)
            if result.kind.name != OURS:
                continue
            for number, one in enumerate(session):
                answered = candidate.call(
                    "drafted", prompt=one.prompt, answer=one.answer, fresh=number == 0
                )
                result.drafted[-1].append(answered["whole"])
            for number, one in enumerate(session):
                asked = one.request
                served = candidate.call(
                    "served",
                    prefix=asked.prefix,
                    suffix=asked.suffix,
                    path=asked.path,
                    document=asked.document,
                    fresh=number == 0,
                )
                result.served[-1].append(served["whole"])
    total = sum(len(one.answer) for one in work.requests)
    for result, _ in turned:
        result.chose_ours = right[result.kind.name] / total
