"""The real server over its standard input and output: how soon it is ready, and what it uses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parrotlet_server.lsp.framing import FrameReader
from parrotlet_server.usage import DATA_VARIABLE

from ..crew import peak_memory
from ..errors import BenchmarkError

SETTLE = 1.0
"""Seconds after the last answer until the server counts as idle."""

URI = "file:///bench.py"
TEXT = "import os\n\n\ndef first(values):\n    return "

CANCELLED = 40
"""Requests that are taken back."""

LATEST = 0.12
"""Seconds after a request until it is taken back, at most: it may be read or written by then."""

WATCHED = 0.25
"""Seconds that the server is watched after that."""

WORKING = 2e-4
"""Seconds of a processor within a millisecond: less is the measuring itself."""


@dataclass(frozen=True)
class ServerFigures:
    """What was seen of a server process.

    Attributes:
        ready: seconds from its start until the model was ready, by its own message.
        suggested: seconds from its start until the first suggestion was there.
        idle: processor seconds a second while nothing is asked; None where it cannot be told.
        memory: most bytes held.
        cancelled: seconds from each ``$/cancelRequest`` until the process did nothing any more;
            requests that had been answered by then are left out.
    """

    ready: float
    suggested: float
    idle: float | None
    memory: int
    cancelled: tuple[float, ...] = ()


def measure_server(model: str | None, seconds: float) -> ServerFigures:
    """Starts a server, asks for one suggestion, and watches it idle for `seconds`, if any.

    Then requests with long prompts are taken back, each after another while.

    Raises:
        BenchmarkError: if it ends, or has no model.
    """
    with closing(_Server(model)) as server:
        ready = server.ready()
        suggested = server.suggest()
        if not seconds:
            return ServerFigures(ready, suggested, None, server.peak_memory())
        time.sleep(SETTLE)
        before, begin = server.processor_seconds(), time.perf_counter()
        time.sleep(seconds)
        after, wall = server.processor_seconds(), time.perf_counter() - begin
        idle = None if before is None or after is None else (after - before) / wall
        memory = server.peak_memory()
    return ServerFigures(ready, suggested, idle, memory, _cancelled(model) if before else ())


def _cancelled(model: str | None) -> tuple[float, ...]:
    # of a server that does not look now and then whether its editor is still there: that is work
    # too, of a millisecond, and would be taken for the request's
    with closing(_Server(model, is_watched=False)) as server:
        server.ready()
        server.suggest()
        tries = [server.cancel(number) for number in range(CANCELLED)]
        return tuple(seconds for seconds in tries if seconds is not None)


class _Server:
    def __init__(self, model: str | None, is_watched: bool = True) -> None:
        self._editor = os.getpid() if is_watched else None
        # what is shown here shall not count as the user's own
        self._data = tempfile.TemporaryDirectory(prefix="parrotlet-bench-")
        self._begin = time.perf_counter()
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "parrotlet_server",
                "serve",
                *(["--model", model] if model else []),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, DATA_VARIABLE: self._data.name},
        )
        assert self._process.stdout is not None
        self._frames = FrameReader.of_descriptor(self._process.stdout.fileno())

    def ready(self) -> float:
        self._send(
            "initialize",
            {
                "processId": self._editor,
                "rootUri": None,
                "capabilities": {"textDocument": {"inlineCompletion": {}}},
                # what is asked for is worked on at once, and nothing else is
                "initializationOptions": {"debounce": 0, "prefetch": False, "recall": "file"},
            },
            1,
        )
        self._send("initialized", {})
        while True:
            message = self._receive()
            if message.get("method") == "parrotlet/status":
                status = message["params"]
                if status["state"] == "error":
                    raise BenchmarkError(f"the server has no model: {status.get('message')}")
                if status["state"] == "ready":
                    return time.perf_counter() - self._begin

    def suggest(self) -> float:
        self._ask(URI, TEXT, 2)
        while self._receive().get("id") != 2:
            pass
        return time.perf_counter() - self._begin

    def cancel(self, number: int) -> float | None:
        """Takes a request back; seconds until the process rests, None if it was answered before."""
        # words that no other text has, so that all of it has to be read
        lines = [f"value_{number}_{at} = other_{at * 7 % 100}({at}, {number})" for at in range(100)]
        identity, uri = 10 + number, f"file:///bench/{number}.py"
        self._ask(uri, "\n".join([*lines, "def f(", ""]), identity)
        # spread evenly, so that the model is met while it reads and while it writes
        time.sleep(LATEST * (number * 17 % CANCELLED) / CANCELLED)
        self._send("$/cancelRequest", {"id": identity})
        began = rested = time.perf_counter()
        used = self.processor_seconds()
        now = began
        while now < began + WATCHED:
            time.sleep(0.001)
            before, used = used, self.processor_seconds()
            now = time.perf_counter()
            if before is None or used is None:
                raise BenchmarkError("the server ended while a request was taken back")
            if used - before > WORKING:
                rested = now
        while (answer := self._receive()).get("id") != identity:
            pass
        return rested - began if "error" in answer else None

    def _ask(self, uri: str, text: str, identity: int) -> None:
        document = {"uri": uri, "languageId": "python", "version": 1, "text": text}
        self._send("textDocument/didOpen", {"textDocument": document})
        lines = text.split("\n")
        place = {"line": len(lines) - 1, "character": len(lines[-1])}
        asked = {"textDocument": {"uri": uri}, "position": place, "context": {"triggerKind": 1}}
        self._send("textDocument/inlineCompletion", asked, identity)

    def processor_seconds(self) -> float | None:
        """So far, of all its threads."""
        files = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        # nanoseconds: the ticks of ``stat`` are too coarse to tell next to nothing from nothing
        times = []
        for file in files:
            with suppress(FileNotFoundError, ProcessLookupError):  # a thread has just ended
                times.append(int(file.read_text(encoding="ascii").split()[0]))
        return sum(times) / 1e9 if times else None

    def peak_memory(self) -> int:
        return peak_memory(self._process.pid)

    def _send(self, method: str, params: Any, identity: int | None = None) -> None:
        assert self._process.stdin is not None
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        if identity is not None:
            message["id"] = identity
        body = json.dumps(message).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        frame = self._frames.next()
        if frame is None:
            raise BenchmarkError("the server ended before it was ready: try `parrotlet doctor`")
        message: dict[str, Any] = json.loads(frame)
        return message

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.communicate()
        self._data.cleanup()
