"""The server behind a WebSocket: one message of the protocol in each of the socket's."""

from __future__ import annotations

import logging
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from .access import TOKEN_VARIABLE, Address
from .framing import MAX_BODY
from .host import Host, Outbox

logger = logging.getLogger(__name__)


async def listen(host: Host, address: Address) -> Server:
    """Serves `host` at `address`.

    Raises:
        OSError: if the port is taken or not allowed.
    """

    def admit(connection: ServerConnection, request: Request) -> Response | None:
        if host.is_full:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "too many clients\n")
        if host.token is not None:
            if host.token.is_same(_given(request)):
                return None
            logger.warning("refused a connection without the right token")
            text = "give the token, as `Authorization: Bearer TOKEN` or ?token=TOKEN\n"
            return connection.respond(HTTPStatus.UNAUTHORIZED, text)
        if "Origin" in request.headers:
            # any page that the user looks at may reach a local port; other programs send none
            logger.warning("refused a web page, which needs a token: see %s", TOKEN_VARIABLE)
            text = f"a web page needs a token: set {TOKEN_VARIABLE} for the server\n"
            return connection.respond(HTTPStatus.FORBIDDEN, text)
        return None

    async def connected(connection: ServerConnection) -> None:
        async def receive() -> bytes | None:
            try:
                return await connection.recv(decode=False)
            except ConnectionClosed:
                return None

        async def send(data: bytes) -> None:
            await connection.send(data, text=True)

        outbox = Outbox(send, connection.transport.abort)
        await host.converse(receive, outbox, framed=False)

    return await serve(
        connected,
        address.host,
        address.port,
        process_request=admit,
        max_size=MAX_BODY,
        compression=None,  # the messages are small, and most do not leave the machine
        logger=_quiet(),
    )


def _given(request: Request) -> str | None:
    """The token that a client shows."""
    for header in request.headers.get_all("Authorization"):
        kind, _, token = header.partition(" ")
        if kind.lower() == "bearer":
            return token.strip()
    return next(iter(parse_qs(urlsplit(request.path).query).get("token", [])), None)


def _quiet() -> logging.Logger:
    """For what the library says of clients that do not keep to its protocol, with tracebacks."""
    quiet = logging.getLogger("websockets.server")
    quiet.setLevel(logging.CRITICAL)
    return quiet
