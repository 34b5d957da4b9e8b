"""Typing, replayed: the requests that reach the model as lines of real files are typed.

Each session takes some lines out of a file and types them again, character by character. What the
suggestion cache answers, since the user types what was suggested, does not reach the model; the
rest does, with the prompts that the engine builds. The tokens that the engine answers with are
recorded, so that every candidate reads the same prompts and decodes as many tokens.
"""

from __future__ import annotations

import random
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from parrotlet_server.engine import Completion, Engine, Request, never
from parrotlet_server.engine.cache import SuggestionCache
from parrotlet_server.engine.decode import Decoder
from parrotlet_server.engine.engine import STATES, suggestion_of
from parrotlet_server.engine.place import Place, skipped
from parrotlet_server.engine.prompt import build_prompt
from parrotlet_server.engine.states import States
from parrotlet_server.engine.stopping import stopping_at
from parrotlet_server.engine.vocabulary import Vocabulary

from ...corpus.shards import shard_files
from ...evaluate.cursors import LINE_START, SPLIT, CursorError, code_lines, texts

CHARACTERS = 60
"""Typed in a session, at most; a session ends with a line."""

LINES = 3
BEGINS_AFTER = 0.3
"""Share of a file that stands above a session's lines, at least, where no cursors are given."""


@dataclass(frozen=True)
class Session:
    """Some lines of a file that are typed anew.

    Attributes:
        path: of the file.
        text: the whole of it.
        begin: where typing begins, in characters.
        end: where it ends; the text between is not there yet when it begins.
    """

    path: str
    text: str
    begin: int
    end: int

    def keystrokes(self, number: int) -> Iterator[Request]:
        """The place before the first character, and after each."""
        for at in range(self.begin, self.end + 1):
            yield Request(
                self.text[:at], self.text[self.end :], path=self.path, document=str(number)
            )


@dataclass(frozen=True)
class Recorded:
    """A request that reached the model.

    Attributes:
        session: its number.
        request: as an editor makes it.
        prompt: ids that the model reads.
        answer: ids that it wrote, at least one.
    """

    session: int
    request: Request
    prompt: list[int]
    answer: list[int]


def sessions(places: Iterable[tuple[str, str, int]]) -> Iterator[Session]:
    """Sessions that begin at the given paths, texts and offsets of lines' first characters."""
    for path, text, offset in places:
        end = offset
        for _ in range(LINES):
            following = text.find("\n", end + 1)
            if following < 0 or following - offset > CHARACTERS:
                break
            end = following
        if end > offset:
            yield Session(path, text, offset, end)


def held_out(corpus: Path, seed: int) -> list[tuple[str, str, int]]:
    """Starts of lines in the hold-out, in an order fixed by `seed`.

    Raises:
        CursorError: if it holds none, or cannot be read.
    """
    if not shard_files(corpus, SPLIT):
        raise CursorError(f"{corpus} is no hold-out")
    joined = texts(corpus)
    found = [(c.path, text, c.offset) for c, text in joined.places if c.kind == LINE_START]
    random.Random(seed).shuffle(found)
    if not found:
        raise CursorError(f"{corpus} holds none of the places")
    return found


def standard_library(seed: int, most: int = 200) -> list[tuple[str, str, int]]:
    """Starts of lines in the standard library, which the model may have been trained on."""
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    chosen = random.Random(seed)
    chosen.shuffle(files)
    found = []
    for file in files[:most]:
        text = file.read_text(encoding="utf-8", errors="replace")
        starts = [start for start, _ in code_lines(text) or []]
        starts = [start for start in starts if start > BEGINS_AFTER * len(text)]
        if starts:
            found.append((file.name, text, chosen.choice(starts)))
    return found


def record(engine: Engine, typed: Iterable[Session], most: int) -> list[Recorded]:
    """The first `most` requests of `typed` that reach the model, answered by it."""
    return list(islice(_requests(engine, typed), most))


def _requests(engine: Engine, typed: Iterable[Session]) -> Iterator[Recorded]:
    backend, quality = engine.backend, None
    if engine.bundle is not None:
        quality = engine.bundle.manifest.best_quality
    decoder = Decoder(backend, Vocabulary(engine.tokenizer))
    states = States(backend, STATES)
    for number, session in enumerate(typed):
        cache = SuggestionCache()
        for request in session.keystrokes(number):
            place = Place.of(request)
            if cache.get(request) or skipped(request, place):
                continue
            prompt = build_prompt(engine.tokenizer, request, backend.context_length, quality)
            state, keep = states.take(prompt.ids, request.document)
            stopping = stopping_at(place, request.multiline)
            decoded = decoder.run(prompt, state, keep, stopping, never)
            suggestion, reason = suggestion_of(place, decoded)
            cache.put(request, Completion(suggestion, reason))
            if decoded.tokens:
                yield Recorded(number, request, prompt.ids, decoded.tokens)


def by_session(requests: Sequence[Recorded]) -> list[list[Recorded]]:
    """The requests of each session, in order."""
    found: dict[int, list[Recorded]] = {}
    for one in requests:
        found.setdefault(one.session, []).append(one)
    return list(found.values())
