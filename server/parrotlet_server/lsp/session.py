"""What happens between the editor's messages and the engine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from lsprotocol import types

from parrotlet_server.engine import Completion, Request, Suggestion

from .client import Client
from .documents import Document, Documents, Place, plain, relative_path
from .exclusion import holds_secrets, is_excluded
from .loading import ModelLoader
from .settings import Settings, inner
from .worker import Worker, threads_run

logger = logging.getLogger(__name__)

_BUSY_AFTER = 0.2
"""Seconds of work after which the editor is told: a status for each key would be a flood."""


@dataclass
class Counters:
    """How many requests there were, and what became of them.

    Attributes:
        requests: that reached the model.
        shared: that got the result of an equal one before.
        superseded: that a newer one replaced.
        cancelled: that the editor took back.
        runs: of the engine, which may also have been stopped.
        suggestions: that had a suggestion for an answer.
        unsure: whose suggestion's score was below the user's minimum.
    """

    requests: int = 0
    shared: int = 0
    superseded: int = 0
    cancelled: int = 0
    runs: int = 0
    suggestions: int = 0
    unsure: int = 0


@dataclass
class Session:
    """Settings, model and work of one connection.

    Attributes:
        client: the editor.
        documents: that are open.
        folders: gives the URIs of the workspace's folders.
        default_model: that the server was started with; None is the bundled one.
    """

    client: Client
    documents: Documents
    folders: Callable[[], list[str]]
    default_model: str | None = None
    settings: Settings = field(default_factory=Settings)
    counters: Counters = field(default_factory=Counters)

    def __post_init__(self) -> None:
        self.loader = ModelLoader(self.client)
        self._worker: Worker[Request, Completion | None] = Worker(self._work)
        self._last: tuple[Request, Completion] | None = None
        self._latest: Completion | None = None
        self._options: Any = None
        self._running = 0
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
        model = self.settings.model or self.default_model
        in_use = self.loader.loading or self.loader.engine is not None
        if in_use and model == self.loader.model:
            return
        self._last = None
        self._worker.supersede()
        self.loader.start(model, self._remedy())

    async def complete(
        self,
        uri: str,
        start: types.Position,
        end: types.Position,
        inserted: str = "",
        explicit: bool = False,
    ) -> tuple[Place, Suggestion] | None:
        """What to write between `start` and `end`, after `inserted`.

        Never fails: where nothing can be suggested because of an error, it is in the log.

        Args:
            uri: of the document.
            start: the cursor, or the start of what `inserted` will replace.
            end: the cursor, or the end of it, on the same line.
            inserted: text that the user is about to accept from the popup.
            explicit: whether the user asked, rather than the editor by itself.

        Returns:
            The place as it was when the request came, and the text for it.

        Raises:
            asyncio.CancelledError: if the editor took the request back.
        """
        document = self.documents.get(uri)
        if document is None or self.loader.engine is None:
            return None
        if not self._allows(document) or (self.settings.debounce == "manual" and not explicit):
            return None
        place = document.place(start, end)
        request = Request(
            prefix=place.prefix + plain(inserted),
            suffix=place.suffix,
            path=relative_path(uri, self.folders()),
            document=uri,
            multiline=self.settings.multiline,
            comments=self.settings.comments,
            strings=self.settings.strings,
        )
        completion = await self._run(request)
        if completion is None or completion.suggestion is None:
            return None
        least = self.settings.minimum_score
        if least is not None and completion.suggestion.score < least and not explicit:
            self.counters.unsure += 1
            return None
        self.counters.suggestions += 1
        return place, completion.suggestion

    def _allows(self, document: Document) -> bool:
        """Whether the settings allow suggestions in `document`."""
        if not self.settings.enable or not document.is_python:
            return False
        if holds_secrets(document.path):
            return False
        path = relative_path(document.uri, self.folders())
        return path is None or not is_excluded(path, self.settings.exclude)

    def statistics(self) -> dict[str, Any]:
        """What ``parrotlet/statistics`` answers: the model's state, counters, the last run."""
        last = self._latest
        return {
            "state": self.client.state,
            "model": self.loader.model or "",
            "loadMilliseconds": round(1000 * self.loader.seconds),
            **asdict(self.counters),
            "last": last
            and {
                "reason": last.reason,
                "promptTokens": last.prompt_tokens,
                "evaluatedTokens": last.evaluated_tokens,
                "generatedTokens": last.generated_tokens,
                "milliseconds": round(1000 * last.seconds, 1),
            },
        }

    def close(self, timeout: float) -> bool:
        """Stops all work; whether it stopped within `timeout` seconds."""
        return self._worker.close(timeout) and not threads_run()

    async def _run(self, request: Request) -> Completion | None:
        # the popup and the ghost text ask for the same at the same key
        if self._last is not None and self._last[0] == request:
            self.counters.shared += 1
            return self._last[1]
        self.counters.requests += 1
        self._running += 1
        busy = asyncio.get_running_loop().call_later(
            _BUSY_AFTER, self.client.status, "busy", "Thinking…"
        )
        try:
            completion = await self._worker.run(request)
        except asyncio.CancelledError:
            self.counters.cancelled += 1
            raise
        except Exception as error:
            logger.error("no suggestion: %s: %s", type(error).__name__, error)
            logger.debug("the engine failed", exc_info=True)
            return None
        finally:
            self._running -= 1
            busy.cancel()
            if not self._running and self.client.state == "busy":
                self.client.status("ready", self.loader.ready)
        if completion is None:
            self.counters.superseded += 1
        elif completion.reason != "cancelled":
            self._last = (request, completion)
        return completion

    def _work(self, request: Request, cancelled: Callable[[], bool]) -> Completion | None:
        """Runs in the worker's thread."""
        engine = self.loader.engine
        if engine is None:
            return None
        completion = engine.complete(request, cancelled)
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
        self.settings, wrong = Settings.parse(options)
        for text in wrong:
            logger.warning("%s", text)
            self.client.show(types.MessageType.Warning, text)

    def _remedy(self) -> str:
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
