"""Who may talk to a server that listens: where it listens, and the token that it asks for."""

from __future__ import annotations

import hmac
import ipaddress
import json
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from parrotlet_server.errors import CommandError, UsageError

from .settings import inner

TOKEN_VARIABLE = "PARROTLET_TOKEN"
SHORTEST_TOKEN = 16
LOOPBACK = "127.0.0.1"

_ADDRESS = re.compile(r"(?:(?P<host>[^:\[\]\s]+|\[[0-9A-Fa-f:.]+\]):)?(?P<port>\d{1,5})")


@dataclass(frozen=True)
class Address:
    """Where to listen.

    Attributes:
        host: a name or a number, without brackets.
        port: 0 lets the system choose.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Reads ``[HOST:]PORT``; the host is the machine's own loopback if it is left out.

        Raises:
            UsageError: if it is no such thing.
        """
        match = _ADDRESS.fullmatch(text)
        if match is None or int(match["port"]) > 65535:
            raise UsageError(
                f"{text!r} is no address to listen on: give PORT or HOST:PORT, such as 7007 or "
                f"{LOOPBACK}:7007"
            )
        return cls((match["host"] or LOOPBACK).strip("[]"), int(match["port"]))

    def resolve(self) -> Address:
        """The same with a number for the host's name.

        Raises:
            UsageError: if there is no host of that name.
        """
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise UsageError(f"there is no host {self.host!r} to listen on") from error
        # of localhost, the address that most clients try first
        found.sort(key=lambda one: one[0] != socket.AF_INET)
        return Address(str(found[0][4][0]), self.port)

    @property
    def is_loopback(self) -> bool:
        """Whether only programs of this machine reach it; the host must be a number."""
        return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Token:
    """A secret that clients must know."""

    def __init__(self, secret: str) -> None:
        """Asks for `secret`."""
        self._secret = secret.encode()

    @classmethod
    def read(cls, file: Path | None) -> Token | None:
        """The token in `file`, or else in the variable ``PARROTLET_TOKEN``; None is no token.

        Raises:
            UsageError: if it is too short to be a secret.
            CommandError: if the file cannot be read.
        """
        if file is not None:
            try:
                secret = file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeError) as error:
                raise CommandError(f"cannot read the token in {file}: {error}") from error
            where = str(file)
        else:
            secret, where = os.environ.get(TOKEN_VARIABLE, "").strip(), TOKEN_VARIABLE
            if not secret:
                return None
        if len(secret) < SHORTEST_TOKEN:
            raise UsageError(
                f"the token in {where} has {len(secret)} characters; give at least "
                f"{SHORTEST_TOKEN}, such as `openssl rand -hex 32` prints"
            )
        return cls(secret)

    def is_same(self, given: object) -> bool:
        """Whether `given` is the token, in a time that does not tell how much of it is right."""
        return isinstance(given, str) and hmac.compare_digest(
            given.encode("utf-8", "surrogatepass"), self._secret
        )

    def admit(self, body: bytes) -> bytes | None:
        """A client's first message without the token, or None if it is not in there.

        It stands in ``initialize``, as ``initializationOptions.token``.
        """
        try:
            message = json.loads(body)
            options = inner(message["params"]["initializationOptions"])
            given = options.pop("token")  # type: ignore[attr-defined]
            is_first = message["method"] == "initialize"
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
            return None
        if not is_first or not self.is_same(given):
            return None
        return json.dumps(message).encode()
