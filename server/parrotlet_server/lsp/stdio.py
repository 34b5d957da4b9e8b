"""Runs the server over standard input and output."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable

from .framing import FrameReader
from .loading import Load
from .logs import EditorHandler
from .server import ParrotletServer
from .streams import Streams

logger = logging.getLogger(__name__)

_GRACE = 1.0
"""Seconds that running work gets to stop when the session ends."""


def serve(streams: Streams, model: str | None, load: Load) -> int:
    """Serves one editor until it ends the session or goes away.

    Args:
        streams: to the editor.
        model: as for `Engine.load`; None is the bundled one.
        load: gives the engine.

    Returns:
        The exit code: 0 after ``shutdown``, else 1.
    """
    server = ParrotletServer(model, load)
    code = 130
    try:
        code = asyncio.run(_run(server, FrameReader.of_descriptor(streams.source), streams.sink))
    finally:
        if not server.session.close(_GRACE):
            # a thread is still inside the model, where the interpreter cannot end it
            sys.stderr.flush()
            os._exit(code)
    return code


async def _run(server: ParrotletServer, frames: FrameReader, sink: int) -> int:
    loop = asyncio.get_running_loop()
    inbox: asyncio.Queue[bytes | None] = asyncio.Queue()
    server.hang_up = lambda: inbox.put_nowait(None)
    server.protocol.set_writer(_Writer(sink, server.hang_up))
    handler = EditorHandler(server, loop)
    handler.attach()

    def read() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            while (body := frames.next()) is not None:
                loop.call_soon_threadsafe(inbox.put_nowait, body)
            loop.call_soon_threadsafe(inbox.put_nowait, None)

    threading.Thread(target=read, name="reading", daemon=True).start()
    try:
        while server.protocol.exit_code is None and (body := await inbox.get()) is not None:
            server.protocol.receive(body)
            # a request's handler takes its snapshot before the next message is looked at
            await asyncio.sleep(0)
        await server.protocol.finish()
    finally:
        handler.detach()
    return 0 if server.protocol.is_shut_down else 1


class _Writer:
    """Writes to a descriptor; once the other end is gone, to nowhere."""

    def __init__(self, descriptor: int, gone: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._gone = gone
        self._open = True

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while self._open and view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            self.close()
            self._gone()

    def close(self) -> None:
        self._open = False
