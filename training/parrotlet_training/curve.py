"""Learning curves of runs as a picture: loss and validation over the tokens seen."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from parrotlet_tokenizer.files import write_aside

from .metrics import METRICS

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "parrotlet",  # the same data give the same bytes
    "font.family": "sans-serif",
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#d8d8d8",
    "grid.linewidth": 0.6,
}
_COLOURS = ("#2f6fab", "#c05a1c", "#3c8a4e", "#8a4fa3", "#8c7a1f", "#555555")
_SMOOTHING = 0.05
"""Weight of a step in the moving average of the loss."""

FORMATS = (".svg", ".png", ".pdf")


class CurveError(ValueError):
    """A run has no curve, or the picture's name says no format."""


@dataclass(frozen=True)
class Curve:
    """What a run's metrics say.

    Attributes:
        name: of the run.
        tokens: seen after each step.
        losses: of each step, nats per token, as the run's own objective has it.
        scored_tokens: seen at each validation.
        bits_per_byte: at each validation.
    """

    name: str
    tokens: list[int]
    losses: list[float]
    scored_tokens: list[int]
    bits_per_byte: list[float]


def read_curve(run: Path) -> Curve:
    """The curve of the run in the folder `run`.

    Raises:
        CurveError: if there are no metrics, or they are damaged.
    """
    file = run / METRICS
    curve = Curve(run.resolve().name, [], [], [], [])
    try:
        for line in file.read_text(encoding="utf-8").splitlines():
            values = json.loads(line)
            if "loss" in values:
                curve.tokens.append(int(values["tokens"]))
                curve.losses.append(float(values["loss"]))
            if "bits_per_byte" in values:
                curve.scored_tokens.append(int(values["tokens"]))
                curve.bits_per_byte.append(float(values["bits_per_byte"]))
    except OSError as error:
        raise CurveError(
            f"{run} has no {METRICS}: give the folder of a run of `parrotlet train`"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise CurveError(f"{file} is damaged: {error}") from error
    if not curve.losses:
        raise CurveError(f"{file} has no step yet")
    return curve


def smoothed(values: Sequence[float], weight: float = _SMOOTHING) -> list[float]:
    """Exponential moving average, corrected for its start (Kingma & Ba 2015, section 3)."""
    result = []
    mean = 0.0
    for number, value in enumerate(values, start=1):
        mean += weight * (value - mean)
        result.append(mean / (1 - (1 - weight) ** number))
    return result


def draw(curves: Sequence[Curve], file: Path) -> None:
    """Writes the picture of `curves`: their losses, and validation where there was any.

    Raises:
        CurveError: if the ending of `file` is none of `FORMATS`.
        OSError: if it cannot be written.
    """
    if file.suffix.lower() not in FORMATS:
        raise CurveError(f"{file.name}: the name must end in one of {', '.join(FORMATS)}")
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9.6, 3.9), layout="constrained")
        left, right = figure.subplots(1, 2)
        for number, curve in enumerate(curves):
            colour = _COLOURS[number % len(_COLOURS)]
            millions = [tokens / 1e6 for tokens in curve.tokens]
            left.plot(millions, curve.losses, color=colour, alpha=0.18, linewidth=0.7)
            left.plot(millions, smoothed(curve.losses), color=colour, label=curve.name)
            scored = [tokens / 1e6 for tokens in curve.scored_tokens]
            right.plot(scored, curve.bits_per_byte, color=colour, marker=".", label=curve.name)
            if scored:
                right.annotate(
                    f"{curve.bits_per_byte[-1]:.3f}",
                    (scored[-1], curve.bits_per_byte[-1]),
                    textcoords="offset points",
                    xytext=(0, 7),
                    ha="right",
                    color=colour,
                )
        left.set_ylabel("training loss, nats per token")
        right.set_ylabel("validation, bits per byte")
        for axes in (left, right):
            axes.set_xlabel("tokens seen, millions")
        if not any(curve.bits_per_byte for curve in curves):
            right.text(0.5, 0.5, "no validation yet", ha="center", transform=right.transAxes)
        if len(curves) > 1:
            left.legend(frameon=False)
        if file.suffix.lower() == ".svg":
            text = io.StringIO()
            figure.savefig(text, format="svg", metadata={"Date": None})
            lines = map(str.rstrip, text.getvalue().splitlines())  # matplotlib leaves blanks
            write_aside(file, "\n".join(lines) + "\n")
            return
        aside = file.with_name(f".{file.stem}.{os.getpid()}{file.suffix}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(aside, dpi=144)
            aside.replace(file)
        finally:
            aside.unlink(missing_ok=True)


def main(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet curve`."""
    try:
        draw([read_curve(run) for run in arguments.runs], arguments.out)
    except (CurveError, OSError) as error:
        sys.stderr.write(f"parrotlet: {error}\n")
        return 1
    print(arguments.out)  # noqa: T201
    return 0
