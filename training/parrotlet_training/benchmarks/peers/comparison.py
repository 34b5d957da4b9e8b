"""Contenders that take turns, and what comes out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any, Literal

from ..corpus import machine
from ..errors import BenchmarkError
from .plan import Plan, product_flops
from .process import Slice, Worker

PEAK = "peak"
FACTS = ("device", "torch", "threads", "published", "parameters", "flops_per_token")
"""What the measurement of the peak tells of the machine and the model."""

_PRODUCTS = {"cpu": 4, "cuda": 50}
"""Products of matrices between two turns: a tenth of a second or so."""


@dataclass(frozen=True)
class Contender:
    """A row of the table.

    Attributes:
        name: for `--only`.
        loop: module of `peers`.
        label: what it is.
        compiled: whether it goes through `torch.compile`.
        loss: ``sampled`` has another objective than the others.
        fp32: whether it stays in float32 where others take bf16.
        lists: devices where it runs unless told otherwise.
    """

    name: str
    loop: str
    label: str
    compiled: bool = False
    loss: Literal["full", "sampled"] = "full"
    fp32: bool = False
    lists: tuple[str, ...] = ("cpu", "cuda")


CONTENDERS = (
    Contender("parrotlet", "parrotlet", "Parrotlet"),
    Contender("codeparrot", "codeparrot", "CodeParrot's loop as published", fp32=True),
    Contender(
        "codeparrot-today",
        "codeparrot_today",
        "CodeParrot's loop, today's attention, no dropout",
        fp32=True,
    ),
    Contender("trainer", "trainer", "Hugging Face `Trainer`"),
    Contender("nanogpt", "nanogpt", "nanoGPT's model and loop"),
    Contender("parrotlet-compiled", "parrotlet", "Parrotlet, compiled", compiled=True),
    Contender("trainer-compiled", "trainer", "`Trainer`, compiled", compiled=True, lists=("cuda",)),
    Contender("nanogpt-compiled", "nanogpt", "nanoGPT's, compiled", compiled=True),
    Contender(
        "parrotlet-sampled",
        "parrotlet",
        "Parrotlet, sampled softmax (another objective)",
        loss="sampled",
    ),
)


@dataclass
class Result:
    """A contender's measurements.

    Attributes:
        contender: which one.
        warmup: the steps before the first round, start-up and compilation with them.
        rounds: its turns.
    """

    contender: Contender
    warmup: Slice
    rounds: list[Slice] = field(default_factory=list)

    def speeds(self, tokens: int) -> list[float]:
        """Tokens a second in each round, at `tokens` a step."""
        return [tokens * turn.steps / turn.seconds for turn in self.rounds]

    def processor_speed(self, tokens: int) -> float:
        """Median of the tokens for a second of one core."""
        return median(tokens * turn.steps / turn.processor_seconds for turn in self.rounds)

    def times_as_fast_as(self, other: Result, by: str = "seconds") -> float:
        """Median over the rounds of the ratio within each, in `seconds` or `processor_seconds`."""
        pairs = zip(self.rounds, other.rounds, strict=True)
        ratios = [(getattr(b, by) / b.steps) / (getattr(a, by) / a.steps) for a, b in pairs]
        return float(median(ratios))


def _flops(value: float) -> str:
    return f"{value / 1e12:,.1f} TFLOPS" if value > 1e12 else f"{value / 1e9:,.0f} GFLOPS"


@dataclass
class Comparison:
    """All that was measured.

    Attributes:
        plan: what all contenders share.
        machine: where.
        device: the GPU, or the instructions that torch uses.
        torch: its version.
        threads: of each contender.
        parameters: of the model.
        flops_per_token: of a training step.
        peak: most operations a second that a product of matrices reached in the same rounds.
        published: what the GPU's maker says; None where unknown.
        results: by contender.
    """

    plan: Plan
    machine: str
    device: str
    torch: str
    threads: int
    parameters: int
    flops_per_token: float
    peak: float
    published: float | None
    results: list[Result]

    def mfu(self, result: Result) -> float:
        """Share of the device's operations that the model's own arithmetic takes."""
        speed = median(result.speeds(self.plan.tokens))
        return speed * self.flops_per_token / (self.published or self.peak)

    def _result(self, name: str) -> Result | None:
        return next((r for r in self.results if r.contender.name == name), None)

    def reference(self, peer: str, result: Result) -> Result | None:
        """The peer to hold a result against: compiled where it is, if that one ran."""
        compiled = self._result(f"{peer}-compiled") if result.contender.compiled else None
        return compiled or self._result(peer)

    def header(self) -> list[str]:
        """Where and what."""
        plan, shape = self.plan, self.plan.shape
        known = f" (published: {_flops(self.published)})" if self.published else ""
        return [
            f"machine: {self.machine}; {self.device}; torch {self.torch}, {self.threads} threads",
            f"peak of a product of matrices, {plan.precision}: {_flops(self.peak)}{known}",
            f"model: {shape.layers} x {shape.width}, {shape.heads} heads, vocabulary "
            f"{shape.vocabulary:,}, {self.parameters / 1e6:.1f}M parameters, "
            f"{self.flops_per_token / 1e6:,.0f} MFLOP a token",
            f"step: {plan.rows} rows of {shape.context:,} tokens, {plan.micro_rows} at a time; "
            f"{len(self.results[0].rounds)} rounds of {self.results[0].rounds[0].steps} steps",
        ]

    def markdown(self) -> list[str]:
        """The table; ratios are medians of those within each round."""
        lines = [
            "| loop | tokens/s (range) | MFU | x CodeParrot | x nanoGPT | tokens per core second "
            "| peak MiB | loss |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
        for result in self.results:
            speeds = result.speeds(self.plan.tokens)
            ratios = [
                f"{result.times_as_fast_as(other):.2f}" if other else "-"
                for other in (self.reference(peer, result) for peer in ("codeparrot", "nanogpt"))
            ]
            last = result.rounds[-1]
            cells = [
                result.contender.label + (", fp32" if self._apart(result) else ""),
                f"{median(speeds):,.0f} ({min(speeds):,.0f} to {max(speeds):,.0f})",
                # what a sampled softmax leaves out is not work done
                "-" if result.contender.loss == "sampled" else f"{100 * self.mfu(result):.1f} %",
                *ratios,
                f"{result.processor_speed(self.plan.tokens):,.0f}",
                f"{last.memory / 2**20:,.0f}",
                f"{last.loss:.2f}" if last.loss is not None else "-",
            ]
            lines.append(f"| {' | '.join(cells)} |")
        return lines

    def _apart(self, result: Result) -> bool:
        return result.contender.fp32 and self.plan.precision == "bf16"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, each round with them."""
        plan = json.loads(self.plan.to_json())
        for name in ("corpus", "tokenizer", "rows_file", "folder", "compile", "loss", "steps"):
            del plan[name]
        return {
            "machine": self.machine,
            "device": self.device,
            "torch": self.torch,
            "threads": self.threads,
            "peak_flops": self.peak,
            "published_flops": self.published,
            "flops_per_token": self.flops_per_token,
            "parameters": self.parameters,
            "plan": plan,
            "results": [self._values(result) for result in self.results],
        }

    def _values(self, result: Result) -> dict[str, Any]:
        others = {peer: self.reference(peer, result) for peer in ("codeparrot", "nanogpt")}
        return {
            "name": result.contender.name,
            "objective": result.contender.loss,
            "compiled": result.contender.compiled,
            "precision": "fp32" if result.contender.fp32 else self.plan.precision,
            "tokens_per_second": median(result.speeds(self.plan.tokens)),
            "mfu": None if result.contender.loss == "sampled" else self.mfu(result),
            "times": {
                peer: {
                    by: result.times_as_fast_as(other, by)
                    for by in ("seconds", "processor_seconds")
                }
                for peer, other in others.items()
                if other
            },
            "memory": result.rounds[-1].memory,
            "loss": result.rounds[-1].loss,
            "warmup": asdict(result.warmup),
            "rounds": [asdict(turn) for turn in result.rounds],
        }


def verdict(comparison: Comparison) -> Iterator[str]:
    """Ours beside each peer, in words."""
    for result in comparison.results:
        if result.contender.loop != "parrotlet" or result.contender.loss != "full":
            continue
        for peer in ("codeparrot", "codeparrot-today", "trainer", "nanogpt"):
            other = comparison.reference(peer, result)
            if other:
                wall, core = (
                    result.times_as_fast_as(other, by) for by in ("seconds", "processor_seconds")
                )
                yield (
                    f"{result.contender.label}: {wall:.2f} times {other.contender.label} "
                    f"({core:.2f} by processor seconds)"
                )


def compare(
    plan: Plan,
    contenders: Sequence[Contender],
    rounds: int,
    steps: int,
    warmup: int,
    threads: int,
    say: Callable[[str], None] = lambda line: None,
) -> Comparison:
    """Runs the contenders by turns.

    Args:
        plan: what they share; the rest is set for each.
        contenders: at least one.
        rounds: turns of each.
        steps: of a turn.
        warmup: steps of each before the first round.
        threads: of each.
        say: takes lines about the progress.

    Raises:
        BenchmarkError: if one ends before it is done.
    """
    where = machine()
    processes: dict[str, Worker] = {}
    try:
        peak = processes[PEAK] = Worker(PEAK, _own(plan, PEAK), threads)
        facts = dict(peak.run(2).facts)
        best = 0.0
        results = []
        for contender in contenders:
            worker = Worker(contender.loop, _own(plan, contender.name, contender), threads)
            processes[contender.name] = worker
            try:
                first = worker.run(warmup)
            except BenchmarkError as error:
                if not contender.compiled:
                    raise
                say(f"left out, since it does not compile: {error}")
                continue
            results.append(Result(contender, first))
            say(f"{contender.name}: {warmup} steps and start-up in {first.seconds:.1f} s")
        if not results:
            raise BenchmarkError("no contender is left")
        for number in range(rounds):
            turn = number % len(results)
            for result in [*results[turn:], *results[:turn]]:
                done = peak.run(_PRODUCTS[plan.device])
                best = max(best, product_flops(plan.device) * done.steps / done.seconds)
                result.rounds.append(processes[result.contender.name].run(steps))
            speeds = (f"{r.contender.name} {r.speeds(plan.tokens)[-1]:,.0f}" for r in results)
            say(f"round {number + 1}, tokens a second: {', '.join(speeds)}")
    finally:
        for worker in processes.values():
            worker.__exit__(None, None, None)
    return Comparison(
        plan=plan,
        machine=where,
        peak=best,
        results=results,
        **{name: facts[name] for name in FACTS},
    )


def _own(plan: Plan, name: str, contender: Contender | None = None) -> Plan:
    folder = plan.folder / name
    if contender is None:
        return replace(plan, folder=folder)
    return replace(
        plan,
        folder=folder,
        compile=contender.compiled,
        loss=contender.loss,
        precision="fp32" if contender.fp32 else plan.precision,
    )
