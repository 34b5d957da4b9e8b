"""How bits per byte fall with size and with text, and what more compute would buy.

Each shape is trained once at a constant rate; at each budget of tokens a branch decays to nothing
and is scored (Hägele et al. 2024, Scaling Laws and Compute-Optimal Training Beyond Fixed Training
Durations, section 4), so the longest run is paid for once. To the scores a law of the form
``L = E + A / N**a + B / D**b`` is fitted as by Hoffmann et al. 2022 (Training Compute-Optimal
Large Language Models, section 3.3 and appendix D.2): N weights, D tokens, Huber's loss of log L.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from parrotlet_tokenizer import TokenizerError
from parrotlet_tokenizer.files import write_aside

from ..checkpoint import checkpoints
from ..data import DataError
from ..evaluate.loading import ModelError
from ..release import score_held_out
from .errors import BenchmarkError
from .trials import BATCH, Shape, Trial

RESULTS = "results.json"
DECAY = 0.3
"""Of a branch's tokens, while the rate falls."""

HUBER = 1e-3
FEWEST = 6
"""Scores that a law with five constants needs, at least."""


@dataclass(frozen=True)
class Score:
    """A model of some size after some text.

    Attributes:
        shape: as ``LAYERSxWIDTH``.
        parameters: all weights; the embedding is the head's and counts once.
        tokens: that it was trained on.
        bits_per_byte: on the held-out text.
    """

    shape: str
    parameters: int
    tokens: int
    bits_per_byte: float


@dataclass(frozen=True)
class Law:
    """``bits = floor + a / parameters**alpha + b / tokens**beta``."""

    floor: float
    a: float
    alpha: float
    b: float
    beta: float

    def __call__(self, parameters: float, tokens: float) -> float:
        """Bits per byte."""
        return float(self.floor + self.a / parameters**self.alpha + self.b / tokens**self.beta)

    def best(self, flops: float) -> tuple[float, float]:
        """Weights and tokens that make the most of a budget of 6 x weights x tokens.

        Hoffmann et al. 2022, equation 4.
        """
        share = (self.alpha * self.a / (self.beta * self.b)) ** (1 / (self.alpha + self.beta))
        parameters = share * (flops / 6) ** (self.beta / (self.alpha + self.beta))
        return parameters, flops / 6 / parameters


@dataclass(frozen=True)
class Plan:
    """What is trained.

    Attributes:
        corpus: to learn from.
        held_out: a folder of `parrotlet corpus build --holdout`.
        tokenizer: its vocabulary.
        out: folder of runs and results; what lies there is not done again.
        shapes: of the models.
        budgets: of tokens, at which each is scored.
        held_out_bytes: of text to score.
    """

    corpus: Path
    held_out: Path
    tokenizer: Path
    out: Path
    shapes: Sequence[str] = ("2x128", "3x192", "4x256")
    budgets: Sequence[int] = (1_000_000, 2_000_000, 4_000_000)
    held_out_bytes: int = 1_000_000


def measure(plan: Plan, say: Callable[[str], None] = lambda line: None) -> list[Score]:
    """Trains and scores all; goes on where an earlier call stopped.

    Raises:
        BenchmarkError: if a training fails.
        DataError: if there is no held-out text.
        ValueError: if a shape is none.
    """
    file = plan.out / RESULTS
    scores = _read(file)
    for shape, budget in itertools.product(plan.shapes, sorted(plan.budgets)):
        steps = _steps(budget)
        if any((one.shape, one.tokens) == (shape, steps * BATCH) for one in scores):
            continue
        say(f"{shape}, {steps * BATCH:,} tokens")
        scores.append(_score(plan, shape, steps))
        write_aside(file, json.dumps([asdict(score) for score in scores], indent=1) + "\n")
    return scores


def _steps(budget: int) -> int:
    return max(4, round(budget / BATCH))


def _read(file: Path) -> list[Score]:
    if not file.is_file():
        return []
    return [Score(**values) for values in json.loads(file.read_text(encoding="utf-8"))]


def _score(plan: Plan, shape: str, steps: int) -> Score:
    fewest = _steps(min(plan.budgets))
    trial = Trial(
        f"scaling-{shape}",
        plan.corpus,
        plan.tokenizer,
        Shape.parse(shape),
        {"steps": fewest, "warmup": min(20, fewest // 4), "decay": 0},
        {"seed": 1, "evaluate_every": 10**6, "checkpoint_every": 50, "keep": 1},
    )
    decay = max(1, round(DECAY * steps))
    trunk = plan.out / "runs" / shape
    trial.train(plan.out, trunk, f"schedule.steps={steps - decay}")
    branch = plan.out / "runs" / f"{shape}-{steps}"
    if not branch.exists():
        aside = branch.with_name(f".{branch.name}")
        shutil.rmtree(aside, ignore_errors=True)
        shutil.copytree(trunk, aside)
        aside.rename(branch)
    trial.train(plan.out, branch, f"schedule.steps={steps}", f"schedule.decay={decay}")
    last = checkpoints(branch)[-1]
    bits = score_held_out(last, plan.held_out, plan.held_out_bytes).bits_per_byte
    run = json.loads((last / "parrotlet_run.json").read_text(encoding="utf-8"))["run"]
    shutil.rmtree(branch)
    return Score(shape, int(run["parameters"]), int(run["tokens"]), round(bits, 5))


def fit(scores: Sequence[Score]) -> Law:
    """The law that fits `scores` best, over many beginnings of the search.

    Raises:
        BenchmarkError: if there are too few, or sizes or budgets do not differ.
    """
    sizes, budgets = {one.parameters for one in scores}, {one.tokens for one in scores}
    if len(scores) < FEWEST or len(sizes) < 2 or len(budgets) < 2:
        raise BenchmarkError(
            f"a law takes {FEWEST} scores of several shapes and budgets; there are {len(scores)}"
        )
    parameters = torch.tensor([float(one.parameters) for one in scores], dtype=torch.float64).log()
    tokens = torch.tensor([float(one.tokens) for one in scores], dtype=torch.float64).log()
    wanted = torch.tensor([one.bits_per_byte for one in scores], dtype=torch.float64).log()
    found = [
        _search(torch.tensor(start, dtype=torch.float64), parameters, tokens, wanted)
        for start in itertools.product((-1.0, 0.0), (0.0, 5.0), (0.3, 0.7), (0.0, 5.0), (0.3, 0.7))
    ]
    _, best = min((one for one in found if math.isfinite(one[0])), key=lambda one: one[0])
    floor, a, alpha, b, beta = best
    return Law(math.exp(floor), math.exp(a), alpha, math.exp(b), beta)


def _search(
    start: Tensor, parameters: Tensor, tokens: Tensor, wanted: Tensor
) -> tuple[float, list[float]]:
    """From log E, log A, a, log B, b: the loss reached, and where."""
    place = start.clone().requires_grad_()
    search = torch.optim.LBFGS([place], max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        floor, a, alpha, b, beta = place
        parts = torch.stack(
            [floor.expand_as(wanted), a - alpha * parameters, b - beta * tokens]
        ).logsumexp(0)
        value = torch.nn.functional.huber_loss(parts, wanted, delta=HUBER, reduction="sum")
        value.backward()  # type: ignore[no-untyped-call]
        return value

    search.step(loss)  # type: ignore[no-untyped-call]
    return float(loss().detach()), [float(value) for value in place.detach()]


def left_out(scores: Sequence[Score]) -> list[Law]:
    """The law without each of the scores in turn: how far it hangs on a single one."""
    if len(scores) <= FEWEST:
        return []
    return [fit([*scores[:at], *scores[at + 1 :]]) for at in range(len(scores))]


def report(scores: Sequence[Score], flops: float) -> list[str]:
    """The scores, the law, and what 1, 10 and 100 times `flops` buy, as Markdown."""
    law = fit(scores)
    laws = left_out(scores)
    lines = ["| shape | weights | tokens | bits per byte | by the law |", f"|{' ---: |' * 5}"]
    for one in sorted(scores, key=lambda one: (one.parameters, one.tokens)):
        lines.append(
            f"| {one.shape} | {one.parameters:,} | {one.tokens:,} | {one.bits_per_byte:.4f} "
            f"| {law(one.parameters, one.tokens):.4f} |"
        )
    lines += [
        "",
        f"bits = {law.floor:.3f} + {law.a:.4g} / N^{law.alpha:.3f} "
        f"+ {law.b:.4g} / D^{law.beta:.3f}",
        "",
        "| operations | best weights | best tokens | bits per byte | without one score |",
        f"|{' ---: |' * 5}",
    ]
    for times in (1, 10, 100):
        parameters, tokens = law.best(times * flops)
        others = sorted(one(*one.best(times * flops)) for one in laws)
        spread = f"{others[0]:.3f} to {others[-1]:.3f}" if others else "–"
        lines.append(
            f"| {times * flops:.2g} | {parameters:,.0f} | {tokens:,.0f} "
            f"| {law(parameters, tokens):.3f} | {spread} |"
        )
    return lines


def main(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet bench scaling`."""
    plan = Plan(
        arguments.corpus,
        arguments.held_out,
        arguments.tokenizer,
        arguments.out,
        arguments.shapes,
        arguments.tokens,
        arguments.held_out_bytes,
    )
    try:
        scores = measure(plan, _say)
        _say("\n" + "\n".join(report(scores, arguments.flops)))
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped; the same command goes on\n")
        return 130
    except (BenchmarkError, DataError, ModelError, TokenizerError, OSError, ValueError) as error:
        sys.stderr.write(f"parrotlet: {error}\n")
        return 1
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
