"""A real ``llama-server`` on a port of this machine, to be stopped, killed and started again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PROGRAM = os.environ.get("PARROTLET_LLAMA_SERVER", str(ROOT / ".cache/peers/bin/llama-server"))
PATIENCE = 120.0


class LlamaServer:
    """The server of one GGUF; what it writes is kept in the file `log`."""

    def __init__(self, model: Path, log: Path, key: str = "") -> None:
        """Takes a free port, which it keeps over restarts; nothing runs yet."""
        self.log = log
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._key = key
        self._command = [PROGRAM, "--model", str(model), "--host", "127.0.0.1"]
        self._command += ["--port", str(self.port), "--threads", "1", "--slots"]
        # its code for AMX (int8 tiles) crashes where the compiler drops their configuration
        self._command += ["--no-repack"]
        if key:
            self._command += ["--api-key", key]
        # as our engine keeps them; half precision would turn near-ties
        self._command += ["--cache-type-k", "f32", "--cache-type-v", "f32"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, and returns once it is ready to complete."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        deadline = time.monotonic() + PATIENCE
        while not self._is_healthy():
            assert self._process.poll() is None, self._tail()
            assert time.monotonic() < deadline, self._tail()
            time.sleep(0.05)

    def freeze(self) -> None:
        """Connections are taken by the system, but nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Goes on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends it at once, in whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    def complete(self, prompt: Sequence[int], max_tokens: int) -> str:
        """The greedy continuation, asked without any part of ours."""
        body = {"prompt": list(prompt), "max_tokens": max_tokens, "temperature": 0}
        answer = self._call("/v1/completions", body)
        text = answer["choices"][0]["text"]
        assert isinstance(text, str)
        return text

    def is_busy(self) -> bool:
        """Whether it is writing an answer."""
        return any(slot["is_processing"] for slot in self._call("/slots"))

    def _is_healthy(self) -> bool:
        try:
            return bool(self._call("/health") == {"status": "ok"})
        except (OSError, ValueError):  # not there yet, or loading
            return False

    def _call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode() if body else None
        )
        for name, value in headers.items():
            request.add_header(name, value)
        # a proxy of the environment has no business here
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=PATIENCE) as response:
            return json.load(response)

    def _tail(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-3000:]


@contextmanager
def serving(model: Path, log: Path, key: str = "") -> Generator[LlamaServer, None, None]:
    """A server that runs and is gone afterwards."""
    server = LlamaServer(model, log, key)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
