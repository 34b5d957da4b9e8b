"""`parrotlet evaluate all`: every measure of one model, one after the other, and one table of them.

Each measure is a command of its own, run in a process of its own, and leaves its results in a file;
what is there already for the same model and options is not measured again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

from parrotlet_server.bundle.manifest import MANIFEST_FILE, is_bundle, open_bundle
from parrotlet_tokenizer.files import write_aside

from ..corpus.manifest import MANIFEST
from .errors import EvaluationError
from .figures import Figure
from .named import NamedModel, named_model

ALONE = "lines-alone"
BITS, LINES, TYPING, INFILLING, TASKS, MEMORISATION = (
    "bits", "lines", "typing", "infilling", "tasks", "memorisation",
)  # fmt: skip

_ASKED = "asked.json"
_KEPT = "--completions"

AIMS = {
    "bits per byte": 0.55,
    "line start: exact match": 0.35,
    "line start: edit similarity": 0.70,
    "inside line: exact match": 0.50,
    "stops right": 0.95,
    "parseable as written": 0.99,
    "keys spared": 0.45,
    "infilling: greedy pass@1": 0.25,
}
"""What a model of some 47M parameters that a GPU has trained should come to."""


@dataclass(frozen=True)
class Step:
    """A measure.

    Attributes:
        name: of its results' file.
        words: the command that takes it, without the program's name.
    """

    name: str
    words: tuple[str, ...]


def steps(options: argparse.Namespace, model: NamedModel) -> list[Step]:
    """The measures that `options` give the material for."""
    folder, corpus = str(model.folder.resolve()), str(options.corpus.resolve())
    given = ("--model", folder)
    places = () if options.cursors is None else ("--cursors", str(options.cursors.resolve()))
    found = [
        Step(BITS, ("evaluate", "bits", folder, "--corpus", corpus)),
        Step(LINES, ("evaluate", "lines", *given, "--corpus", corpus, *places)),
        Step(ALONE, ("evaluate", "lines", *given, "--corpus", corpus, *places, "--recall", "off")),
        Step(TYPING, ("bench", "typing", *given, "--holdout", corpus, *places)),
    ]
    sampling = ("--temperature", "0", "0.2", "0.8", "--samples", str(options.samples))
    for name, file, more in (
        (INFILLING, options.infilling, ()),
        (TASKS, options.tasks, sampling if options.samples > 1 else ()),
    ):
        if file is not None:
            # answers are of one model to one file's tasks
            made_with = hashlib.sha256(model.weights_sha256.encode() + file.read_bytes())
            kept = str((options.out / f"{name}-{made_with.hexdigest()[:12]}.jsonl").resolve())
            words = ("evaluate", name, str(file.resolve()), *given, _KEPT, kept)
            found.append(Step(name, (*words, "--run-generated-code", *more)))
    if options.learnt is not None:
        learnt = ("--corpus", str(options.learnt.resolve()))
        found.append(Step(MEMORISATION, ("evaluate", "memorisation", *given, *learnt)))
    return found


def run(options: argparse.Namespace) -> str:
    """Takes all measures; gives the table of their figures.

    Raises:
        EvaluationError: if a measure fails (it has said why), or code would have to be run without
            leave.
    """
    if (options.tasks or options.infilling) and not options.run_generated_code:
        raise EvaluationError("--tasks and --infilling take --run-generated-code: they run answers")
    for file in (options.tasks, options.infilling, options.cursors, options.learnt):
        if file is not None and not file.exists():
            raise EvaluationError(f"{file} is not there")
    model = named_model(options.model)
    if options.card and not is_bundle(model.folder):
        raise EvaluationError(f"--card: {model.folder} is no bundle, it has no card")
    options.out.mkdir(parents=True, exist_ok=True)
    wanted = steps(options, model)
    for step in wanted:
        _take(step, model, options.out)
    figures = [figure for step in wanted for figure in figures_of(step.name, options.out)]
    text = table(figures, model)
    (options.out / "evaluation.md").write_text(text, encoding="utf-8")
    if options.card:
        write_card(model.folder, figures)
    return text


def _take(step: Step, model: NamedModel, out: Path) -> None:
    results, noted = out / f"{step.name}.json", out / _ASKED
    asked = json.loads(noted.read_text(encoding="utf-8")) if noted.is_file() else {}
    identity = {
        "words": list(step.words),
        "weights_sha256": model.weights_sha256,
        "parrotlet": metadata.version("parrotlet"),
        "read": _digest(step.words),
    }
    if results.is_file() and asked.get(step.name) == identity:
        return
    results.unlink(missing_ok=True)
    command = [sys.executable, "-m", "parrotlet_server", *step.words, "--json", str(results)]
    if subprocess.run(command, check=False).returncode or not results.is_file():
        raise EvaluationError(f"the measure `parrotlet {' '.join(step.words[:2])}` failed")
    write_aside(noted, json.dumps(asked | {step.name: identity}, indent=2) + "\n")


def _digest(words: Sequence[str]) -> str:
    """Of the files and the corpora that a command reads."""
    digest = hashlib.sha256()
    for before, word in pairwise(words):
        path = Path(word)
        file = path / MANIFEST if path.is_dir() else path
        if before != _KEPT and path.is_absolute() and file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def figures_of(name: str, out: Path) -> Iterator[Figure]:
    """The figures of a measure's results in `out`, named as in the table."""
    content = json.loads((out / f"{name}.json").read_text(encoding="utf-8"))
    if name == TYPING:
        yield from _typing(content)
        return
    prefix = f"{name}: " if name in (INFILLING, TASKS) else ""
    prefix = "model alone, " if name == ALONE else prefix
    for figure in content["figures"]:
        found = Figure(**figure)
        yield replace(found, name=prefix + found.name)


def _typing(policies: Sequence[Mapping[str, Any]]) -> Iterator[Figure]:
    for policy in policies:
        least = policy["minimum_score"]
        shown = "" if least is None else f", shown from {least:g} on"
        for figure in policy["figures"].values():
            found = Figure(**figure)
            yield replace(found, name=found.name + shown)


def table(figures: Sequence[Figure], model: NamedModel) -> str:
    """The figures as Markdown."""
    lines = [
        f"# {model.name} ({model.weights_sha256[:12]})",
        "",
        "| measure | value [95 % interval] | n | aim |",
        "| --- | --- | --- | --- |",
    ]
    for figure in figures:
        aim = AIMS.get(figure.name)
        wanted = "" if aim is None else f"{aim:.0%}" if figure.unit == "share" else f"{aim:g}"
        lines.append(f"| {figure.name} | {figure} | {figure.n:,} {figure.items} | {wanted} |")
    return "\n".join([*lines, ""])


def write_card(folder: Path, figures: Sequence[Figure]) -> None:
    """Puts `figures` into the manifest and the card of the bundle in `folder`.

    Those of other measures, which were taken of the same weights before, stay.

    Raises:
        BundleError: if it is damaged.
    """
    from ..release import write_examples_card

    bundle = open_bundle(folder)
    notes = {key: dict(value) for key, value in bundle.manifest.notes.items()}
    measured = {figure.name: f"{figure}, {figure.n:,} {figure.items}" for figure in figures}
    before = notes["evaluation"].get("measured", {})
    notes["evaluation"]["measured"] = {**before, **measured}
    content = replace(bundle.manifest, notes=notes).to_json()
    text = json.dumps(content, indent=2, ensure_ascii=False)
    write_aside(folder / MANIFEST_FILE, text + "\n")
    write_examples_card(folder)
