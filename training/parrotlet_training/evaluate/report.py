"""Results as a table for people, as Markdown and as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from parrotlet_server.version import version

from .figures import Figure


@dataclass(frozen=True)
class Report:
    """What was measured, of what, and how.

    Attributes:
        measure: name of the measure.
        model: name of the model, and the SHA-256 of its weights if it has any.
        options: all that the figures depend on, the seed among them.
        figures: results with their intervals.
        notes: lines for people: what else is worth knowing, such as latency.
        details: more values, for the JSON file alone.
    """

    measure: str
    model: Mapping[str, str]
    options: Mapping[str, Any]
    figures: Sequence[Figure]
    notes: Sequence[str] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_text(self) -> str:
        """For a terminal."""
        rows = [(f.name, str(f), f"{f.n:,} {f.items}", f.interval) for f in self.figures]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
        lines = [f"{self.measure} of {_model(self.model)}", ""]
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join([*lines, "", *self.notes, _footer(self)])

    def to_markdown(self) -> str:
        """A section with a table."""
        lines = [f"### {self.measure} of {_model(self.model)}", ""]
        lines += ["| figure | value [95 % interval] | n | interval |", "| --- | --- | --- | --- |"]
        lines += [f"| {f.name} | {f} | {f.n:,} {f.items} | {f.interval} |" for f in self.figures]
        return "\n".join([*lines, "", *(f"{note}\n" for note in self.notes), _footer(self), ""])

    def to_json(self) -> str:
        """Everything, as one object."""
        return json.dumps(
            {
                "measure": self.measure,
                "model": dict(self.model),
                "options": dict(self.options),
                "parrotlet": version(),
                "figures": [asdict(figure) for figure in self.figures],
                "notes": list(self.notes),
                **self.details,
            },
            indent=1,
        )

    def publish(self, json_file: Path | None, markdown_file: Path | None) -> None:
        """Prints the table and writes the files that are wanted.

        Raises:
            OSError: if a file cannot be written.
        """
        print(self.to_text())  # noqa: T201
        if json_file:
            _write(json_file, self.to_json() + "\n")
        if markdown_file:
            _write(markdown_file, self.to_markdown())


def _model(model: Mapping[str, str]) -> str:
    digest = f" ({model['weights_sha256'][:12]})" if model.get("weights_sha256") else ""
    return model["name"] + digest


def _footer(report: Report) -> str:
    options = ", ".join(f"{key} {value}" for key, value in report.options.items())
    return f"[low, high]: 95 % confidence interval. parrotlet {version()}; {options}"


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)
