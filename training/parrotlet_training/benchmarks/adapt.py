"""What `parrotlet adapt` gains on a repository, and what it costs elsewhere.

Repositories of the hold-out, which the model has not learnt, stand in for the user's own; the
others are the general Python that must not be forgotten. What counts is what the model says by
itself, without n-grams of the user's files; how much is left of the gain beside these, of the file
and of all that the adaptation has learnt from, is told too. The adapted models are thrown away:
they have learnt what is to stay unlearnt.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import torch
from transformers.utils import logging

from parrotlet_server.bundle import Bundle, BundleError
from parrotlet_server.bundle.manifest import is_bundle
from parrotlet_server.bundle.resolve import resolve_model
from parrotlet_server.engine import Engine
from parrotlet_tokenizer import CodeTokenizer

from ..adapt.adapt import AdaptError, StoppedError, adapt
from ..adapt.code import TooLittleCodeError, divide, own_documents
from ..adapt.plan import Settings
from ..corpus.document import Document
from ..corpus.manifest import MANIFEST, Manifest
from ..corpus.shards import ShardWriter, shard_files
from ..corpus.sources import Folder
from ..data import DataError, text_rows
from ..evaluate.bits import score_rows
from ..evaluate.figures import Figure
from ..evaluate.lines import LineScore, Place, compare, line_score
from ..evaluate.loading import load_model
from ..evaluate.neighbours import Neighbours
from ..evaluate.places import draw_places

GAIN_WANTED = 0.2
"""Exact matches on held-out files of the repository, relative."""

LOSS_ALLOWED = 0.02
"""Bits per byte of general Python, relative."""

PER_FILE = 20
"""Places of a kind in one file, at most: a repository has few files that are kept out."""


@dataclass(frozen=True)
class Measured:
    """One model on one text.

    Attributes:
        bits: per byte of its files.
        lines: at places in them, by the model alone.
        served: the same with n-grams of the file and of its repository's files; None where these
            are not asked for.
    """

    bits: float
    lines: LineScore
    served: LineScore | None = None


@dataclass(frozen=True)
class Outcome:
    """One repository, before and after.

    Attributes:
        repository: its name.
        own: of its held-out files.
        general: of the other repositories.
        minutes: that the adaptation took.
    """

    repository: str
    own: tuple[Measured, Measured]
    general: tuple[Measured, Measured]
    minutes: float

    @property
    def gain(self) -> float:
        """Exact matches on its own files: how much more, relative."""
        before, after = (measured.lines.exact.value for measured in self.own)
        return after / before - 1 if before else float("inf") if after else 0.0

    @property
    def loss(self) -> float:
        """Bits per byte of general Python: how much more, relative."""
        before, after = self.general
        return after.bits / before.bits - 1


def main(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet bench adapt`."""
    logging.disable_progress_bar()
    try:
        outcomes = measure(arguments)
    except (
        AdaptError, BundleError, DataError, OSError, StoppedError, TooLittleCodeError, ValueError
    ) as error:  # fmt: skip
        sys.stderr.write(f"parrotlet: {error}\n")
        return 1
    _say(f"\n{table(outcomes)}")
    if arguments.json:
        values = [plain(outcome) for outcome in outcomes]
        arguments.json.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    return 0


def measure(arguments: argparse.Namespace) -> list[Outcome]:
    """Adapts to each repository by itself, in turn.

    Raises:
        AdaptError: if the hold-out lacks one, or an adaptation fails.
        DataError: if there is no hold-out.
    """
    found = documents_by_repository(arguments.holdout)
    missing = [name for name in arguments.repositories if name not in found]
    if missing:
        raise AdaptError(
            f"{arguments.holdout} has no {', '.join(missing)}: it has {', '.join(sorted(found))}"
        )
    others = [
        document
        for name, documents in sorted(found.items())
        if name not in arguments.repositories
        for document in documents
    ]
    if not others:
        raise AdaptError("no repository is left as general Python: adapt to fewer")
    settings = changed(arguments.set)
    base = resolve_model(arguments.model)
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="parrotlet-adapt-") as scratch:
        root = Path(scratch)
        work = arguments.work.resolve() if arguments.work else root / "work"
        ruler = Ruler(root / "general", others, arguments.general_lines, arguments.bytes)
        general_before = ruler.measure(base)
        for name in arguments.repositories:
            _say(f"\n{name}")
            folder = work / name.replace("/", "--")
            source = Folder(written(found[name], folder / "files"), repository=name)
            own, _ = own_documents([source], None)
            material = divide(own, [])
            own_ruler = Ruler(
                root / "own" / name,
                material.held_out,
                arguments.lines,
                arguments.bytes,
                material.own,
            )
            before = own_ruler.measure(base)
            adapted, minutes = _adapted(source, folder, arguments, settings)
            outcomes.append(
                Outcome(
                    name,
                    (before, own_ruler.measure(adapted)),
                    (general_before, ruler.measure(adapted)),
                    minutes,
                )
            )
            _say(table(outcomes[-1:]))
    return outcomes


def _adapted(
    source: Folder, folder: Path, arguments: argparse.Namespace, settings: Settings
) -> tuple[Bundle, float]:
    """The adapted model in `folder`, made now where it is not there yet, and the minutes it took.

    An adaptation that was interrupted goes on; its minutes add up.
    """
    out, clock = folder / "adapted", folder / "minutes.json"
    spent = json.loads(clock.read_text(encoding="utf-8")) if clock.is_file() else 0.0
    if is_bundle(out):
        _say("adapted before")
        return resolve_model(str(out)), spent
    began = time.monotonic()
    try:
        done = adapt([source], out, arguments.model, arguments.minutes, say=_say, settings=settings)
    finally:
        spent += (time.monotonic() - began) / 60
        clock.write_text(json.dumps(spent), encoding="utf-8")
    return done.bundle, spent


class Ruler:
    """A text that models are measured on, the same places each time."""

    def __init__(
        self,
        folder: Path,
        documents: Sequence[Document],
        lines: int,
        size: int,
        beside: Sequence[Document] | None = None,
    ) -> None:
        """Writes `documents` as a corpus into `folder` and draws `lines` places in them.

        Of `beside`, other files of the same repository, n-grams are made; None makes none.
        """
        self._beside = beside
        with ShardWriter(folder, "holdout") as writer:
            for document in documents:
                writer.add(document)
        manifest = Manifest({}, shards=writer.shards)
        (folder / MANIFEST).write_text(json.dumps(manifest.to_json()), encoding="utf-8")
        self._folder = folder
        self._bytes = size
        texts = [(document.path, document.content) for document in documents]
        self._places: list[Place] = [
            drawn.place for drawn in draw_places(texts, lines, per_file=PER_FILE)
        ]

    def measure(self, bundle: Bundle) -> Measured:
        """Bits per byte and line score of a model as it is served."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with load_model(str(bundle.folder)) as (weights, folder):
            tokenizer = CodeTokenizer.load(folder)
            context = weights.config.n_positions
            rows = text_rows(self._folder, "holdout", tokenizer, context, self._bytes)
            bits = score_rows(weights.to(device), rows, tokenizer, device).bits_per_byte
        engine = Engine.load(str(bundle.folder))
        lines = line_score(engine, self._places, change=lambda _, one: replace(one, recall=False))
        if self._beside is None:
            return Measured(bits, lines)
        files = {f"learnt/{document.path}": document.content for document in self._beside}
        neighbours = Neighbours(engine.tokenizer, {"": files})
        served = line_score(
            engine, self._places, change=lambda _, one: neighbours.beside(one, "", one.path or "")
        )
        return Measured(bits, lines, served)


def documents_by_repository(corpus: Path) -> dict[str, list[Document]]:
    """The hold-out's documents.

    Raises:
        DataError: if there is no hold-out in `corpus`.
    """
    files = shard_files(corpus, "holdout")
    if not files:
        raise DataError(f"{corpus} holds no hold-out: run `parrotlet corpus build --holdout` first")
    found: dict[str, list[Document]] = defaultdict(list)
    columns = ["content", "path", "repository", "commit", "licence", "source"]
    for file in files:
        for row in parquet.ParquetFile(file).read(columns=columns).to_pylist():
            found[row["repository"]].append(Document(**row))
    return dict(found)


def written(documents: Sequence[Document], folder: Path) -> Path:
    """A folder with the files of `documents`."""
    for document in documents:
        file = folder / document.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(document.content, encoding="utf-8")
    return folder


def changed(overrides: Sequence[str]) -> Settings:
    """The usual settings, changed by ``KEY=VALUE``.

    Raises:
        ValueError: if there is no such setting, or the value does not fit.
    """
    settings = Settings()
    for override in overrides:
        key, _, value = override.partition("=")
        known = {name: kept for name, kept in vars(settings).items() if name != "fim"}
        if key not in known:
            raise ValueError(f"no setting {key}: there are {', '.join(known)}")
        change: Mapping[str, Any] = {key: type(known[key])(value)}
        settings = replace(settings, **change)
    return settings


def table(outcomes: Sequence[Outcome]) -> str:
    """The figures as Markdown, and whether they are what is wanted."""
    lines = [
        "| | bits per byte | exact lines | gain | difference |",
        "| --- | --- | --- | --- | --- |",
    ]
    for outcome in outcomes:
        for name, (before, after) in (
            (f"{outcome.repository}, held-out files", outcome.own),
            ("other repositories", outcome.general),
        ):
            bits = f"{before.bits:.4f} → {after.bits:.4f} ({after.bits / before.bits - 1:+.1%})"
            lines.append(f"| {name} | {bits} | {_rise(before.lines, after.lines)} |")
            if before.served is not None and after.served is not None:
                lines.append(f"| … beside n-grams | | {_rise(before.served, after.served)} |")
    for outcome in outcomes:
        met = outcome.gain >= GAIN_WANTED and outcome.loss <= LOSS_ALLOWED
        lines.append(
            f"\n{outcome.repository}: {outcome.gain:+.0%} exact lines (wanted {GAIN_WANTED:+.0%}), "
            f"{outcome.loss:+.1%} bits per byte elsewhere (allowed {LOSS_ALLOWED:+.0%}), in "
            f"{outcome.minutes:.0f} minutes: {'reached' if met else 'NOT reached'}"
        )
    return "\n".join(lines)


def _rise(before: LineScore, after: LineScore) -> str:
    """Three cells: exact lines before and after, by how much they rise, and the difference."""
    difference: Figure = compare(before, after)[0]
    old, new = before.exact.value, after.exact.value
    gain = f"{new / old - 1:+.0%}" if old else "–"
    return f"{old:.1%} → {new:.1%} of {len(before.items)} | {gain} | {difference}"


def plain(outcome: Outcome) -> dict[str, Any]:
    """An outcome's values for JSON."""

    def values(measured: Measured) -> dict[str, Any]:
        exact, similarity = measured.lines.exact, measured.lines.similarity
        return {
            "bits_per_byte": measured.bits,
            "exact": exact.value,
            "similarity": similarity.value,
            "lines": len(measured.lines.items),
            "exact_beside_ngrams": measured.served and measured.served.exact.value,
        }

    return {
        "repository": outcome.repository,
        "minutes": outcome.minutes,
        "gain": outcome.gain,
        "loss": outcome.loss,
        "own": [values(measured) for measured in outcome.own],
        "general": [values(measured) for measured in outcome.general],
    }


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
