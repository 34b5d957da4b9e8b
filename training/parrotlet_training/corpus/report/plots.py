"""Plots as SVG that take their colours from the page, so that they read in light and in dark."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

# Stand-ins that no other element has; each becomes a variable of the page's style sheet.
_INK, _FAINT, _BAR, _REST = "#010203", "#010204", "#010205", "#010206"
_VARIABLES = {_INK: "var(--ink)", _FAINT: "var(--rule)", _BAR: "var(--bar)", _REST: "var(--rest)"}

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, searchable, in the page's own font
    "svg.hashsalt": "parrotlet",  # the same data give the same bytes
    "font.family": "sans-serif",
    "font.size": 10.5,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.axisbelow": True,
    "grid.color": _FAINT,
    "grid.linewidth": 0.6,
}

WIDTH = 7.6
"""Inches at 72 units each; the page scales them to its column."""


def bars(
    items: Sequence[tuple[str, float]],
    title: str,
    unit: str,
    percent_of: float | None = None,
    rest: frozenset[str] = frozenset(),
) -> str:
    """Horizontal bars, the first on top, each with its value beside it.

    Args:
        items: label and value.
        title: what a reader who does not see the plot is told.
        unit: on the horizontal axis.
        percent_of: adds each value's share of this.
        rest: labels drawn in the colour of what is of less weight.
    """
    with mpl.rc_context(_STYLE):
        height = 0.62 + 0.29 * len(items)
        figure = Figure(figsize=(WIDTH, height))
        # The same margins in every plot, so that all are scaled alike.
        axes = figure.add_axes((0.31, 0.55 / height, 0.67, 1 - 0.6 / height))
        labels = [_short(label) for label, _ in items]
        values = [value for _, value in items]
        places = range(len(items))
        colours = [_REST if label in rest else _BAR for label, _ in items]
        axes.barh(places, values, color=colours, height=0.72)
        axes.set_yticks(places, labels)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(unit)
        longest = max([*values, 1e-9])
        gap = 0.012 * longest
        axes.set_xlim(0, longest * 1.3)
        axes.set_ylim(len(items) - 0.45, -0.55)
        for place, value in zip(places, values, strict=True):
            share = f"  {_percent(value / percent_of)}" if percent_of else ""
            axes.text(value + gap, place, f"{_amount(value)}{share}", va="center", color=_INK)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _amount(value)))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.grid(axis="x")
        return _to_svg(figure, title)


def histogram(
    edges: Sequence[float],
    counts: Sequence[float],
    title: str,
    x_label: str,
    y_label: str,
    logarithmic: bool = False,
    marks: Sequence[tuple[float, str]] = (),
    bytes_on_x: bool = False,
) -> str:
    """Counts in bins.

    Args:
        edges: of the bins, shape (n + 1,).
        counts: shape (n,).
        title: what a reader who does not see the plot is told.
        x_label: with its unit.
        y_label: with its unit.
        logarithmic: whether the horizontal axis is.
        marks: places on the horizontal axis to point out, with words.
        bytes_on_x: write the horizontal axis in B, kB, MB.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, 3.1))
        axes = figure.add_axes((0.09, 0.17, 0.86, 0.8))
        axes.stairs(counts, edges, fill=True, color=_BAR)
        if logarithmic:
            axes.set_xscale("log")
        if bytes_on_x:
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _bytes(value)))
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(0, max([*counts, 1e-9]) * 1.15)
        for place, words in marks:
            axes.axvline(place, color=_INK, linewidth=1, linestyle=(0, (4, 3)))
            axes.text(
                place + (0 if logarithmic else 1),
                axes.get_ylim()[1],
                f"\u00a0{words}",
                va="top",
                color=_INK,
            )
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _amount(value)))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.grid(axis="y")
        return _to_svg(figure, title)


def _to_svg(figure: Figure, title: str) -> str:
    target = io.StringIO()
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(target, format="svg", transparent=True, metadata=metadata)
    svg = target.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    # Groups are named alike in every figure; names must be unique on a page, and none is used.
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    svg = re.sub(r" ?font-family: [^;\"]*;?", "", svg)  # the page's own
    label = html.escape(title, quote=True)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def _short(label: str, length: int = 28) -> str:
    return label if len(label) <= length else f"{label[: length - 1]}…"


def _percent(share: float) -> str:
    if 0 < share < 0.001:
        return "(< 0.1 %)"
    return f"({100 * share:.1f} %)" if share < 0.9995 else "(100 %)"


def _amount(value: float) -> str:
    if value and abs(value) < 10 and value != int(value):
        return f"{value:.1f}"
    return f"{value:,.0f}"


def _bytes(value: float) -> str:
    for unit, size in (("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g} B"
