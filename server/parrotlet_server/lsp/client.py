"""What the server tells and asks the editor, as far as that editor can take it."""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import Any, Literal

from lsprotocol import types
from pygls.capabilities import get_capability
from pygls.lsp.server import LanguageServer

from .settings import SECTION

logger = logging.getLogger(__name__)

STATUS = f"{SECTION}/status"
State = Literal["loading", "ready", "busy", "error"]

_PATIENCE = 3.0
"""Seconds to wait for an editor's answer: none may hold up the server."""


class Client:
    """The editor at the other end; to be used in the event loop's thread."""

    def __init__(self, server: LanguageServer) -> None:
        """Speaks through `server`."""
        self._server = server
        self._shown: set[str] = set()
        self._status: dict[str, str] = {}

    def show(self, kind: types.MessageType, text: str, again: bool = False) -> None:
        """Shows a message to the user, each text once, unless it is to be shown `again`."""
        if again or text not in self._shown:
            self._shown.add(text)
            self._server.window_show_message(types.ShowMessageParams(kind, text))

    def status(self, state: State, message: str, remedy: str = "") -> None:
        """Sends ``parrotlet/status`` if it differs from the last one."""
        status = {"state": str(state), "message": message}
        if remedy:
            status["remedy"] = remedy
        if status != self._status:
            self._status = status
            self._server.protocol.notify(STATUS, status)

    @property
    def state(self) -> str:
        """The state of the last ``parrotlet/status``."""
        return self._status.get("state", "loading")

    @property
    def gives_settings(self) -> bool:
        """Whether the editor can be asked for the user's settings."""
        return self._can("workspace.configuration")

    async def settings(self) -> tuple[bool, Any]:
        """Asks for the user's settings.

        Returns:
            Whether the editor answered, and what.
        """
        item = types.ConfigurationItem(section=SECTION)
        answer = await self._ask(
            types.WORKSPACE_CONFIGURATION, types.ConfigurationParams(items=[item])
        )
        if isinstance(answer, list) and len(answer) == 1:
            return True, answer[0]
        return False, None

    async def watch_settings(self) -> None:
        """Asks to be told of changed settings."""
        if self._can("workspace.did_change_configuration.dynamic_registration"):
            registration = types.Registration(
                id=str(uuid.uuid4()),
                method=types.WORKSPACE_DID_CHANGE_CONFIGURATION,
                register_options={"section": SECTION},
            )
            await self._ask(
                types.CLIENT_REGISTER_CAPABILITY, types.RegistrationParams([registration])
            )

    async def progress(self, title: str, work: asyncio.Future[Any]) -> None:
        """Shows `title` as work in progress until `work` is done."""
        if not self._can("window.work_done_progress"):
            return
        token = str(uuid.uuid4())
        created = await self._ask(
            types.WINDOW_WORK_DONE_PROGRESS_CREATE, types.WorkDoneProgressCreateParams(token)
        )
        if created is _REFUSED:
            return
        self._progress(token, types.WorkDoneProgressBegin(title=title, cancellable=False))
        try:
            await asyncio.wait([work])
        finally:
            self._progress(token, types.WorkDoneProgressEnd())

    def _progress(self, token: str, value: Any) -> None:
        self._server.progress(types.ProgressParams(token, value))

    def _can(self, capability: str) -> bool:
        return bool(get_capability(self._server.client_capabilities, capability, False))

    async def _ask(self, method: str, params: Any) -> Any:
        """The editor's answer, or `_REFUSED` if it gives an error or none in time."""
        try:
            return await asyncio.wait_for(
                self._server.protocol.send_request_async(method, params), _PATIENCE
            )
        except TimeoutError:
            logger.warning("the editor did not answer %s within %g s", method, _PATIENCE)
        except Exception as error:
            logger.warning("the editor refused %s: %s", method, error)
        return _REFUSED


_REFUSED = object()
