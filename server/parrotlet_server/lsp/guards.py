"""What pygls 2.1 does not handle by itself: every request gets exactly one reply.

Seen in pygls 2.1.1: malformed parameters and requests after ``shutdown`` get no reply, nor does an
unknown method without parameters; an unknown trigger kind is an error; ``exit`` ends the process
with 0 whether or not ``shutdown`` came before.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable
from concurrent.futures import Future
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from cattrs import Converter
from lsprotocol import types
from lsprotocol.converters import get_converter
from pygls.exceptions import (
    JsonRpcException,
    JsonRpcInvalidParams,
    JsonRpcInvalidRequest,
    JsonRpcMethodNotFound,
    JsonRpcParseError,
    JsonRpcServerNotInitialized,
)
from pygls.protocol import (
    JsonRPCNotification,
    JsonRPCRequestMessage,
    LanguageServerProtocol,
    lsp_method,
)

if TYPE_CHECKING:
    from .server import ParrotletServer

logger = logging.getLogger(__name__)


@cache
def converter() -> Converter:
    """A converter that takes an unknown trigger kind for the usual one; the same for all."""
    # the first error is enough: a list of all that is wrong with a long text in place of a list
    # took 2 GB for a message of 1 MB
    result = get_converter(Converter(detailed_validation=False))

    def inline(value: Any, _: type) -> types.InlineCompletionTriggerKind:
        known = value in (1, 2)
        return types.InlineCompletionTriggerKind(value if known else 2)

    def popup(value: Any, _: type) -> types.CompletionTriggerKind:
        known = value in (1, 2, 3)
        return types.CompletionTriggerKind(value if known else 1)

    result.register_structure_hook(types.InlineCompletionTriggerKind, inline)
    result.register_structure_hook(types.CompletionTriggerKind, popup)
    return result


class Protocol(LanguageServerProtocol):
    """The protocol of pygls with a stricter door."""

    _server: ParrotletServer

    exit_code: int | None = None
    """What the process shall end with; None until the client has sent ``exit``."""

    def receive(self, body: bytes) -> None:
        """Handles a message's body.

        Bytes that are no message, a message that makes no sense and parameters of the wrong shape
        are answered with an error where something may wait for an answer, and are logged in one
        line where nothing does.
        """
        if len(self._request_futures) > _MOST_DONE:
            self._forget_done()
        try:
            data = json.loads(body.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            self._refuse(None, JsonRpcParseError(f"not JSON in UTF-8: {error}"))
            return
        try:
            self._dispatch(data)
        except Exception as error:  # one message must not end the session
            logger.error("failed on a message: %s: %s", type(error).__name__, error)
            logger.debug("failed on a message", exc_info=True)

    def _forget_done(self) -> None:
        """Of notifications, pygls keeps what their handlers gave for ever."""
        futures = cast("dict[object, Future[Any]]", self._request_futures)
        for key in [key for key, future in futures.items() if future.done()]:
            del futures[key]

    def _dispatch(self, data: Any) -> None:
        identity = data.get("id") if isinstance(data, dict) else None
        if isinstance(identity, bool) or not isinstance(identity, int | str):
            identity = None
        if not isinstance(data, dict) or data.get("jsonrpc") != self.VERSION:
            self._refuse(identity, JsonRpcInvalidRequest("not a JSON-RPC 2.0 message"))
            return
        method = data.get("method")
        if "method" not in data and ("result" in data or "error" in data):
            self._receive_response(identity, data)
        elif not isinstance(method, str) or ("id" in data and identity is None):
            self._refuse(identity, JsonRpcInvalidRequest("a method or an id of the wrong type"))
        elif identity is None:
            self._receive_notification(method, data)
        else:
            self._receive_request(identity, method, data)

    def _receive_request(self, identity: int | str, method: str, data: dict[str, Any]) -> None:
        if self._shutdown:
            self._refuse(identity, JsonRpcInvalidRequest("the server is shutting down"))
        elif method == types.INITIALIZE and self._workspace is not None:
            self._refuse(identity, JsonRpcInvalidRequest("the server is initialized already"))
        elif method not in {types.INITIALIZE, types.SHUTDOWN} and self._workspace is None:
            self._refuse(identity, JsonRpcServerNotInitialized("send initialize first"))
        elif not self._knows(method):
            self._refuse(identity, JsonRpcMethodNotFound.of(method))
        else:
            try:
                message = self._structure(method, data, JsonRPCRequestMessage)
            except Exception as error:
                reason = f"{method}: {_reason(error)}"
                self._refuse(identity, JsonRpcInvalidParams(reason))
            else:
                if not hasattr(message, "id"):
                    # what is handled as a notification would never be answered
                    reason = f"{method} is a notification and takes no id"
                    self._refuse(identity, JsonRpcInvalidRequest(reason))
                else:
                    self.handle_message(message)

    def _receive_notification(self, method: str, data: dict[str, Any]) -> None:
        if method != types.EXIT and (self._shutdown or self._workspace is None):
            logger.debug("ignored %s outside of a session", method)
        elif method == types.CANCEL_REQUEST or self._knows(method):
            try:
                message = self._structure(method, data, JsonRPCNotification)
            except Exception as error:
                logger.warning("ignored a malformed %s: %s", method, _reason(error))
            else:
                self.handle_message(message)
        else:
            logger.debug("ignored unknown notification %s", method)

    def _receive_response(self, identity: int | str | None, data: dict[str, Any]) -> None:
        future = self._request_futures.get(identity) if identity is not None else None
        if not isinstance(future, Future) or identity is None:  # a task is the client's request
            logger.debug("ignored an answer to nothing that was asked")
            return
        self._result_types.pop(identity, None)
        del self._request_futures[identity]
        if future.done():
            return
        # the results are read by those who asked, as plain values: a client may answer nonsense
        error = data.get("error")
        if error is None:
            future.set_result(data.get("result"))
        else:
            future.set_exception(JsonRpcException(f"{error!r:.200}"))

    def _knows(self, method: str) -> bool:
        return method in self.fm.builtin_features or method in self.fm.features

    def _structure(self, method: str, data: dict[str, Any], fallback: type) -> Any:
        """The typed message.

        Raises:
            Exception: if its parameters have the wrong shape.
        """
        kind = self.get_message_type(method)
        if kind is None:
            fields = {"jsonrpc": self.VERSION, "method": method, "params": data.get("params")}
            return fallback(**fields, **({"id": data["id"]} if "id" in data else {}))
        if method == types.CANCEL_REQUEST and not isinstance(data["params"]["id"], int | str):
            raise TypeError("an id is a number or a string")
        if method in (types.TEXT_DOCUMENT_DID_CHANGE, types.NOTEBOOK_DOCUMENT_DID_CHANGE):
            for change in _text_changes(method, data["params"]):
                if change.get("range") is None:
                    change.pop("range", None)
        try:
            return self._converter.structure(data, kind)
        except Exception:
            if method != types.INITIALIZE:
                raise
            # a newer client may list kinds that these types do not know yet
            params = data["params"]
            params["capabilities"] = _needed(params["capabilities"])
            return self._converter.structure(data, kind)

    def _refuse(self, identity: int | str | None, error: JsonRpcException) -> None:
        reason = f"{error!s:.{_LONGEST_REASON}}"  # it may quote what came
        logger.warning("refused a message: %s", reason)
        # not through _send_response, whose type wants an id
        self._send_data(
            {
                "jsonrpc": self.VERSION,
                "id": identity,
                "error": {"code": error.code, "message": reason},
            }
        )

    @lsp_method(types.EXIT)
    def lsp_exit(self, *_: Any) -> None:  # type: ignore[override]
        """Marks the end of the session, which the main loop sees."""
        self.exit_code = 0 if self._shutdown else 1

    @property
    def is_shut_down(self) -> bool:
        """Whether the client has sent ``shutdown``."""
        return bool(self._shutdown)

    @property
    def pending(self) -> Iterable[asyncio.Future[Any] | Future[Any]]:
        """What either side has asked for and not yet had an answer to."""
        # pygls keeps tasks there too, for handlers that are coroutines
        return cast("Iterable[Future[Any]]", self._request_futures.values())

    async def finish(self) -> None:
        """Waits until the requests that ``shutdown`` cancelled are answered."""
        tasks = [task for task in self.pending if isinstance(task, asyncio.Task)]
        if self._shutdown and tasks:
            await asyncio.wait(tasks, timeout=1.0)
            await asyncio.sleep(0)

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> None:
        """Keeps the text; pygls's workspace gets none."""
        self._server.documents.open(params.text_document)
        self._server.session.opened(params.text_document.uri)

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> None:
        """Changes the text."""
        self._server.documents.change(params.text_document.uri, params.content_changes)
        if sum(len(change.text) for change in params.content_changes) <= _KEY:
            self._server.session.typed()

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> None:
        """Forgets the text."""
        self._server.documents.close(params.text_document.uri)

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_OPEN)
    def lsp_notebook_document__did_open(self, params: types.DidOpenNotebookDocumentParams) -> None:
        """Keeps the cells."""
        self._server.session.notebooks.open(params)

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_CHANGE)
    def lsp_notebook_document__did_change(
        self, params: types.DidChangeNotebookDocumentParams
    ) -> None:
        """Changes the cells."""
        if 0 < self._server.session.notebooks.change(params) <= _KEY:
            self._server.session.typed()

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_CLOSE)
    def lsp_notebook_document__did_close(
        self, params: types.DidCloseNotebookDocumentParams
    ) -> None:
        """Forgets the cells."""
        self._server.session.notebooks.close(params)


_MOST_DONE = 100

_LONGEST_REASON = 500
"""Characters of an error's message."""

_KEY = 2
"""Characters: what one key writes, with the bracket or quote that editors close. More is pasted."""

_NEEDED = {
    "general": ("positionEncodings",),
    "notebookDocument": ("synchronization",),
    "window": ("workDoneProgress",),
    "workspace": ("configuration", "didChangeConfiguration", "workspaceFolders"),
}


def _text_changes(method: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    """The changes of text in a ``didChange`` of a document or a notebook."""
    if method == types.TEXT_DOCUMENT_DID_CHANGE:
        return list(params["contentChanges"])
    cells = params["change"].get("cells") or {}
    return [change for cell in cells.get("textContent") or [] for change in cell["changes"]]


def _needed(capabilities: dict[str, Any]) -> dict[str, Any]:
    """The capabilities that this server asks for."""
    return {
        group: {name: capabilities[group][name] for name in names if name in capabilities[group]}
        for group, names in _NEEDED.items()
        if isinstance(capabilities.get(group), dict)
    }


def _reason(error: BaseException) -> str:
    """Why a conversion failed, in one line."""
    text = str(error).strip().splitlines()[:1]
    name = type(error).__name__
    return f"{name}: {text[0]:.200}" if text else name
