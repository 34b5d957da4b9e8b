"""A client of OpenAI's ``/v1/completions``, which vLLM, llama.cpp and Ollama speak too.

The answer is streamed, so the caller can stop it anywhere: leaving the iteration closes the
connection, which makes these servers stop writing.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit

from .errors import EndpointCancelledError, EndpointError
from .options import BackendOptions

LOOK = 0.02
"""Seconds between two looks at the cancellation while the server is silent."""

BACKOFF, LONGEST_WAIT = 0.25, 5.0
"""Seconds before the second attempt, doubled each time, and the most; the server may ask for more
by ``Retry-After``, up to the most."""

_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_LONGEST_LINE = 1 << 20
_SERVICE = "parrotlet"


@dataclass(frozen=True)
class Piece:
    """Some text of an answer.

    Attributes:
        text: that follows what came before.
        finish: why the server ended ("stop", "length"); None while it goes on.
    """

    text: str
    finish: str | None


class OpenAIClient:
    """Asks one server."""

    def __init__(self, options: BackendOptions) -> None:
        """Takes address and key; nothing is sent yet.

        Raises:
            EndpointError: if the address is none.
        """
        try:
            parts = urlsplit(options.url)
            port = parts.port
        except ValueError as error:
            raise EndpointError(f"{options.url!r} is no address: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise EndpointError(
                f"{options.url!r} is no address: give one such as http://localhost:8080/v1"
            )
        if parts.username or parts.password:
            raise EndpointError(
                f"the address holds a password; set the variable {options.key_variable} instead"
            )
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, port
        self._path = parts.path.rstrip("/") + "/completions"
        self._options = options
        self._key = _api_key(options.key_variable, parts.hostname)
        self.name = f"{parts.scheme}://{parts.netloc}{self._path}"

    def stream(
        self,
        prompt: str | Sequence[int],
        max_tokens: int,
        cancelled: Callable[[], bool],
        suffix: str | None = None,
    ) -> Generator[Piece, None, None]:
        """The likeliest continuation of `prompt`, piece by piece.

        Raises:
            EndpointCancelledError: within about `LOOK` seconds after `cancelled` answers True.
            EndpointError: if the server cannot be reached after all attempts, refuses, takes
                longer than the timeout, breaks off, or answers something else.
        """
        body: dict[str, Any] = {
            "prompt": prompt if isinstance(prompt, str) else list(prompt),
            "max_tokens": max_tokens,
            "temperature": 0,
            "stream": True,
        }
        if suffix is not None:
            body["suffix"] = suffix
        if self._options.served_model:
            body["model"] = self._options.served_model
        data = json.dumps(body).encode()
        deadline = time.monotonic() + self._options.timeout
        for attempt in range(1, max(1, self._options.attempts) + 1):
            begun = False
            try:
                for piece in self._once(data, deadline, cancelled):
                    begun = True
                    yield piece
                return
            except _TransientError as error:
                if begun or attempt >= self._options.attempts:
                    raise EndpointError(f"{self.name} {error}") from None
                wait = min(LONGEST_WAIT, max(error.wait, BACKOFF * 2 ** (attempt - 1)))
                self._sleep(wait * random.uniform(0.8, 1.2), deadline, cancelled)

    def _once(
        self, data: bytes, deadline: float, cancelled: Callable[[], bool]
    ) -> Generator[Piece, None, None]:
        call = _Call(self._connect(deadline), self._path, data, self._headers(), self._clean)
        try:
            while True:
                if cancelled():
                    raise EndpointCancelledError
                if time.monotonic() > deadline:
                    raise self._late()
                try:
                    item = call.items.get(timeout=LOOK)
                except Empty:
                    continue
                if item is None:
                    return
                if isinstance(item, Exception):
                    if isinstance(item, EndpointError):
                        raise EndpointError(f"{self.name} {item}") from None
                    raise item
                yield item
        finally:
            call.close()

    def _connect(self, deadline: float) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=max(0.1, deadline - time.monotonic()))

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        return headers

    def _clean(self, text: str) -> str:
        """What a server said, in a short line without the key."""
        if self._key:
            text = text.replace(self._key, "***")
        return " ".join(text.split())[:200]

    def _late(self) -> EndpointError:
        return EndpointError(f"{self.name} gave no whole answer in {self._options.timeout:g} s")

    def _sleep(self, seconds: float, deadline: float, cancelled: Callable[[], bool]) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if cancelled():
                raise EndpointCancelledError
            if time.monotonic() > deadline:
                raise self._late()
            time.sleep(LOOK)


class _TransientError(Exception):
    """Another attempt may succeed, after `wait` seconds."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class _Call:
    """One request, read in a thread, since a silent server must not hold up a cancellation.

    Attributes:
        items: what came: pieces, at last None or an error.
    """

    def __init__(
        self,
        connection: http.client.HTTPConnection,
        path: str,
        data: bytes,
        headers: dict[str, str],
        clean: Callable[[str], str],
    ) -> None:
        self.items: SimpleQueue[Piece | Exception | None] = SimpleQueue()
        self._connection = connection
        self._request = (path, data, headers)
        self._clean = clean
        self._closed = threading.Event()
        self._socket: socket.socket | None = None  # the connection may drop it before its end
        threading.Thread(target=self._run, name="parrotlet-endpoint", daemon=True).start()

    def close(self) -> None:
        """Ends the connection, at whatever point it is; the thread ends by itself."""
        self._closed.set()
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread where it reads

    def _run(self) -> None:
        try:
            self._read()
            self.items.put(None)
        except (EndpointError, _TransientError) as error:
            self.items.put(error)
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            self.items.put(_TransientError(f"cannot be used: {self._clean(reason)}"))
        except Exception as error:
            self.items.put(EndpointError(f"failed: {type(error).__name__}"))
        finally:
            self._connection.close()

    def _read(self) -> None:
        path, data, headers = self._request
        self._connection.connect()
        self._socket = self._connection.sock
        if self._closed.is_set():
            return
        self._connection.request("POST", path, data, headers)
        response = self._connection.getresponse()
        if response.status != 200:
            self._refused(response)
        elif "json" in response.headers.get_content_type():  # a server that does not stream
            self._take(response.read(_LONGEST_LINE).decode("utf-8", "replace"))
        else:
            self._read_events(response)

    def _read_events(self, response: http.client.HTTPResponse) -> None:
        finished = False
        while not self._closed.is_set():
            line = response.readline(_LONGEST_LINE)
            if not line:
                if finished:
                    return
                raise _TransientError("broke off its answer")
            text = line.decode("utf-8", "replace").strip()
            if text == "data: [DONE]" or text == "data:[DONE]":
                return
            if text.startswith("data:"):
                finished = self._take(text.removeprefix("data:")) or finished
            elif text and not text.startswith((":", "event:", "id:", "retry:")):
                raise EndpointError(f"answered something else: {self._clean(text)!r}")

    def _take(self, text: str) -> bool:
        """Passes an event on; whether it ends the answer."""
        try:
            content = json.loads(text)
            if isinstance(content, dict) and content.get("error"):
                message = f"failed: {self._clean(_message(content))}"
                if _code(content) in _RETRIED:
                    # llama.cpp has no room beside an answer that somebody has just left
                    raise _TransientError(message)
                raise EndpointError(message)
            choices = content["choices"]
            if not choices:
                return False  # figures of usage
            piece = Piece(str(choices[0].get("text") or ""), choices[0].get("finish_reason"))
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
            raise EndpointError(f"answered something else: {self._clean(text)!r}") from None
        self.items.put(piece)
        return piece.finish is not None

    def _refused(self, response: http.client.HTTPResponse) -> None:
        text = response.read(10_000).decode("utf-8", "replace")
        with suppress(ValueError, RecursionError):
            text = _message(json.loads(text))
        message = f"answered {response.status} {response.reason}: {self._clean(text)}"
        if response.status in _RETRIED:
            try:
                wait = max(0.0, float(response.headers.get("Retry-After", "0")))
            except ValueError:  # a date
                wait = LONGEST_WAIT
            raise _TransientError(message, wait)
        if response.status in (401, 403):
            message += " (is the key right?)"
        raise EndpointError(message)


def _message(content: Any) -> str:
    error = content.get("error", content) if isinstance(content, dict) else content
    return str(error.get("message", error) if isinstance(error, dict) else error)


def _code(content: dict[str, Any]) -> int:
    """The status that an error within an answer tells; 0 if none."""
    error = content["error"]
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) else 0


def _api_key(variable: str, host: str) -> str | None:
    """The key of the environment or of the keyring; None if there is none."""
    key = os.environ.get(variable, "").strip() if variable else ""
    if not key:
        try:
            import keyring
        except ImportError:
            return None
        try:
            key = (keyring.get_password(_SERVICE, host) or "").strip()
        except Exception:  # a keyring that is locked or not there, each with errors of its own
            return None
    if any(sign in key for sign in "\r\n\0") or not key.isascii():
        raise EndpointError("the key holds signs that no key has")
    return key or None
