"""What each part of what the engine knows gains, and what it costs.

At held-out places the engine is asked for the rest of the line several times. First with the prompt
of the file alone. Then without a part of it: the lines below the cursor, the file's path, or the
token that asks for good code; and with the imports and signatures of the file's own beginning,
where that is too far above to be read. Then with text of other files in it: definitions that the
file imports from its repository, passages of other files that are like the lines above the cursor,
or both; as the other open files count some of the same folder. Then with n-grams beside the model:
of the file itself, and of all other files of the repository too. And with everything. Told are,
each as the paired difference to the file alone: exact lines, edit similarity, and bits per byte of
the true rest of the line, which also show what greedy decoding does not; and the cost, in tokens of
the prompt and in milliseconds.
"""

from __future__ import annotations

import argparse
import math
import posixpath
import random
import re
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from rapidfuzz.distance import Levenshtein

from parrotlet_server.bundle import BundleError
from parrotlet_server.engine import Completion, Engine, Related, Request, never
from parrotlet_server.engine.context import PARTS, Part, Passage, Sources, choose
from parrotlet_server.engine.context.choice import CHARACTERS_PER_TOKEN
from parrotlet_server.engine.context.definitions import definitions
from parrotlet_server.engine.decode import Decoder
from parrotlet_server.engine.engine import suggestion_of
from parrotlet_server.engine.place import Place as Cursor
from parrotlet_server.engine.prompt import Prompt, build_prompt
from parrotlet_server.engine.stopping import stopping_at
from parrotlet_server.engine.vocabulary import Vocabulary
from parrotlet_tokenizer.specials import SPECIAL_TOKENS

from ..evaluate.cursors import CursorError, documents, texts
from ..evaluate.figures import Figure, difference
from ..evaluate.neighbours import Neighbours


@dataclass(frozen=True)
class Variant:
    """What is known beside the lines around the cursor.

    Attributes:
        parts: of other files' text, in the prompt.
        recall: whether the file's own n-grams have a say.
        workspace: whether those of the repository's other files have.
        without: what is left out of the file's own prompt.
        top: whether imports and signatures are told that stand above what fits.
    """

    parts: tuple[Part, ...] = ()
    recall: bool = False
    workspace: bool = False
    without: Literal["", "suffix", "path", "quality"] = ""
    top: bool = False


VARIANTS: Mapping[str, Variant] = {
    "none": Variant(),
    "without suffix": Variant(without="suffix"),
    "without path": Variant(without="path"),
    "without quality": Variant(without="quality"),
    "own top": Variant(top=True),
    "imports": Variant(("imports",)),
    "similar": Variant(("similar",)),
    "both": Variant(PARTS),
    "recall": Variant(recall=True),
    "workspace": Variant(recall=True, workspace=True),
    "workspace, imports": Variant(("imports",), recall=True, workspace=True),
    "workspace, similar": Variant(("similar",), recall=True, workspace=True),
    "all": Variant(PARTS, recall=True, workspace=True),
}
ROOTS = ("", "src", "lib")
_IMPORT = re.compile(r"import |from [\w.]+ import ")


@dataclass(frozen=True)
class Place:
    """A place of the hold-out with its repository.

    Attributes:
        repository: ``owner/name``.
        path: of the file in it.
        text: of the file.
        offset: of the cursor, in characters.
        files: text of each file of the repository, by path.
    """

    repository: str
    path: str
    text: str
    offset: int
    files: Mapping[str, str]

    @property
    def request(self) -> Request:
        """The question for the rest of the line."""
        return Request(
            self.text[: self.offset],
            self.text[self._end :],
            path=self.path,
            document=self.path,
            multiline="never",
        )

    @property
    def wanted(self) -> str:
        """The rest of the line."""
        return self.text[self.offset : self._end].rstrip()

    @property
    def _end(self) -> int:
        end = self.text.find("\n", self.offset)
        return len(self.text) if end < 0 else end

    def sources(self, most: int) -> Sources:
        """The repository, of which `most` files of the same folder count as open."""
        folder = posixpath.dirname(self.path)
        others = [one for one in self.files if posixpath.dirname(one) == folder]
        others = sorted(one for one in others if one != self.path)
        random.Random(self.path).shuffle(others)
        passages = [Passage(one, self.files[one]) for one in others[:most]]
        return Sources(self.files.get, ROOTS, passages)


@dataclass(frozen=True)
class Answer:
    """What came of one variant at one place.

    Attributes:
        exact: whether the suggestion is the rest of the line.
        similarity: 1 - Levenshtein distance / length of the longer one.
        bits: of the true rest of the line and its end.
        size: bytes of these.
        prompt_tokens: length of the prompt.
        seconds: that the engine took, from an empty state.
        choosing: seconds that the choice of the text took.
        shown: whether there was any text of other files.
    """

    exact: bool
    similarity: float
    bits: float
    size: int
    prompt_tokens: int
    seconds: float
    choosing: float
    shown: bool


@dataclass
class Table:
    """Answers of each variant, at the same places in the same order.

    Attributes:
        groups: the repository of each place.
        answers: by variant.
    """

    groups: list[str] = field(default_factory=list)
    answers: dict[str, list[Answer]] = field(
        default_factory=lambda: {name: [] for name in VARIANTS}
    )

    def gains(self, variant: str) -> tuple[Figure, Figure, Figure]:
        """Exact lines, edit similarity, bits of a byte: `variant` less the file alone."""
        before, after = self.answers["none"], self.answers[variant]
        return (
            self._difference("exact match", *([one.exact for one in s] for s in (before, after))),
            self._difference(
                "edit similarity", *([one.similarity for one in s] for s in (before, after))
            ),
            self._difference(
                "bits per byte", *([one.bits / one.size for one in s] for s in (before, after))
            ),
        )

    def _difference(self, name: str, before: Sequence[float], after: Sequence[float]) -> Figure:
        return difference(name, before, after, self.groups, "lines", "repositories")


class Bench:
    """A model, asked with and without text of other files."""

    def __init__(self, engine: Engine, tokens: int, most: int) -> None:
        """Asks `engine`; `tokens` is the prompt's budget, `most` the open files."""
        self._loaded = engine
        self._quality = self._loaded.bundle.manifest.best_quality if self._loaded.bundle else None
        self._decoder = Decoder(self._loaded.backend, Vocabulary(self._loaded.tokenizer))
        self._tokens = tokens
        self._most = most
        self._files: dict[str, Mapping[str, str]] = {}
        self._neighbours = Neighbours(engine.tokenizer, self._files)

    def ask(self, place: Place, variant: Variant) -> Answer:
        """The answer at `place` with what `variant` names."""
        request = replace(place.request, recall=variant.recall)
        if variant.workspace:
            self._files[place.repository] = place.files
            request = self._neighbours.beside(request, place.repository, place.path)
        parts = variant.parts
        start = time.perf_counter()
        if parts:
            sources = place.sources(self._most)
            related = choose(
                request.prefix, request.suffix, place.path, sources, self._tokens, parts
            )
            request = replace(request, related=related, related_tokens=self._tokens)
        if variant.top:
            top = Related(place.path, self._top(request))
            request = replace(request, related=(top,) * bool(top.text), related_tokens=self._tokens)
        choosing = time.perf_counter() - start
        completion, bits, size = self._complete(request, place.wanted + "\n", variant.without)
        suggested = completion.suggestion.text if completion.suggestion else ""
        return Answer(
            suggested == place.wanted,
            Levenshtein.normalized_similarity(place.wanted, suggested),
            bits,
            size,
            completion.prompt_tokens,
            completion.seconds,
            choosing,
            bool(request.related),
        )

    def _prompt(self, request: Request, without: str = "") -> Prompt:
        if without == "suffix":
            request = replace(request, suffix="")
        elif without == "path":
            request = replace(request, path=None)
        quality = None if without == "quality" else self._quality
        length = self._loaded.backend.context_length
        return build_prompt(self._loaded.tokenizer, request, length, quality)

    def _top(self, request: Request) -> str:
        """Imports and signatures of the beginning of the file that the prompt has no room for."""
        tokenizer, prompt = self._loaded.tokenizer, self._prompt(request)
        last = max(
            (at for at, one in enumerate(prompt.ids) if one < len(SPECIAL_TOKENS)), default=0
        )
        shown = len(tokenizer.decode(prompt.ids[last + 1 :])) + len(
            prompt.rest.decode(errors="replace")
        )
        hidden = request.prefix[: max(0, len(request.prefix) - shown)]
        lines = [f"{line}\n" for line in hidden.split("\n") if _IMPORT.match(line)]
        left = self._tokens * CHARACTERS_PER_TOKEN
        told: list[str] = []
        # what is nearest to the cursor counts most; imports stand first all the same
        for text in [*lines, *reversed(definitions(hidden).values())]:
            if len(text) <= left:
                told.append(text)
                left -= len(text)
        known = set(lines)
        imports = [text for text in told if text in known]
        return "".join([*imports, *reversed(told[len(imports) :])])

    def _complete(
        self, request: Request, wanted: str, without: str
    ) -> tuple[Completion, float, int]:
        """The completion from an empty state, bits of `wanted`, and bytes that they are of.

        The piece of the text before the cursor that the engine takes back is among both.
        """
        backend, tokenizer = self._loaded.backend, self._loaded.tokenizer
        prompt = self._prompt(request, without)
        state, where = backend.new_state(), Cursor.of(request)
        start = time.perf_counter()
        stopping = stopping_at(where, request.multiline)
        mixture = self._loaded.mixture(request, prompt)
        decoded = self._decoder.run(prompt, state, 0, stopping, never, mixture)
        names = request.ngrams.names if request.ngrams else ()
        suggestion, reason = suggestion_of(where, decoded, names)
        seconds = time.perf_counter() - start
        text = prompt.rest.decode("utf-8", "replace") + wanted
        target = tokenizer.encode(text)[: backend.context_length - len(prompt.ids)]
        # the state still holds the prompt
        tokens = [prompt.ids[-1], *target[:-1]]
        rows = backend.evaluate_rows(state, len(prompt.ids) - 1, tokens, len(target))
        if mixture is not None:
            for at, row in enumerate(rows):
                mixture.mix(row, [*prompt.ids, *target[:at]])
        logits = rows.astype(np.float64)
        top = logits.max(axis=1, keepdims=True)
        totals = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
        chosen = logits[np.arange(len(target)), target]
        size = len(b"".join(tokenizer.token_bytes[token] for token in target))
        done = Completion(suggestion, reason, prompt_tokens=len(prompt.ids), seconds=seconds)
        return done, float((totals - chosen).sum()) / math.log(2), size


def places(holdout: Path, number: int, seed: int, every: bool) -> list[Place]:
    """Up to `number` places, in an order fixed by the seed.

    Unless `every`, only of files that import something that can be found in their repository:
    elsewhere no part but the passages can say anything.

    Raises:
        CursorError: if there is no hold-out.
    """
    joined = list(texts(holdout).places)
    random.Random(seed).shuffle(joined)
    files: dict[str, dict[str, str]] = {}
    for repository, _, path, text in documents(holdout):
        files.setdefault(repository, {})[path] = text
    found: list[Place] = []
    for cursor, text in joined:
        if len(found) == number:
            break
        own = files[cursor.repository]
        place = Place(cursor.repository, cursor.path, text, cursor.offset, own)
        before, after = text[: cursor.offset], text[cursor.offset :]
        if every or choose(before, after, cursor.path, Sources(own.get, ROOTS), 10_000):
            found.append(place)
    if not found:
        raise CursorError(f"{holdout} holds none of the cursors")
    return found


def report(table: Table) -> Iterator[str]:
    """The gains, then the costs."""
    plain = table.answers["none"]
    number = len(plain)
    yield (
        f"{number} places of {len(set(table.groups))} repositories; the file alone: "
        f"{100 * statistics.fmean(one.exact for one in plain):.1f} % exact, similarity "
        f"{statistics.fmean(one.similarity for one in plain):.3f}, "
        f"{statistics.fmean(one.bits / one.size for one in plain):.3f} bits per byte"
    )
    for name in VARIANTS:
        if name == "none":
            continue
        exact, similarity, bits = table.gains(name)
        yield (
            f"{name:<18} exact {_signed(exact, 100, 1)} points, similarity "
            f"{_signed(similarity, 1, 3)}, bits per byte {_signed(bits, 1, 3)}"
        )
    for name, answers in table.answers.items():
        yield (
            f"{name:<18} shown at {sum(one.shown for one in answers)} places; median prompt "
            f"{statistics.median(one.prompt_tokens for one in answers):.0f} tokens, "
            f"{1000 * statistics.median(one.seconds for one in answers):.0f} ms from an empty "
            f"state, {1000 * statistics.median(one.choosing for one in answers):.1f} ms to choose"
        )


def _signed(figure: Figure, scale: float, digits: int) -> str:
    value, low, high = (f"{scale * x:+.{digits}f}" for x in (figure.value, figure.low, figure.high))
    return f"{value} [{low}, {high}]"


def run(arguments: argparse.Namespace) -> Iterator[str]:
    """The report, line by line.

    Raises:
        BundleError: if there is no such model.
        CursorError: if there is no hold-out.
    """
    asked = places(arguments.holdout, arguments.cursors, arguments.seed, arguments.all)
    engine = Engine.load(arguments.model, arguments.threads)
    bench = Bench(engine, arguments.tokens, arguments.open)
    table = Table()
    asked.sort(key=lambda place: place.repository)  # the n-grams of each are counted once
    for number, place in enumerate(asked):
        table.groups.append(place.repository)
        names = list(VARIANTS)
        turn = number % len(names)  # none is always the one that finds the caches cold
        for name in names[turn:] + names[:turn]:
            table.answers[name].append(bench.ask(place, VARIANTS[name]))
        if arguments.progress and (number + 1) % 25 == 0:
            sys.stderr.write("\n".join(report(table)) + "\n")
            sys.stderr.flush()
    yield from report(table)


def main(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet bench context`."""
    try:
        if arguments.cursors < 1:
            raise CursorError("--cursors is 1 or more")
        if arguments.tokens < 1:
            raise CursorError("--tokens is 1 or more")
        for line in run(arguments):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    except (CursorError, BundleError) as error:
        sys.stderr.write(f"parrotlet: {error}\n")
        return 1
    return 0
