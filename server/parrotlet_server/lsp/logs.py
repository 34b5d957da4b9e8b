"""Log lines to standard error and to the editor's log. They hold no text of documents."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys

from lsprotocol import types
from pygls.lsp.server import LanguageServer

LEVELS = ("debug", "info", "warning", "error")
_PACKAGE = "parrotlet_server"


def to_stderr(level: str) -> None:
    """Sends records of at least `level` to standard error, one line each.

    pygls logs whole messages, and so the user's text, and tracebacks for what the server has
    answered properly: only its critical records pass.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(level.upper())
    logging.basicConfig(
        handlers=[handler],
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        level=logging.WARNING,
        force=True,
    )
    # the editor's log takes what is worth to know, also where standard error is quiet
    logging.getLogger(_PACKAGE).setLevel(min(handler.level, logging.INFO))
    logging.getLogger("pygls").setLevel(logging.CRITICAL)


class EditorHandler(logging.Handler):
    """Sends records to the editor as ``window/logMessage``, from any thread."""

    _KIND = (
        (logging.ERROR, types.MessageType.Error),
        (logging.WARNING, types.MessageType.Warning),
        (logging.INFO, types.MessageType.Info),
    )

    def __init__(self, server: LanguageServer, loop: asyncio.AbstractEventLoop) -> None:
        """Speaks through `server`, in `loop`."""
        super().__init__()
        self._server = server
        self._loop = loop

    def emit(self, record: logging.LogRecord) -> None:
        """Queues the record."""
        kind = next(
            (kind for level, kind in self._KIND if record.levelno >= level),
            types.MessageType.Log,
        )
        params = types.LogMessageParams(kind, record.getMessage())
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._server.window_log_message, params)

    def attach(self) -> None:
        """Starts to listen."""
        logging.getLogger(_PACKAGE).addHandler(self)

    def detach(self) -> None:
        """Stops to listen."""
        logging.getLogger(_PACKAGE).removeHandler(self)
