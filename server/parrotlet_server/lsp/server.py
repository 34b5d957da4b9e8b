"""The language server: its features, each handed on to the session."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from parrotlet_server.version import version

from . import parent
from .client import Client
from .documents import Documents
from .guards import Protocol, converter
from .items import ACCEPTED, inline_item, popup_item
from .loading import Load
from .notebooks import SYNC
from .session import Session
from .settings import SECTION

logger = logging.getLogger(__name__)

STATISTICS = f"{SECTION}/statistics"


class ParrotletServer(LanguageServer):
    """Parrotlet as a language server."""

    protocol: Protocol

    def __init__(self, model: str | None, load: Load, is_shared: bool = False) -> None:
        """Serves `model`, unless the user's settings name another one; None is the bundled one.

        Args:
            model: as for `Engine.load`.
            load: gives the engine.
            is_shared: whether other servers have the same engine.
        """
        super().__init__(
            "parrotlet",
            version(),
            protocol_cls=Protocol,
            converter_factory=converter,
            notebook_document_sync=SYNC,
        )
        self.documents = Documents()
        client = Client(self)
        self.session = Session(client, self.documents, self._folders, model, load, is_shared)
        self.hang_up: Callable[[], None] = lambda: None
        self._tasks: set[asyncio.Task[None]] = set()
        _register(self)

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Logs the error; pygls would show it to the user."""
        logger.error("%s: %s", type(error).__name__, error)

    def watch_parent(self) -> None:
        """Ends the session when the editor's process ends."""
        # an editor that came over the network may run on another machine
        if self.process_id is not None and not self.session.is_shared:
            task = asyncio.create_task(parent.watch(self.process_id, lambda: self.hang_up()))
            self._tasks.add(task)  # the loop itself holds it only weakly
            task.add_done_callback(self._tasks.discard)

    def abandon(self) -> None:
        """Drops all that belongs to the connection, which is no more."""
        for asked in list(self.protocol.pending):
            asked.cancel()
        self.session.abandon()
        self.documents.clear()

    def _folders(self) -> list[str]:
        folders = [folder.uri for folder in self.workspace.folders.values()]
        return folders or [self.workspace.root_uri or ""]


def _register(server: ParrotletServer) -> None:
    session = server.session

    @server.feature(types.INITIALIZE)
    def initialize(params: types.InitializeParams) -> None:
        encoding = server.workspace.position_encoding or "utf-16"
        server.documents.encoding = types.PositionEncodingKind(encoding).value
        session.begin(params.initialization_options)

    @server.feature(types.INITIALIZED)
    async def initialized(_: types.InitializedParams) -> None:
        server.watch_parent()
        await session.configure()
        await session.client.watch_settings()

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def configuration_changed(params: types.DidChangeConfigurationParams) -> None:
        await session.configure(params.settings)

    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def inline_completion(
        params: types.InlineCompletionParams,
    ) -> list[types.InlineCompletionItem] | None:
        start = end = params.position
        inserted = ""
        selected = params.context.selected_completion_info
        if selected is not None and selected.range.start.line == selected.range.end.line:
            # ghost text beside a popup is shown only if it goes on from the selected item
            start, end, inserted = selected.range.start, selected.range.end, selected.text
        kind = params.context.trigger_kind
        explicit = kind is types.InlineCompletionTriggerKind.Invoked
        answer = await session.complete(params.text_document.uri, start, end, inserted, explicit)
        if answer is None:
            return None
        return [
            inline_item(answer.place, inserted, suggestion, answer.number_of(which))
            for which, suggestion in enumerate(answer.suggestions)
        ]

    @server.feature(
        types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=[".", "("])
    )
    async def completion(params: types.CompletionParams) -> types.CompletionList | None:
        # editors say of typed letters too that the popup was asked for: no request is explicit
        at = params.position
        answer = (
            await session.complete(params.text_document.uri, at, at)
            if session.settings.popup
            else None
        )
        # always incomplete: the next character may change the suggestion
        items = (
            []
            if answer is None
            else [popup_item(answer.place, answer.suggestions[0], answer.number_of(0))]
        )
        return types.CompletionList(is_incomplete=True, items=items)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    def saved(_: types.DidSaveTextDocumentParams) -> None:
        session.saved()

    @server.command(ACCEPTED)
    def accepted(number: Any = None) -> None:
        session.accepted(number)

    @server.feature(STATISTICS)
    def statistics(_: Any) -> dict[str, Any]:
        return session.statistics()
