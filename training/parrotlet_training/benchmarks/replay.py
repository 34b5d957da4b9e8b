"""Typing of held-out files through a real server: what a user is spared, and what it costs.

A passage of a file is typed anew, a character at a time, where the text above and below it already
stands, with the repository's other files as the workspace. After each character the server is
asked, as an editor asks, and a simulated user decides: a suggestion is read if its first characters
are what was going to be written, and taken if what is right of it is worth a key and the removal of
the rest.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from lsprotocol import types
from pygls.lsp.client import LanguageClient

from ..evaluate.cursors import LINE_START, CursorError, documents
from ..evaluate.errors import EvaluationError
from ..evaluate.figures import Figure, ratio_interval
from ..evaluate.places import DrawnPlace, folder_places, held_out_places

GLANCE = 3
"""First characters of a suggestion that a user compares with what he was going to write."""

LEAST_SPARED = 2
"""Keys that taking a suggestion must spare at least, or nobody takes it."""

_NOWHERE = "file:///replay"

LONGEST_FILE = 100_000
"""Characters; each file is sent whole."""

_PATIENCE = 60.0
"""Seconds for any answer."""

T = TypeVar("T")


class ReplayError(Exception):
    """The server cannot be used; the message says why."""


@dataclass(frozen=True)
class Passage:
    """Lines to type.

    Attributes:
        group: what it is counted with: a repository, or a file.
        path: of the file.
        above: text before the first line, which ends with a line's indentation.
        lines: the text to type, from a line's first character on, without the last line's end.
        below: text after it; begins with that line end, or is empty.
    """

    group: str
    path: str
    above: str
    lines: str
    below: str


@dataclass
class Tally:
    """What came of one passage.

    Attributes:
        group: of the passage.
        characters: that it has, without indentation, which editors write by themselves.
        rows: lines that it has.
        keys: that were pressed: characters typed, suggestions taken, characters deleted.
        kept: characters of suggestions that stayed.
        wasted: characters of suggestions that were deleted.
        shown: suggestions that came up; one that is typed along is the same one.
        right: of these, those whose first line was what was going to be written.
        misleading: of these, those whose first characters were not.
        taken: of these, those that were taken.
        requests: seconds of each request.
        model_requests: seconds of those for which the model ran.
        evaluated: tokens of the prompt that the model read, for each key.
    """

    group: str
    characters: int = 0
    rows: int = 0
    keys: int = 0
    kept: int = 0
    wasted: int = 0
    shown: int = 0
    right: int = 0
    misleading: int = 0
    taken: int = 0
    requests: list[float] = field(default_factory=list)
    model_requests: list[float] = field(default_factory=list)
    evaluated: list[int] = field(default_factory=list)

    @property
    def spared(self) -> int:
        """Keys that need not be pressed."""
        return self.characters - self.keys


def passages(places: Sequence[DrawnPlace], number: int, rows: int) -> list[Passage]:
    """Up to `number` passages of `rows` lines that begin at places at line starts, one a file."""
    found: dict[tuple[str, str], Passage] = {}
    for place in places:
        key = place.group, place.path
        if place.kind != LINE_START or key in found or len(place.text) > LONGEST_FILE:
            continue
        lines = place.text[place.offset :].split("\n")[:rows]
        while lines and not lines[-1].strip():
            lines.pop()
        typed = "\n".join(lines)
        end = place.offset + len(typed)
        found[key] = Passage(
            place.group, place.path, place.text[: place.offset], typed, place.text[end:]
        )
    chosen = list(found.values())
    if number >= len(chosen):
        return chosen
    return [chosen[at * len(chosen) // number] for at in range(number)]


def weight(text: str) -> int:
    """Characters of `text`, which goes on in a line, that somebody has to type."""
    first, *others = text.split("\n")
    return len(first) + sum(1 + len(line.lstrip(" \t")) for line in others)


def same_start(one: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def next_key(text: str) -> str:
    """What one key writes of `text`: a character, or a line's end with the next indentation."""
    if not text.startswith("\n"):
        return text[:1]
    rest = text[1:]
    return text[: 1 + len(rest) - len(rest.lstrip(" \t"))]


def is_worth_it(suggestion: str, wanted: str) -> int:
    """Characters of `suggestion` that are right if a user who will write `wanted` takes it, or 0.

    He looks at the first `GLANCE` characters, and counts one key for taking it and one for each
    character that has to go again.
    """
    right = same_start(suggestion, wanted)
    if right < min(GLANCE, len(suggestion)):
        return 0
    spared = weight(suggestion[:right]) - 1 - (len(suggestion) - right)
    return right if spared >= LEAST_SPARED else 0


class Editor:
    """A server process, the document that is written, and the others that are open in it."""

    def __init__(self, client: LanguageClient, root: Path | None, others: int = 0) -> None:
        """Talks to `client`, whose workspace is `root`, if it has one.

        So many `others` of the same folder are open beside each document, if there are as many.
        """
        self._client = client
        self._root = root
        self._others = others
        self._beside: list[str] = []
        self._number = 0
        self._version = 0
        self._uri = ""
        self._line = self._column = 0

    def open(self, path: str, above: str, below: str) -> None:
        """Opens a new document with the cursor between `above` and `below`."""
        self._number += 1
        self._version = 1
        if self._root is not None:
            self._uri = (self._root / path).as_uri()
        else:  # a folder of its own for each: none may know of another
            self._uri = f"{_NOWHERE}/{self._number}/{path}"
        self._line = above.count("\n")
        self._column = _units(above[above.rfind("\n") + 1 :])
        self._beside = [self._opened(*other) for other in self._chosen_others(path)]
        self._opened(self._uri, above + below)

    def _opened(self, uri: str, text: str) -> str:
        item = types.TextDocumentItem(uri, "python", 1, text)
        self._client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        return uri

    def _chosen_others(self, path: str) -> Iterator[tuple[str, str]]:
        """URIs and texts, the same ones each time."""
        if self._root is None or not self._others:
            return
        own = self._root / path
        files = sorted(one for one in own.parent.glob("*.py") if one != own and one.is_file())
        random.Random(path).shuffle(files)
        for file in files[: self._others]:
            yield file.as_uri(), file.read_text(encoding="utf-8", errors="replace")

    def close(self) -> None:
        """Closes the document, and the others."""
        for uri in (self._uri, *self._beside):
            document = types.TextDocumentIdentifier(uri)
            self._client.text_document_did_close(types.DidCloseTextDocumentParams(document))

    def write(self, text: str) -> None:
        """Writes `text` at the cursor, which goes behind it."""
        here = types.Position(self._line, self._column)
        change = types.TextDocumentContentChangePartial(types.Range(here, here), text)
        self._version += 1
        document = types.VersionedTextDocumentIdentifier(self._version, self._uri)
        self._client.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))
        newline = text.rfind("\n")
        self._line += text.count("\n")
        self._column = _units(text[newline + 1 :]) + (self._column if newline < 0 else 0)

    async def ask(self) -> str:
        """The ghost text at the cursor; "" if there is none."""
        here = types.Position(self._line, self._column)
        context = types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic)
        document = types.TextDocumentIdentifier(self._uri)
        answer = await _patiently(
            self._client.text_document_inline_completion_async(
                types.InlineCompletionParams(context, document, here)
            )
        )
        items = answer.items if isinstance(answer, types.InlineCompletionList) else answer or []
        texts = [item.insert_text for item in items if isinstance(item.insert_text, str)]
        return texts[0] if texts else ""

    async def settle(self) -> None:
        """Waits until the server knows its workspace."""
        self.open("parrotlet_replay.py", "import ", "")
        await self.ask()
        deadline = time.monotonic() + _PATIENCE
        while not (await self.statistics()).workspaceFiles:
            if time.monotonic() > deadline:
                raise ReplayError(f"the server did not read {self._root} within {_PATIENCE:.0f} s")
            await asyncio.sleep(0.05)
        self.close()

    async def statistics(self) -> Any:
        """What ``parrotlet/statistics`` answers."""
        return await _patiently(
            self._client.protocol.send_request_async("parrotlet/statistics", {})
        )


@asynccontextmanager
async def editor(
    model: str | None, minimum_score: float | None, root: Path | None, others: int = 0
) -> AsyncIterator[Editor]:
    """A new server with that model in the workspace `root`, if any, once it is ready.

    So many `others` are open beside each document.

    Raises:
        ReplayError: if it does not get ready.
    """
    client = LanguageClient("parrotlet-replay", "1")
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @client.feature("parrotlet/status")  # type: ignore[untyped-decorator]
    def status(params: Any) -> None:
        if params.state in ("ready", "error") and not ready.done():
            ready.set_result("" if params.state == "ready" else params.message)

    words = ["-P", "-m", "parrotlet_server", "serve", "--log-level", "error"]
    words += ["--model", model] if model else []
    with tempfile.TemporaryDirectory(prefix="parrotlet-replay-") as folder:
        env = {**os.environ, "PARROTLET_DATA": folder}
        await client.start_io(sys.executable, *words, env=env)
        try:
            shown = "all" if minimum_score is None else minimum_score
            options = {"debounce": 0, "minimumScore": shown, "statistics": False}
            await _patiently(
                client.initialize_async(
                    types.InitializeParams(
                        capabilities=types.ClientCapabilities(),
                        root_uri=_NOWHERE if root is None else root.as_uri(),
                        initialization_options=options,
                    )
                )
            )
            client.initialized(types.InitializedParams())
            trouble = await _patiently(ready)
            if trouble:
                raise ReplayError(trouble)
            session = Editor(client, root, others)
            if root is not None:
                await session.settle()
            yield session
            await _patiently(client.shutdown_async(None))
            client.exit(None)
        except RuntimeError as error:
            raise ReplayError(await _last_words(client) or str(error)) from error
        finally:
            process = client._server
            if process is not None and process.returncode is None:
                try:
                    await asyncio.wait_for(process.wait(), 5)
                except TimeoutError:
                    process.kill()
            await client.stop()  # type: ignore[no-untyped-call]


async def _last_words(client: LanguageClient) -> str:
    """What a server that ended by itself said on standard error."""
    process = client._server
    if process is None or process.returncode is None or process.stderr is None:
        return ""
    lines = (await process.stderr.read()).decode("utf-8", "replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return said[-1].removeprefix("parrotlet: ") if said else ""


async def replay(editor: Editor, passage: Passage) -> Tally:
    """Types `passage`."""
    tally = Tally(passage.group, weight(passage.lines), passage.lines.count("\n") + 1)
    left = passage.lines
    expected = ""  # the suggestion on the screen, as far as it is not typed yet
    runs = (await editor.statistics()).runs
    editor.open(passage.path, passage.above, passage.below)
    while left:
        began = time.perf_counter()
        suggestion = await editor.ask()
        seconds = time.perf_counter() - began
        tally.requests.append(seconds)
        now = await editor.statistics()
        ran, runs = now.runs - runs, now.runs
        tally.evaluated.append(now.last.evaluatedTokens if ran else 0)
        if ran:
            tally.model_requests.append(seconds)
        if suggestion and suggestion != expected:
            _see(suggestion, left, tally)
        right = is_worth_it(suggestion, left)
        if right:
            tally.taken += 1
            tally.kept += weight(suggestion[:right])
            tally.wasted += len(suggestion) - right
            tally.keys += 1 + len(suggestion) - right
            written = suggestion[:right]
            expected = ""
        else:
            written = next_key(left)
            tally.keys += 1
            follows = suggestion.startswith(written)
            expected = suggestion[len(written) :] if follows else ""
        editor.write(written)
        left = left[len(written) :]
    editor.close()
    return tally


def _see(suggestion: str, wanted: str, tally: Tally) -> None:
    line = suggestion.split("\n", 1)[0]
    tally.shown += 1
    tally.right += wanted.split("\n", 1)[0] == line if line else wanted.startswith(suggestion)
    tally.misleading += same_start(suggestion, wanted) < min(GLANCE, len(suggestion))


async def _run(
    chosen: Mapping[Path | None, Sequence[Passage]],
    model: str | None,
    minimum_score: float | None,
    others: int,
) -> list[Tally]:
    """Types the passages of each workspace, with a server of its own for each."""
    tallies = []
    for root, own in chosen.items():
        async with editor(model, minimum_score, root, others) as session:
            for passage in own:
                tallies.append(await replay(session, passage))
                if sys.stderr.isatty():
                    sys.stderr.write(f"\r{len(tallies)} of {sum(map(len, chosen.values()))}")
    return tallies


@contextmanager
def workspaces(
    chosen: Sequence[Passage], holdout: Path
) -> Iterator[dict[Path | None, list[Passage]]]:
    """The passages by the folder that their repository's files have been written to."""
    found: dict[Path | None, list[Passage]] = {}
    with tempfile.TemporaryDirectory(prefix="parrotlet-workspaces-") as scratch:
        for passage in chosen:
            found.setdefault(Path(scratch, passage.group.replace("/", "--")), []).append(passage)
        for repository, _, path, text in documents(holdout):
            root = Path(scratch, repository.replace("/", "--"))
            if root in found:
                file = root / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8", newline="")
        yield found


async def _patiently(answer: Awaitable[T]) -> T:
    try:
        return await asyncio.wait_for(answer, _PATIENCE)
    except TimeoutError as error:
        raise ReplayError(f"the server did not answer within {_PATIENCE:.0f} s") from error


def _units(text: str) -> int:
    """UTF-16 code units, as positions count them."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


@dataclass(frozen=True)
class Policy:
    """What came of all passages with one display threshold.

    Attributes:
        minimum_score: the threshold; None shows all.
        tallies: one for each passage.
    """

    minimum_score: float | None
    tallies: tuple[Tally, ...]

    def share(self, name: str, part: str, whole: str) -> Figure:
        """Sum of one count by sum of another, with a bootstrap over the passages' groups."""
        sums: dict[str, list[float]] = {}
        for tally in self.tallies:
            pair = sums.setdefault(tally.group, [0.0, 0.0])
            pair[0] += getattr(tally, part)
            pair[1] += getattr(tally, whole)
        table = np.array([pair for pair in sums.values() if pair[1]], dtype=np.float64)
        parts, wholes = table.reshape(-1, 2).T
        value = float(parts.sum() / wholes.sum()) if len(table) else 0.0
        low, high = ratio_interval(parts, wholes) if len(table) > 1 else (value, value)
        return Figure(name, value, low, high, len(table), "groups", "bootstrap over groups")

    def figures(self) -> list[Figure]:
        """All shares."""
        return [
            self.share("keys spared", "spared", "characters"),
            self.share("characters out of suggestions", "kept", "characters"),
            self.share("shown whose first line is right", "right", "shown"),
            self.share("shown that mislead from the start", "misleading", "shown"),
            self.share("shown that are taken", "taken", "shown"),
        ]

    def total(self, name: str) -> int:
        """Sum of a count."""
        return sum(getattr(tally, name) for tally in self.tallies)

    def all(self, name: str) -> list[float]:
        """A list of all passages, joined."""
        return [value for tally in self.tallies for value in getattr(tally, name)]


def table(policies: Sequence[Policy]) -> list[str]:
    """The figures as Markdown, a column for each threshold."""
    rows: list[list[str]] = [["least score shown"], ["---"]]
    for policy in policies:
        rows[0].append("all" if policy.minimum_score is None else f"{policy.minimum_score:g}")
        rows[1].append("---:")
    columns = [_column(policy) for policy in policies]
    names = [name for name, _ in columns[0]]
    rows += [[name, *(column[at][1] for column in columns)] for at, name in enumerate(names)]
    return [f"| {' | '.join(row)} |" for row in rows]


def _column(policy: Policy) -> list[tuple[str, str]]:
    lines, keys = policy.total("rows"), policy.total("keys")
    seconds, model = policy.all("requests"), policy.all("model_requests")
    evaluated = policy.all("evaluated")
    return [
        *((figure.name, str(figure)) for figure in policy.figures()),
        ("shown per line", f"{policy.total('shown') / lines:.2f}"),
        ("misleading per line", f"{policy.total('misleading') / lines:.2f}"),
        ("characters, keys", f"{policy.total('characters'):,}, {keys:,}"),
        ("characters kept, wasted", f"{policy.total('kept'):,}, {policy.total('wasted'):,}"),
        ("milliseconds a request, median, p95", _quantiles(seconds)),
        ("milliseconds where the model ran, median, p95", _quantiles(model)),
        (
            "prompt tokens read a key, median, mean",
            f"{statistics.median(evaluated):.0f}, {statistics.fmean(evaluated):.1f}",
        ),
    ]


def _quantiles(seconds: Sequence[float]) -> str:
    if not seconds:
        return "–"
    return f"{1000 * np.percentile(seconds, 50):.1f}, {1000 * np.percentile(seconds, 95):.1f}"


def plain(policy: Policy) -> dict[str, Any]:
    """A policy's values for JSON."""
    counts = [
        {key: value for key, value in asdict(tally).items() if not isinstance(value, list)}
        for tally in policy.tallies
    ]
    return {
        "minimum_score": policy.minimum_score,
        "figures": {figure.name: asdict(figure) for figure in policy.figures()},
        "table": dict(_column(policy)),
        "passages": counts,
    }


def thresholds(text: str) -> list[float | None]:
    """Reads ``all,-1,-0.7``.

    Raises:
        ReplayError: if one is neither "all" nor a number of at most 0.
    """
    found: list[float | None] = []
    for word in text.split(","):
        try:
            value = None if word.strip() == "all" else float(word)
        except ValueError:
            value = 1.0
        if value is not None and not -100 <= value <= 0:
            raise ReplayError(f"--scores: {word!r} is neither all nor a number of at most 0")
        found.append(value)
    return found


def run(arguments: argparse.Namespace) -> list[Policy]:
    """Types all passages once for each threshold.

    Raises:
        CursorError, EvaluationError: if there is nothing to type.
        ReplayError: if the server cannot be used.
    """
    scores, others = thresholds(arguments.scores), arguments.open
    if others and (others < 0 or arguments.alone):
        raise ReplayError("--open is 0 or more, and 0 with --alone")
    if arguments.folder is not None:
        places = folder_places(arguments.folder, 20 * arguments.passages)
    else:
        places, _ = held_out_places(arguments.holdout, arguments.cursors, None)
    chosen = passages(places, arguments.passages, arguments.lines)
    if not chosen:
        raise EvaluationError("there are no lines to type")
    if arguments.alone:
        return _policies({None: chosen}, arguments.model, scores, 0)
    if arguments.folder is not None:
        return _policies({arguments.folder.resolve(): chosen}, arguments.model, scores, others)
    with workspaces(chosen, arguments.holdout) as spread:
        return _policies(spread, arguments.model, scores, others)


def _policies(
    chosen: Mapping[Path | None, Sequence[Passage]],
    model: str | None,
    scores: Sequence[float | None],
    others: int,
) -> list[Policy]:
    runs = (asyncio.run(_run(chosen, model, score, others)) for score in scores)
    return [Policy(score, tuple(tallies)) for score, tallies in zip(scores, runs, strict=True)]


def main(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet bench typing`."""
    logging.getLogger("pygls").setLevel(logging.CRITICAL)
    try:
        policies = run(arguments)
    except (CursorError, EvaluationError, ReplayError, OSError) as error:
        sys.stderr.write(f"parrotlet: {error}\n")
        return 1
    count = len(policies[0].tallies)
    groups = len({tally.group for tally in policies[0].tallies})
    lines = policies[0].total("rows")
    sys.stdout.write(f"{count} passages of {groups} groups, {lines:,} lines\n\n")
    sys.stdout.write("\n".join(table(policies)) + "\n")
    if arguments.json is not None:
        values = [plain(policy) for policy in policies]
        arguments.json.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    return 0
