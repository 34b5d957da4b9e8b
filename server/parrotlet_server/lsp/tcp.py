"""The server behind a TCP port: messages as on standard input, from several clients."""

from __future__ import annotations

import asyncio
import logging

from .access import Address
from .framing import MAX_BODY, Frames
from .host import Host, Outbox

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

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _converse(host, reader, writer)
        except asyncio.CancelledError:
            pass  # the process ends
        except Exception as error:  # one client must not end the others
            logger.error("failed on a connection: %s: %s", type(error).__name__, error)
            logger.debug("failed on a connection", exc_info=True)
        finally:
            writer.close()

    return await asyncio.start_server(connected, address.host, address.port)


async def _converse(host: Host, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    frames = Frames(MAX_BODY if host.token is None else _MOST_UNKNOWN)
    first: bytes | None = None

    async def fill() -> bool:
        try:
            data = await reader.read(65536)
        except OSError:
            return False
        frames.feed(data)
        return bool(data)

    async def receive() -> bytes | None:
        nonlocal first
        if first is not None:
            body, first = first, None
            return body
        while (found := frames.next()) is None:
            if not await fill():
                return None
        return found

    async def greet() -> bool:
        """Whether this is a client that may talk to the server."""
        nonlocal first
        start = b""
        while len(start) < len(_FIRST):
            data = await reader.read(len(_FIRST) - len(start))
            if not data:
                return False
            start += data
        if start.lower() != _FIRST:
            logger.warning("closed a connection that is none of a language client")
            return False
        frames.feed(start)
        if host.token is None:
            return True
        body = await receive()
        first = None if body is None else host.token.admit(body)
        if first is None:
            logger.warning("closed a connection without the right token")
        frames.most = MAX_BODY
        return first is not None

    try:
        welcome = not host.is_full and await asyncio.wait_for(greet(), _PATIENCE)
    except (TimeoutError, OSError):
        return
    if not welcome:
        return

    async def send(data: bytes) -> None:
        writer.write(data)
        await writer.drain()

    await host.converse(receive, Outbox(send, writer.transport.abort), framed=True)
