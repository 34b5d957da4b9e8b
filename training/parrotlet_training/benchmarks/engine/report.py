"""What is told of the measurements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

from .candidates import FOUR_BITS, Q8
from .measure import FAR, Measured, Result

Lines = list[list[float]]


@dataclass(frozen=True)
class Must:
    """A bound that Parrotlet sets itself.

    Attributes:
        what: is bounded.
        value: as measured.
        bound: the least or the most that is wanted.
        least: whether `bound` is the least.
        form: of the figures.
    """

    what: str
    value: float
    bound: float
    least: bool
    form: Callable[[float], str]

    @property
    def reached(self) -> bool:
        """Whether the value keeps to the bound."""
        return self.value >= self.bound if self.least else self.value <= self.bound


def typical(rounds: Lines) -> list[float]:
    """Of each request, the median over the rounds."""
    return [median(values) for values in zip(*rounds, strict=True)]


def p95(values: Sequence[float]) -> float:
    """The value that 19 of 20 do not exceed."""
    return quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]


def paired(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Median over the rounds of ``ours / theirs`` within each."""
    return median(a / b for a, b in zip(ours, theirs, strict=True))


def replay_ratio(ours: Lines, theirs: Lines) -> float:
    """Of the median times of a suggestion, ours to theirs, paired by round."""
    return paired([median(one) for one in ours], [median(one) for one in theirs])


def _times(value: float) -> str:
    return f"{value:.2f}x"


def _seconds(value: float) -> str:
    return f"{value:.2f} s"


def _milliseconds(value: float) -> str:
    return f"{1000 * value:.0f} ms"


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _megabytes(value: float) -> str:
    return f"{value / 1e6:,.0f} MB"


def musts(measured: Measured) -> list[Must]:
    """Each bound that can be judged from what was measured."""
    ours = measured.ours
    found = []
    theirs = next((r for r in measured.results if r.kind.name == Q8), None)
    if theirs is not None:
        speed = 1 / paired(ours.decode, theirs.decode)
        found.append(Must("decoding, against llama.cpp Q8_0", speed, 1.15, True, _times))
        speed = 1 / paired(ours.read, theirs.read)
        found.append(Must("reading a prompt, against llama.cpp Q8_0", speed, 1.7, True, _times))
        for name, rounds in (
            ("replayed typing, as served: time beside llama.cpp Q8_0", ours.served),
            ("replayed typing, the same answers: time beside llama.cpp Q8_0", ours.drafted),
        ):
            ratio = replay_ratio(rounds, theirs.replayed)
            found.append(Must(name, ratio, 0.7, False, _times))
    name = "a token beside reading its weights and its state"
    found.append(Must(name, paired(ours.decode, measured.floors), 1.6, False, _times))
    name = "a token beside reading its weights alone"
    alone = paired(ours.decode, measured.read_in(measured.weights, measured.cached))
    found.append(Must(name, alone, 1.6, False, _times))
    small = next((r for r in measured.results if r.kind.name == FOUR_BITS), None)
    if small is not None and measured.weights_4bit:
        floors = measured.read_in(measured.weights_4bit + measured.state_4bit, measured.cached)
        name = "a token at 4 bits beside reading its weights and its state"
        found.append(Must(name, paired(small.decode, floors), 1.9, False, _times))
    ready = median(one.ready for one in measured.server)
    found.append(Must("server ready after its start", ready, 1.0, False, _seconds))
    found.append(
        Must(
            "memory of the engine with three full states",
            max(ours.memory),
            450e6,
            False,
            _megabytes,
        )
    )
    found.append(
        Must(
            "memory of the server after a suggestion",
            max(one.memory for one in measured.server),
            450e6,
            False,
            _megabytes,
        )
    )
    idle = [one.idle for one in measured.server if one.idle is not None]
    if idle:
        found.append(Must("processor use of an idle server", median(idle), 0.001, False, _share))
    cancelled = [seconds for one in measured.server for seconds in one.cancelled]
    if cancelled:
        rest = p95(cancelled)
        name = "at rest after a cancelled request, p95"
        found.append(Must(name, rest, 0.05, False, _milliseconds))
    return found


def table(measured: Measured) -> list[str]:
    """The candidates beside each other; ratios are medians of those within each round."""
    prompt = len(measured.work.prompt)
    ours = measured.ours
    lines = [
        "| engine | load | peak RSS | prompt, tokens/s | decode, ms/token | x ours "
        "| suggestion, median | p95 | x ours | same tokens |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for result in measured.results:
        lines.append(_row(result, ours, prompt, result.replayed, result.kind.label))
        for rounds, how in ((result.drafted, "with drafts"), (result.served, "as served")):
            if rounds:
                label = f"{result.kind.label}, {how}"
                lines.append(_row(result, ours, prompt, rounds, label, served=True))
    return lines


def _row(
    result: Result, ours: Result, prompt: int, rounds: Lines, label: str, served: bool = False
) -> str:
    each = typical(rounds)
    own = ["", "", "", "", ""]
    if not served:
        own = [
            _seconds(median(result.load)),
            _megabytes(max(result.memory)),
            f"{prompt / median(result.read):,.0f}",
            f"{1000 * median(result.decode):.3f}",
            f"{paired(result.decode, ours.decode):.2f}",
        ]
    cells = [
        label,
        *own,
        f"{1000 * median(each):.1f} ms",
        f"{1000 * p95(each):.1f} ms",
        f"{replay_ratio(rounds, ours.replayed):.2f}",
        "" if served else _share(result.chose_ours),
    ]
    return f"| {' | '.join(cells)} |"


def verdicts(measured: Measured) -> list[str]:
    """The bounds, and whether each is reached."""
    lines = ["| bound | wanted | measured | |", "| --- | ---: | ---: | --- |"]
    for one in musts(measured):
        wanted = f"{'at least' if one.least else 'at most'} {one.form(one.bound)}"
        reached = "reached" if one.reached else "**not reached**"
        lines.append(f"| {one.what} | {wanted} | {one.form(one.value)} | {reached} |")
    return lines


def notes(measured: Measured) -> list[str]:
    """What the tables do not hold."""
    work, server = measured.work, measured.server
    tokens = sum(len(one.answer) for one in work.requests)
    sessions = len({one.session for one in work.requests})
    total = measured.weights + measured.state
    lines = [
        f"Each with {work.threads} threads, {work.rounds} rounds in turn. Replay: "
        f"{len(work.requests)} requests of {sessions} typing sessions, prompts of "
        f"{median(len(one.prompt) for one in work.requests):.0f} tokens, "
        f"{tokens / len(work.requests):.1f} tokens decoded for each. Prompt: {len(work.prompt)} "
        f"tokens; decoding: {len(work.answer)} tokens after it.",
        f"A token reads {measured.weights / 1e6:.1f} MB of weights and, on average, "
        f"{measured.state / 1e6:.1f} MB of keys and values. Of as many bytes "
        f"{median(measured.cached) / 1e9:.1f} GB/s are read, which the floor is reckoned with, and "
        f"{median(measured.fastest) / 1e9:.1f} at best; of {FAR / 1e6:,.0f} MB, which no cache "
        f"holds, {median(measured.memory) / 1e9:.1f} GB/s. Floor: "
        f"{1000 * median(measured.floors):.3f} ms a token; beside the fastest reading a token "
        f"takes {_times(paired(measured.ours.decode, measured.read_in(total, measured.fastest)))}.",
        f"Server: ready {_seconds(median(one.ready for one in server))} after its start, first "
        f"suggestion {_seconds(median(one.suggested for one in server))}.",
    ]
    for label, use in measured.use.items():
        lines.append(
            f"{label}: idle {_share(use['idle'])} of a processor; a token every 0.2 s takes "
            f"{_share(use['typing'])}, of which {_share(use['spinning'])} between the runs."
        )
    scored = [(r.kind.label, r.bits_per_byte) for r in measured.results if r.bits_per_byte]
    if scored:
        lines.append(
            "Bits per byte: " + ", ".join(f"{label} {bits:.4f}" for label, bits in scored) + "."
        )
    return lines


def to_json(measured: Measured) -> dict[str, Any]:
    """Plain values, each round with them."""
    return {
        "threads": measured.work.threads,
        "requests": len(measured.work.requests),
        "weights_bytes": measured.weights,
        "state_bytes": measured.state,
        "bandwidth": measured.cached,
        "bandwidth_at_best": measured.fastest,
        "bandwidth_of_memory": measured.memory,
        "server": [vars(one) for one in measured.server],
        "processor_use": measured.use,
        "results": [
            {"name": result.kind.name, **{k: v for k, v in vars(result).items() if k != "kind"}}
            for result in measured.results
        ],
        "bounds": [
            {"what": m.what, "value": m.value, "bound": m.bound, "reached": m.reached}
            for m in musts(measured)
        ],
    }
