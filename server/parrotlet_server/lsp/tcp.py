"""The server behind a TCP port: messages as on standard input, from several clients."""

from __future__ import annotations

import asyncio
import logging

from .access import Address
from .framing import MAX_BODY, Frames
from .host import MOST_CLIENTS, Host, Outbox

logger = logging.getLogger(__name__)

_PATIENCE = 10.0
"""Seconds that a client has to show its token."""

_MOST_UNKNOWN = 1024 * 1024
"""Bytes of the first message of a client that has not shown its token."""

_FIRST = b"content-"
"""What each message begins with, and no request of a browser, which may reach local ports."""


async def listen(host: Host, address: Address) -> asyncio.Server:
    """Serves `host` at `address`.

    Raises:
        OSError: if the port is taken or not allowed.
    """
    unknown: set[asyncio.StreamWriter] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            unknown.add(writer)
            if host.is_full or len(unknown) > MOST_CLIENTS:
                logger.warning("too many clients: closed the connection of another")
                return
            talk = Talk(host, reader, writer)
            try:
                welcome = await asyncio.wait_for(talk.greet(), _PATIENCE)
            finally:
                unknown.discard(writer)
            if welcome:
                await talk.go_on()
        except (TimeoutError, OSError) as error:
            logger.debug("closed a connection: %s", error)
        except asyncio.CancelledError:
            pass  # the process ends
        except Exception as error:  # one client must not end the others
            logger.error("failed on a connection: %s: %s", type(error).__name__, error)
            logger.debug("failed on a connection", exc_info=True)
        finally:
            unknown.discard(writer)
            writer.close()

    return await asyncio.start_server(connected, address.host, address.port)


class Talk:
    """A connection, from its first byte on."""

    def __init__(
        self, host: Host, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Knows nothing of the client yet."""
        self._host = host
        self._reader = reader
        self._writer = writer
        self._frames = Frames(MAX_BODY if host.token is None else _MOST_UNKNOWN)
        self._first: bytes | None = None

    async def greet(self) -> bool:
        """Whether this is a client that may talk to the server; nothing is answered here.

        Raises:
            OSError: if the client has gone.
        """
        start = b""
        while len(start) < len(_FIRST):
            data = await self._reader.read(len(_FIRST) - len(start))
            if not data:
                return False
            start += data
        if start.lower() != _FIRST:
            logger.warning("closed a connection that is none of a language client")
            return False
        self._frames.feed(start)
        if self._host.token is not None:
            body = await self._receive()
            self._first = None if body is None else self._host.token.admit(body)
            if self._first is None:
                logger.warning("closed a connection without the right token")
                return False
            self._frames.most = MAX_BODY
        return True

    async def go_on(self) -> None:
        """Serves the client until it ends its session or goes away."""
        outbox = Outbox(self._send, self._writer.transport.abort)
        await self._host.converse(self._receive, outbox, framed=True)

    async def _receive(self) -> bytes | None:
        """The next message, or None at the end."""
        if self._first is not None:
            body, self._first = self._first, None
            return body
        while (found := self._frames.next()) is None:
            try:
                data = await self._reader.read(65536)
            except OSError:
                return None
            if not data:
                return None
            self._frames.feed(data)
        return found

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()
