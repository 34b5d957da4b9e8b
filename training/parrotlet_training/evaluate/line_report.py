"""`parrotlet evaluate lines`: exact lines and edit similarity by kind of cursor, and latency."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
from tqdm import tqdm

from parrotlet_server.engine import Engine, Request

from .cursors import CURSORS, KINDS, documents
from .errors import OptionError
from .lines import LineScore, line_score
from .named import named_model
from .neighbours import Neighbours
from .places import DrawnPlace, folder_places, held_out_places, python_files
from .report import Report

FEWEST_REPOSITORIES = 20
"""Of fewer, drawing them anew says little: files are drawn then."""

FROM_A_FOLDER = 400


def measure(options: argparse.Namespace) -> Report:
    """Runs the measure.

    Raises:
        EvaluationError: if there are no places.
        CursorError: if the hold-out or its cursors cannot be read.
        BundleError: if the model is missing or damaged.
    """
    if options.folder and options.cursors:
        raise OptionError("--cursors belongs to --corpus: a folder's places are drawn anew")
    named = named_model(options.model)
    if options.folder:
        places = folder_places(options.folder, options.limit or FROM_A_FOLDER, options.seed)
        where = {"folder": options.folder.name, "seed": options.seed}
        notes = []
    else:
        places, found = held_out_places(options.corpus, options.cursors, options.limit)
        where = {"corpus": options.corpus.name, "cursors": (options.cursors or CURSORS).name}
        notes = [found]
    groups = [place.group for place in places]
    grouping = "repositories"
    if options.folder or len(set(groups)) < FEWEST_REPOSITORIES:
        groups, grouping = [f"{place.group}\0{place.path}" for place in places], "files"
    engine = Engine.load(str(named.folder), options.threads)
    wanted = options.recall
    files = _files(options, places) if wanted == "workspace" else {}
    neighbours = Neighbours(engine.tokenizer, files)

    def change(at: int, request: Request) -> Request:
        if wanted != "workspace":
            return replace(request, recall=wanted == "file")
        own = "" if options.folder else places[at].group
        return neighbours.beside(request, own, places[at].path)

    with tqdm(total=len(places), desc="lines", disable=None) as bar:
        score = line_score(
            engine,
            [place.place for place in places],
            groups,
            grouping,
            lambda done: bar.update(),
            change,
        )
    kinds = [place.kind for place in places]
    figures = []
    for kind in (None, *KINDS):
        part = score.subset([at for at, own in enumerate(kinds) if kind in (None, own)])
        name = f"{kind.replace('_', ' ')}: " if kind else ""
        if part.items:
            figures += [
                replace(figure, name=name + figure.name) for figure in (part.exact, part.similarity)
            ]
    figures += [score.stops_right, score.parseable]
    wrong = score.mistakes()
    novel = Counter(item.mistake for item in score.items if item.novel and not item.exact)
    notes.append(
        "what is wrong, and how often the line takes a word that stands nowhere else in its file: "
        + ", ".join(f"{kind} {count} ({novel[kind]})" for kind, count in wrong.most_common())
    )
    median, late = _latency(score)
    notes.append(
        f"latency at a place not seen before, on this machine as it was: median {median:.0f} ms, "
        f"95th percentile {late:.0f} ms"
    )
    details = {
        "latency_ms": {"median": median, "p95": late},
        "mistakes": dict(wrong),
        "mistakes_with_a_novel_word": dict(novel),
        "items": [
            {"kind": kind, **asdict(item), "exact": item.exact, "mistake": item.mistake}
            for kind, item in zip(kinds, score.items, strict=True)
        ],
    }
    return Report(
        "lines",
        named.identity,
        {**where, "recall": wanted, "places": len(places)},
        figures,
        notes,
        details,
    )


def _files(options: argparse.Namespace, places: Sequence[DrawnPlace]) -> dict[str, dict[str, str]]:
    """Texts by path by repository; a folder's is called ""."""
    if options.folder:
        return {"": dict(python_files(options.folder))}
    found: dict[str, dict[str, str]] = {place.group: {} for place in places}
    for repository, _, path, text in documents(options.corpus):
        if repository in found:
            found[repository][path] = text
    return found


def _latency(score: LineScore) -> tuple[float, float]:
    """Median and 95th percentile, in milliseconds."""
    median, late = np.percentile([1000 * item.seconds for item in score.items], [50, 95])
    return float(median), float(late)
