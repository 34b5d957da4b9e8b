"""What happens between the editor's messages and the engine."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from lsprotocol import types

from parrotlet_server.engine import (
    Completion,
    Engine,
    Found,
    Request,
    Suggestion,
    SuggestionCache,
    next_request,
)
from parrotlet_server.engine.completer import EndpointError, open_completer

from .client import Client
from .context import CrossFile
from .documents import Document, Documents, Place, below, path_of, plain, relative_path
from .exclusion import holds_secrets, is_excluded
from .loading import Load, ModelLoader
from .notebooks import Notebooks
from .pacing import Pause, Rhythm
from .settings import SECTION, Settings, inner
from .usage import Usage
from .worker import Worker, threads_run
from .workspace import LATE, SOON, Snapshot, WorkspaceNgrams

logger = logging.getLogger(__name__)

_BUSY_AFTER = 0.2
"""Seconds of work after which the editor is told: a status for each key would be a flood."""

_CANDIDATES = 3
"""Suggestions for one who asks, to choose from."""

_IDLE = 0.3
"""Seconds without a request after which the next suggestion is made ahead."""


@dataclass(frozen=True)
class Answer:
    """What is to be shown.

    Attributes:
        place: as it was when the request came.
        suggestions: for it, at least one; more only where the user asked.
        number: of them, the same as long as the user types what the first one says.
    """

    place: Place
    suggestions: tuple[Suggestion, ...]
    number: int

    def number_of(self, which: int) -> int:
        """The number of one suggestion alone."""
        return _CANDIDATES * self.number + which


@dataclass
class Counters:
    """How many requests there were, and what became of them.

    Attributes:
        requests: that the cache had no answer for.
        cached: that it had one for, be it the rest of a suggestion that is being typed.
        foreseen: of these, whose suggestion was made before it was asked for.
        superseded: that a newer one replaced.
        cancelled: that the editor took back.
        runs: of the engine for requests, which may also have been stopped.
        prefetches: runs of the engine ahead of requests, while nothing else was asked.
        suggestions: that had a suggestion for an answer.
        unsure: whose suggestion's score was below the user's minimum.
        accepted: that the user took, as far as the editor tells and statistics are on.
    """

    requests: int = 0
    cached: int = 0
    foreseen: int = 0
    superseded: int = 0
    cancelled: int = 0
    runs: int = 0
    prefetches: int = 0
    suggestions: int = 0
    unsure: int = 0
    accepted: int = 0


@dataclass
class Session:
    """Settings, model and work of one connection.

    Attributes:
        client: the editor.
        documents: that are open.
        folders: gives the URIs of the workspace's folders.
        default_model: that the server was started with; None is the bundled one.
        load: gives the engine of a model.
        is_shared: whether other sessions have it too.
    """

    client: Client
    documents: Documents
    folders: Callable[[], list[str]]
    default_model: str | None = None
    load: Load = open_completer
    is_shared: bool = False
    settings: Settings = field(default_factory=Settings)
    counters: Counters = field(default_factory=Counters)

    def __post_init__(self) -> None:
        self.loader = ModelLoader(self.client, self.load)
        self.notebooks = Notebooks(self.documents)
        self._context = CrossFile(self.documents, self.notebooks, self.folders)
        self._ngrams = WorkspaceNgrams(self.documents, self.folders)
        self._worker: Worker[Request, Completion | None] = Worker(self._work, self._keep)
        self._cache = SuggestionCache()
        self._counted: Snapshot | None = None  # whose n-grams the cache's completions know
        self._shown: int | None = None  # number of the newest answer
        self._foreseen: set[int] = set()
        self._era = 0  # of settings and model; what an older one made counts no more
        self._pause = Pause()
        self._latest: Completion | None = None
        self._ahead: Request | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.rhythm = Rhythm()
        self.usage = Usage()
        self._options: Any = None
        self._running = 0
        self._fails = False  # the model, since it last answered
        self._configuring = asyncio.Lock()

    def begin(self, options: Any) -> None:
        """Takes the ``initializationOptions``."""
        self._options = options
        self._take(options)

    async def configure(self, pushed: Any = None) -> None:
        """Reads the settings and loads the model that they name, if it is not there yet.

        Args:
            pushed: settings that came with ``workspace/didChangeConfiguration``; they count only
                where the editor cannot be asked.
        """
        async with self._configuring:
            await self._configure(pushed)

    async def _configure(self, pushed: Any) -> None:
        if self.client.gives_settings:
            answered, options = await self.client.settings()
            if answered:
                # what the editor leaves open is as it was at the start
                self._take(_over(self._options, options))
        elif pushed is not None:
            self._take(_over(self._options, pushed))
        options = self.settings.backend_options(self.default_model)
        in_use = self.loader.loading or self.loader.engine is not None
        if in_use and options == self.loader.options:
            return
        self._forget()
        self._fails = False
        self.rhythm.forget_model()
        self.loader.start(options, self._remedy())

    async def complete(
        self,
        uri: str,
        start: types.Position,
        end: types.Position,
        inserted: str = "",
        explicit: bool = False,
    ) -> Answer | None:
        """What to write between `start` and `end`, after `inserted`.

        Never fails: where nothing can be suggested because of an error, it is in the log.

        Args:
            uri: of the document.
            start: the cursor, or the start of what `inserted` will replace.
            end: the cursor, or the end of it, on the same line.
            inserted: text that the user is about to accept from the popup.
            explicit: whether the user asked, rather than the editor by itself.

        Returns:
            None where nothing is to be shown.

        Raises:
            asyncio.CancelledError: if the editor took the request back.
        """
        document = self.documents.get(uri)
        if document is None or self.loader.engine is None:
            return None
        if not self._allows(document):
            return None
        place = document.place(start, end)
        around = self.notebooks.around(uri, place)
        if around is None:
            return None
        request = Request(
            prefix=around[0] + plain(inserted),
            suffix=around[1],
            path=relative_path(self.notebooks.file(uri), self.folders()),
            document=uri,
            multiline=self.settings.multiline,
            comments=self.settings.comments,
            strings=self.settings.strings,
            candidates=_CANDIDATES if explicit else 1,
            recall=self.settings.recall != "off",
        )
        self._look(LATE)
        self._stay_idle()
        started = time.monotonic()
        counted = self._ngrams.snapshot is not None and self.settings.recalls
        request = await self._context.with_related(request, self.settings.beside(counted))
        request = self._with_ngrams(request)  # another model may be there by now
        known = self._recall(request)
        if known is None and self.settings.debounce == "manual" and not explicit:
            return None  # only what the user has asked for is shown on as it is typed
        found = known or await self._ask(request, explicit)
        if found is None or found.completion.suggestion is None:
            return None
        suggestion = found.completion.suggestion
        least = self.settings.minimum_score
        if least != "all" and suggestion.score < least and not explicit:
            self.counters.unsure += 1
            return None
        self.counters.suggestions += 1
        self._shown = found.number
        seconds = time.monotonic() - started
        # what was made for one who asked may answer one who types
        suggestions = (suggestion, *found.completion.others)[: request.candidates]
        texts = [one.text for one in suggestions]
        self.usage.shown(found.number, texts, seconds, cached=known is not None)
        return Answer(place, suggestions, found.number)

    def accepted(self, number: object) -> None:
        """The user took the suggestion of that `Answer.number_of`."""
        if isinstance(number, int):
            self.counters.accepted += self.usage.accepted(*divmod(number, _CANDIDATES))

    def opened(self, uri: str) -> None:
        """Takes note of a document that came."""
        self._context.warm(uri, self.settings.beside(self.settings.recalls))
        self._look(SOON)

    def saved(self) -> None:
        """Takes note that a document was saved."""
        self._look(SOON)

    def typed(self) -> None:
        """Takes note of a key that changed a document."""
        self.rhythm.key(asyncio.get_running_loop().time())
        self._stay_idle()

    def _look(self, after: float) -> None:
        """Looks at the workspace's files, unless that was done less than `after` seconds ago."""
        engine = self.loader.engine
        if self.settings.enable and self.settings.recalls and isinstance(engine, Engine):
            self._ngrams.look(engine.tokenizer, self.settings.exclude, after)

    def _with_ngrams(self, request: Request) -> Request:
        snapshot = self._ngrams.snapshot
        if snapshot is not self._counted:
            self._counted = snapshot
            # the files have something else to say; what one may just be typing stays as it is
            self._cache.clear(keep=self._shown)
        if snapshot is None or not self.settings.recalls:
            return replace(request, ngrams=None)
        file = path_of(self.notebooks.file(request.document))
        return replace(request, ngrams=snapshot.ngrams, file_number=self._ngrams.number(file))

    def _allows(self, document: Document) -> bool:
        """Whether the settings allow suggestions in `document`."""
        if not self.settings.enable or not document.is_python:
            return False
        file = self.notebooks.file(document.uri)
        if holds_secrets(document.path) or holds_secrets(path_of(file)):
            return False
        if relative_path(file, self.folders()) is None:
            return True  # it is no file yet
        path = path_of(file)
        inside = below(path, map(path_of, filter(None, self.folders())))
        return not is_excluded(path if inside is None else inside, self.settings.exclude)

    def statistics(self) -> dict[str, Any]:
        """What ``parrotlet/statistics`` answers: the model's state, counters, the last run."""
        last = self._latest
        return {
            "state": self.client.state,
            "model": self.loader.model or "",
            "loadMilliseconds": round(1000 * self.loader.seconds),
            **asdict(self.counters),
            "workspaceFiles": len(self._ngrams.snapshot.numbers) if self._ngrams.snapshot else 0,
            "workspaceTokens": self._ngrams.snapshot.tokens if self._ngrams.snapshot else 0,
            "last": last
            and {
                "reason": last.reason,
                "promptTokens": last.prompt_tokens,
                "evaluatedTokens": last.evaluated_tokens,
                "generatedTokens": last.generated_tokens,
                "milliseconds": round(1000 * last.seconds, 1),
            },
        }

    def abandon(self) -> None:
        """Drops what is under way and all that is kept, since nobody is there any more."""
        self._forget()
        self.loader.drop()
        for task in self._tasks:
            task.cancel()

    def close(self, timeout: float) -> bool:
        """Stops all work; whether it stopped within `timeout` seconds."""
        self.usage.flush()
        self._ngrams.forget()
        return self._worker.close(timeout) and not threads_run()

    def _recall(self, request: Request) -> Found | None:
        """What the cache knows; nobody waits for it."""
        found = self._cache.get(request)
        if found is None:
            return None
        self.counters.cached += 1
        if found.number in self._foreseen:
            self._foreseen.remove(found.number)
            self.counters.foreseen += 1
        # whatever an older request waits for, the user has typed on, unless it is for the same
        self._pause.end(keep=request)
        self._worker.supersede(request, self._ahead)
        self._look_ahead(request, found.completion)
        return found

    async def _ask(self, request: Request, explicit: bool) -> Found | None:
        """What the model says, after a wait for the next key."""
        self.counters.requests += 1
        try:
            wait = 0.0 if explicit or request == self._ahead else self._wait
            self._worker.supersede(request)
            if not await self._pause.wait(request, wait):
                self.counters.superseded += 1
                return None
            # the popup and the ghost text ask for the same at the same key
            return self._cache.get(request) or await self._run(request)
        except asyncio.CancelledError:
            self.counters.cancelled += 1
            raise

    @property
    def _wait(self) -> float:
        debounce = self.settings.debounce
        return self.rhythm.wait if isinstance(debounce, str) else debounce / 1000

    async def _run(self, request: Request) -> Found | None:
        self._running += 1
        busy = asyncio.get_running_loop().call_later(
            _BUSY_AFTER, self.client.status, "busy", "Thinking…"
        )
        era = self._era
        try:
            completion = await self._worker.run(request)
        except EndpointError as error:
            self._failing(era, str(error), self._remedy())
            return None
        except Exception as error:
            logger.debug("the engine failed", exc_info=True)
            reason = f"the model fails: {type(error).__name__}: {error}"
            self._failing(era, reason, "Try parrotlet doctor, or restart the language server.")
            return None
        finally:
            self._running -= 1
            busy.cancel()
            if not self._running and self.client.state == "busy":
                self.client.status("ready", self.loader.ready)
        if completion is None or era != self._era:
            self.counters.superseded += 1
            return None
        if self._fails:  # it answers again
            self._fails = False
            self.client.status("ready", self.loader.ready)
        if completion.reason == "cancelled":
            return None
        self._look_ahead(request, completion)
        # what was kept may have been dropped again by now
        known = self._cache.get(request)
        return known or Found(self._cache.put(request, completion), completion)

    def _keep(self, request: Request, completion: Completion | None) -> None:
        """Keeps what the worker made, and notes how long it took."""
        if completion is None or completion.reason == "cancelled":
            return
        if self._cache.get(request) is not None:
            return
        if request is not self._ahead:
            self._cache.put(request, completion)
            self.rhythm.answered(completion.seconds)
        elif request.ngrams is (self._counted.ngrams if self._counted else None):
            number = self._cache.put(request, completion)
            self._foreseen = {number, *sorted(self._foreseen)[-8:]}

    def _look_ahead(self, request: Request, completion: Completion) -> None:
        """Makes the suggestion after this one as soon as nothing else is to be done."""
        self._stay_idle()
        if self.settings.debounce == "manual" or not self.settings.prefetch:
            return
        if self.loader.is_remote:
            return  # its owner has others to serve
        self._idle = asyncio.get_running_loop().call_later(
            _IDLE, self._start_ahead, request, completion
        )

    def _stay_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _start_ahead(self, request: Request, completion: Completion) -> None:
        task = asyncio.create_task(self._prefetch(request, completion))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _prefetch(self, request: Request, completion: Completion) -> None:
        for _ in range(2):  # what follows the suggestion, and the line below if nothing does
            following = next_request(request, completion)
            if following is None or self._running:
                return
            known = self._cache.get(following)
            if known is not None:
                request, completion = following, known.completion
                continue
            self._ahead, era = following, self._era
            try:
                answer = await self._worker.run(following)
            except Exception as error:
                logger.debug("nothing made ahead: %s", type(error).__name__)
                return
            finally:
                if self._ahead is following:
                    self._ahead = None
            if answer is None or answer.reason == "cancelled" or era != self._era:
                return
            if answer.suggestion is not None:
                return
            request, completion = following, answer

    def _forget(self) -> None:
        """Drops all that was made with other settings or another model."""
        self._era += 1
        self._stay_idle()
        self._cache.clear()
        self._ngrams.forget()
        self._pause.end()
        self._worker.supersede()

    def _work(self, request: Request, cancelled: Callable[[], bool]) -> Completion | None:
        """Runs in the worker's thread."""
        engine = self.loader.engine
        if engine is None:
            return None
        ahead = request is self._ahead
        completion = engine.complete(request, cancelled)
        if ahead:
            self.counters.prefetches += 1
        else:
            self._latest = completion
            self.counters.runs += 1
        logger.debug(
            "%s: read %d of %d tokens, wrote %d, %.0f ms",
            completion.reason,
            completion.evaluated_tokens,
            completion.prompt_tokens,
            completion.generated_tokens,
            1000 * completion.seconds,
        )
        return completion

    def _take(self, options: Any) -> None:
        settings, wrong = Settings.parse(options)
        if self.is_shared and settings.backend != "onnx":
            # the key in its environment is for no address that a client names
            wrong.append(f"{SECTION}.backend: a server of several clients runs its models itself")
            settings = replace(settings, backend="onnx")
        if settings != self.settings:
            self._forget()
        self.settings = settings
        self.usage.enabled = settings.statistics
        for text in wrong:
            logger.warning("%s", text)
            self.client.show(types.MessageType.Warning, text)

    def _failing(self, era: int, reason: str, remedy: str) -> None:
        """Tells that the model, or the server of it, fails: once until it answers again."""
        if era != self._era:
            return  # another is in use by now
        line = " ".join(reason.split())
        logger.error("no suggestion: %s", line)
        self.client.status("error", line, remedy)
        text = f"Parrotlet: {line} {remedy}"
        self.client.show(types.MessageType.Error, text, again=not self._fails)
        self._fails = True

    def _remedy(self) -> str:
        if self.settings.backend == "openai":
            return "See to the server, or to the settings parrotlet.endpointUrl and its like."
        if self.settings.backend == "torch":
            return "Change the settings parrotlet.backend, parrotlet.device or parrotlet.model."
        if self.settings.model:
            return "Change the setting parrotlet.model; empty, it means the usual model."
        if self.default_model:
            return "Start the server with another --model, or without."
        return "Install Parrotlet again, or name a model in the setting parrotlet.model."


def _over(base: Any, options: Any) -> Any:
    """`options`, and of `base` what they leave open."""
    if not isinstance(base, Mapping) or not isinstance(options, Mapping | None):
        return options if options is not None else base
    base, options = inner(base), inner(options or {})
    return {**base, **{key: value for key, value in options.items() if value is not None}}
