"""Runs the server behind ports, for as many clients as come."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from parrotlet_server.errors import CommandError, UsageError

from . import tcp
from .access import TOKEN_VARIABLE, Address, Token
from .host import Host

logger = logging.getLogger(__name__)

_GRACE = 3.0
"""Seconds that the sessions get to end."""


def serve(
    model: str | None,
    tcp_address: Address | None,
    websocket_address: Address | None,
    token: Token | None,
    tell: Callable[[str], None],
) -> int:
    """Serves clients until the process is told to end.

    Args:
        model: as for `Engine.load`; None is the bundled one.
        tcp_address: where to listen for TCP, if at all.
        websocket_address: where to listen for WebSockets, if at all.
        token: that clients must know; None admits all, which goes on loopback only.
        tell: is given one line for each port, once it is open.

    Returns:
        The exit code: 0 after SIGTERM, 130 after an interruption.

    Raises:
        UsageError: if an address makes no sense, or a token is missing.
        CommandError: if a port cannot be opened.
    """
    ports: list[tuple[str, Address]] = []
    for scheme, address in (("tcp", tcp_address), ("ws", websocket_address)):
        if address is None:
            continue
        resolved = address.resolve()
        if token is None and not resolved.is_loopback:
            raise UsageError(
                f"whoever reaches {address} could use the server: put a token into the variable "
                f"{TOKEN_VARIABLE} or a file (--token-file), or listen on 127.0.0.1"
            )
        ports.append((scheme, resolved))
    code = asyncio.run(_serve(Host(model, token), ports, tell))
    if any(thread.daemon for thread in threading.enumerate()):
        # a thread is still inside the model, where the interpreter cannot end it
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


async def _serve(host: Host, ports: list[tuple[str, Address]], tell: Callable[[str], None]) -> int:
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def end(code: int) -> None:
        if not ended.done():
            ended.set_result(code)

    for number, code in ((signal.SIGTERM, 0), (signal.SIGINT, 130)):
        with contextlib.suppress(NotImplementedError):  # on Windows, Ctrl+C interrupts the loop
            asyncio.get_running_loop().add_signal_handler(number, end, code)
    servers: list[Any] = []
    loading: asyncio.Task[None] | None = None
    try:
        for scheme, address in ports:
            try:
                server = await _listener(scheme)(host, address)
            except OSError as error:
                reason = os.strerror(error.errno) if error.errno else str(error)
                raise CommandError(f"cannot listen on {address}: {reason}") from error
            servers.append(server)
            for opened in server.sockets:
                tell(f"listening on {scheme}://{Address(*opened.getsockname()[:2])}")
        loading = asyncio.create_task(host.keep_model())
        return await ended
    finally:
        if loading is not None:
            loading.cancel()
        for server in servers:
            server.close()
        await host.close(_GRACE)
        for server in servers:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(server.wait_closed(), _GRACE)


def _listener(scheme: str) -> Callable[[Host, Address], Awaitable[Any]]:
    if scheme == "tcp":
        return tcp.listen
    try:
        # Imported here: the package that it needs is not everybody's.
        from . import websocket
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "websockets":
            raise
        raise UsageError(
            "--websocket needs websockets, which is not installed: "
            'pip install "parrotlet[websocket]"'
        ) from error
    return websocket.listen
