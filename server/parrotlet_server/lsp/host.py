"""Several clients on one process: each has a session of its own, all share the models."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

from parrotlet_server.engine.completer import BackendOptions, Completer, open_completer

from .access import Token
from .logs import EditorHandler
from .server import ParrotletServer
from .shared import Shared
from .worker import in_thread

logger = logging.getLogger(__name__)

MOST_CLIENTS = 64
MOST_UNSENT = 64 * 1024 * 1024
"""Bytes that wait for a client to read them, before it counts as gone."""

_GRACE = 1.0
"""Seconds that running work and unsent messages get when a session ends."""

_current: ContextVar[ParrotletServer | None] = ContextVar("current", default=None)


class Outbox:
    """What goes to one client, in order; nobody waits until it has been read."""

    def __init__(
        self, send: Callable[[bytes], Awaitable[None]], hang_up: Callable[[], None]
    ) -> None:
        """Sends with `send`; calls `hang_up` once the client is gone or does not read."""
        self._send = send
        self._hang_up = hang_up
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._size = 0
        self._open = True
        self._task = asyncio.create_task(self._run())

    def write(self, data: bytes) -> None:
        """Takes a message; of one who is gone, it goes nowhere."""
        if not self._open:
            return
        self._size += len(data)
        if self._size > MOST_UNSENT:
            logger.warning("a client does not read what it asked for: dropped")
            self.close()
            self._hang_up()
        else:
            self._waiting.put_nowait(data)

    def close(self) -> None:
        """Takes nothing more."""
        self._open = False

    async def finish(self) -> None:
        """Sends what is left, if the client reads it in time."""
        self.close()
        self._waiting.put_nowait(None)
        await asyncio.wait([self._task], timeout=_GRACE)
        if not self._task.done():
            self._task.cancel()
            self._hang_up()  # what the system still holds for this client is not waited for

    async def _run(self) -> None:
        try:
            while (data := await self._waiting.get()) is not None:
                await self._send(data)
                self._size -= len(data)
        except Exception as error:  # of sockets or of the library above them: it is gone
            logger.debug("cannot send: %s", error)
            self.close()
            self._hang_up()


class Host:
    """What the connections of one process have in common.

    Attributes:
        token: that each client must know; None where any may come.
    """

    def __init__(self, model: str | None, token: Token | None) -> None:
        """Serves `model`, as for `Engine.load`, to clients that ask for no other."""
        self.token = token
        self._model = model
        self._load = Shared(open_completer)
        self._kept: Completer | None = None
        self._talks: set[asyncio.Task[object]] = set()

    async def keep_model(self) -> None:
        """Loads the model before the first client comes, and keeps it when the last one goes."""
        with contextlib.suppress(Exception):  # each client is told
            self._kept = await in_thread(lambda: self._load(BackendOptions(model=self._model)))

    @property
    def is_full(self) -> bool:
        """Whether nobody else can come."""
        return len(self._talks) >= MOST_CLIENTS

    async def close(self, timeout: float) -> None:
        """Ends all sessions in order: what they hold is written, what they asked for stops.

        Args:
            timeout: most seconds to wait for it.
        """
        for talk in self._talks:
            talk.cancel()
        if self._talks:
            await asyncio.wait(self._talks, timeout=timeout)

    async def converse(
        self, receive: Callable[[], Awaitable[bytes | None]], outbox: Outbox, framed: bool
    ) -> None:
        """Serves one client until it ends its session or goes away.

        Args:
            receive: gives the next message's body, None at the end.
            outbox: takes the answers.
            framed: whether these begin with a header.
        """
        server = ParrotletServer(self._model, self._load, is_shared=True)
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        task.add_done_callback(self._talks.discard)
        _current.set(server)  # of this task, and of whatever starts from it
        server.protocol.set_writer(outbox, include_headers=framed)
        handler = EditorHandler(server, asyncio.get_running_loop())
        handler.addFilter(lambda _: _current.get() is server)
        handler.attach()
        try:
            while server.protocol.exit_code is None and (body := await receive()) is not None:
                server.protocol.receive(body)
                # a request's handler takes its snapshot before the next message is looked at,
                # and the other clients have their turn
                await asyncio.sleep(0)
            await server.protocol.finish()
        finally:
            handler.detach()
            server.abandon()
            await asyncio.gather(outbox.finish(), in_thread(lambda: server.session.close(_GRACE)))
