"""How bits per byte fall with size and with text, and what more compute would buy.

Each shape is trained once at a constant rate; at each budget of tokens a branch decays to nothing
and is scored (Hägele et al. 2024, Scaling Laws and Compute-Optimal Training Beyond Fixed Training
Durations, section 4), so the longest run is paid for once. To the scores a law of the form
``L = E + A / N**a + B / D**b`` is fitted as by Hoffmann et al. 2022 (Training Compute-Optimal
Large Language Models, section 3.3 and appendix D.2): N weights, D tokens, Huber's loss of log L.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import math
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from parrotlet_tokenizer import TokenizerError
from parrotlet_tokenizer.files import write_aside

from ..checkpoint import checkpoints
from ..corpus.manifest import MANIFEST
from ..data import DataError
from ..evaluate.loading import ModelError
from ..release import score_held_out
from .errors import BenchmarkError
from .trials import BATCH, Shape, Trial

RESULTS = "results.json"
DECAY = 0.3
"""Of a branch's tokens, while the rate falls."""

HUBER = 1e-3
FEWEST, FEWEST_EACH = 8, 3
"""Scores that a law with five constants needs, at least, and sizes and budgets among them: two
sizes tell how much better the larger one is, not how that goes on."""

FAR = 100
"""Times the operations of the largest run; what the law says of more is marked."""


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
    budgets: Sequence[int] = (32_000_000, 64_000_000, 128_000_000)
    held_out_bytes: int = 1_000_000


def measure(plan: Plan, say: Callable[[str], None] = lambda line: None) -> list[Score]:
    """Trains and scores all; goes on where an earlier call stopped.

    Raises:
        BenchmarkError: if a training fails, or `plan.out` holds scores of another text.
        DataError: if there is no held-out text.
    """
    file = plan.out / RESULTS
    made_with = {
        "corpus": _digest(plan.corpus / MANIFEST),
        "held_out": _digest(plan.held_out / MANIFEST),
        "held_out_bytes": plan.held_out_bytes,
        "tokenizer": _digest(plan.tokenizer / "tokenizer.json"),
    }
    scores = _read(file, made_with)
    for shape, budget in itertools.product(plan.shapes, sorted(plan.budgets)):
        steps = _steps(budget)
        if any((one.shape, one.tokens) == (shape, steps * BATCH) for one in scores):
            continue
        say(f"{shape}, {steps * BATCH:,} tokens")
        scores.append(_score(plan, shape, steps))
        content = {"made_with": made_with, "scores": [asdict(score) for score in scores]}
        write_aside(file, json.dumps(content, indent=1) + "\n")
    return scores


def _steps(budget: int) -> int:
    return max(4, round(budget / BATCH))


def _digest(file: Path) -> str:
    """Of what `file` holds; empty where there is none, which others will complain of."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else ""


def _read(file: Path, made_with: Mapping[str, Any]) -> list[Score]:
    if not file.is_file():
        return []
    content = json.loads(file.read_text(encoding="utf-8"))
    known = content["made_with"]
    if known != made_with:
        differ = ", ".join(key for key in made_with if known.get(key) != made_with[key])
        raise BenchmarkError(f"{file} holds scores with another {differ}: name another --out")
    return [Score(**values) for values in content["scores"]]


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
    if _newest_step(trunk) > steps - decay:  # of an earlier call with a larger budget
        trunk = plan.out / "runs" / f"{shape}-up-to-{steps - decay}"
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
    if int(run["tokens"]) != steps * BATCH:
        raise BenchmarkError(f"{shape} was trained on {run['tokens']:,} tokens: remove {trunk}")
    return Score(shape, int(run["parameters"]), steps * BATCH, round(bits, 5))


def _newest_step(run: Path) -> int:
    """Step of the newest checkpoint of a run; 0 if there is none."""
    found = checkpoints(run)
    return int(found[-1].name.rpartition("-")[2]) if found else 0


def fit(scores: Sequence[Score], near: Law | None = None) -> Law:
    """The law that fits `scores` best, over many beginnings of the search or from `near` on.

    Raises:
        BenchmarkError: if there are too few, or of too few sizes or budgets.
    """
    if not _enough(scores):
        raise BenchmarkError(
            f"a law takes {FEWEST} scores of {FEWEST_EACH} shapes and {FEWEST_EACH} budgets at "
            f"least; there are {len(scores)} of {len({one.parameters for one in scores})} and "
            f"{len({one.tokens for one in scores})}"
        )
    parameters = torch.tensor([float(one.parameters) for one in scores], dtype=torch.float64).log()
    tokens = torch.tensor([float(one.tokens) for one in scores], dtype=torch.float64).log()
    wanted = torch.tensor([one.bits_per_byte for one in scores], dtype=torch.float64).log()

    def search(starts: Iterable[Sequence[float]], iterations: int) -> list[list[float]]:
        found = [_search(start, parameters, tokens, wanted, iterations) for start in starts]
        return [where for loss, where in sorted(found) if math.isfinite(loss)]

    starts: Iterable[Sequence[float]] = itertools.product(
        (-1.0, 0.0), (0.0, 5.0), _log(0.3, 0.7), (0.0, 5.0), _log(0.3, 0.7)
    )
    if near is None:
        starts = search(starts, 60)[:3]
    else:
        starts = [_log(near.floor, near.a, near.alpha, near.b, near.beta)]
    return Law(*(math.exp(value) for value in search(starts, 1000)[0]))


def _log(*values: float) -> tuple[float, ...]:
    return tuple(math.log(max(value, 1e-12)) for value in values)


def _enough(scores: Sequence[Score]) -> bool:
    sizes, budgets = {one.parameters for one in scores}, {one.tokens for one in scores}
    return len(scores) >= FEWEST and min(len(sizes), len(budgets)) >= FEWEST_EACH


def _search(
    start: Sequence[float], parameters: Tensor, tokens: Tensor, wanted: Tensor, iterations: int
) -> tuple[float, list[float]]:
    """From the logs of E, A, a, B, b, so that all are positive: the loss reached, and where."""
    place = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    # Huber's loss is that of thousandths here: the usual tolerances would stop far off
    search = torch.optim.LBFGS(
        [place],
        max_iter=iterations,
        tolerance_grad=1e-12,
        tolerance_change=1e-15,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        search.zero_grad()
        floor, a, alpha, b, beta = place
        parts = torch.stack(
            [floor.expand_as(wanted), a - alpha.exp() * parameters, b - beta.exp() * tokens]
        ).logsumexp(0)
        value = torch.nn.functional.huber_loss(parts, wanted, delta=HUBER, reduction="sum")
        value.backward()  # type: ignore[no-untyped-call]
        return value

    search.step(loss)  # type: ignore[no-untyped-call]
    return float(loss().detach()), [float(value) for value in place.detach()]


def left_out(scores: Sequence[Score]) -> list[Law]:
    """The law without each of the scores in turn, where the others suffice for one.

    It tells how far the law hangs on a single score; it is no interval, for the scores of one shape
    share their beginning and the order of their text.
    """
    others = [[*scores[:at], *scores[at + 1 :]] for at in range(len(scores))]
    law = fit(scores)
    return [fit(those, law) for those in others if _enough(those)]


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
        "| operations | beyond the largest run | best weights | best tokens | bits per byte "
        "| without one score |",
        f"|{' ---: |' * 6}",
    ]
    largest = max(6.0 * one.parameters * one.tokens for one in scores)
    far = False
    for times in (1, 10, 100):
        beyond = times * flops / largest
        mark, far = (" *", True) if beyond > FAR else ("", far)
        parameters, tokens = law.best(times * flops)
        others = sorted(one(*one.best(times * flops)) for one in laws)
        spread = f"{others[0]:.3f} to {others[-1]:.3f}" if others else "–"
        lines.append(
            f"| {times * flops:.2g} | {beyond:,.2g} x{mark} | {parameters:.2g} | {tokens:.2g} "
            f"| {law(parameters, tokens):.3f} | {spread} |"
        )
    lines += ["", "Weights count the vocabulary's, which are most of a small model's."]
    if far:
        lines.append(f"* More than {FAR} times the largest run: a guess.")
    return lines


def main(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet bench scaling`."""
    try:
        for shape in arguments.shapes:
            Shape.parse(shape)
    except ValueError as error:
        sys.stderr.write(f"parrotlet: {error}\n")
        return 2
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
        scores = [one for one in measure(plan, _say) if one.tokens >= arguments.fit_from]
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
