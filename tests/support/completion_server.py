"""A server of OpenAI's ``/v1/completions`` over a real model of ours, with faults on demand.

It takes token ids, or text that it encodes itself, streams a token at a time and stops writing as
soon as the client has gone.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from parrotlet_server.backends.onnx import OnnxBackend
from parrotlet_server.bundle import open_bundle
from parrotlet_tokenizer.specials import END_OF_TEXT_ID

FAULTS = (
    "500",
    "429",
    "refused",
    "hang",
    "slow",
    "garbage",
    "html",
    "cut",
    "error",
    "whole",
    "none",
)


class CompletionServer(ThreadingHTTPServer):
    """The server and what is known of it.

    `faults` are taken one by each request: "500" and "429" are answers; "refused" closes at once,
    "hang" says nothing, "slow" takes 0.2 s a token, "garbage", "html" and "none" are no
    completions, "cut" breaks off, "error" fails within the stream, "whole" does not stream.
    """

    daemon_threads = True

    def __init__(self, bundle: Path, key: str | None = None) -> None:
        opened = open_bundle(bundle)
        self.tokenizer = opened.tokenizer
        self.backend = OnnxBackend(opened.model_file, 1)
        self.key = key
        self.requests: list[dict] = []
        self.headers: list[dict] = []
        self.faults: list[str] = []
        self.written = 0
        self.gone = threading.Event()
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


@contextmanager
def serving(bundle: Path, key: str | None = None):
    server = CompletionServer(bundle, key)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    server: CompletionServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(body)
        self.server.headers.append(dict(self.headers))
        fault = self.server.faults.pop(0) if self.server.faults else ""
        if self.path != "/v1/completions":
            return self.plain(404, {"error": {"message": "no such page"}})
        given = self.headers.get("Authorization", "")
        if self.server.key and given != f"Bearer {self.server.key}":
            return self.plain(401, {"error": {"message": f"wrong key in {given!r}"}})
        if fault in ("500", "429"):
            return self.plain(int(fault), {"error": {"message": "out of order"}})
        if fault == "refused":
            self.close_connection = True
            return self.connection.close()
        if fault == "html":
            return self.plain(200, "<html>welcome</html>", "text/html")
        if fault == "none":
            return self.plain(200, {"object": "list"})
        if fault == "hang":
            return self.wait()
        with suppress(BrokenPipeError, ConnectionResetError), self.server.lock:
            return self.stream(body, fault)
        self.server.gone.set()
        return None

    def plain(self, status, content, kind="application/json"):
        data = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def wait(self):
        """Nothing, until the client goes."""
        self.connection.settimeout(30)
        with suppress(OSError):
            self.connection.recv(1)
        self.server.gone.set()
        self.close_connection = True

    def stream(self, body, fault):
        ids = body["prompt"]
        if isinstance(ids, str):
            ids = self.server.tokenizer.encode(ids)[-300:]
        if fault == "whole":
            text = b"".join(self.server.tokenizer.token_bytes[t] for t in self.tokens(ids, body))
            choice = {"text": text.decode("utf-8", "replace"), "finish_reason": "stop"}
            return self.plain(200, {"choices": [choice]})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        self.wfile.write(b": a comment\n\n")
        held = b""
        number = 0
        for number, token in enumerate(self.tokens(ids, body), 1):
            if number == 2 and fault == "cut":
                return None
            if number == 2 and fault == "garbage":
                self.wfile.write(b"data: {nonsense\n\n")
            if number == 2 and fault == "error":
                self.event({"error": {"message": "the model fell over"}})
            if fault == "slow":
                time.sleep(0.2)
            held += self.server.tokenizer.token_bytes[token]
            try:
                text, held = held.decode(), b""
            except UnicodeDecodeError:
                continue
            self.event({"choices": [{"index": 0, "text": text, "finish_reason": None}]})
        reason = "length" if number == body["max_tokens"] else "stop"
        self.event({"choices": [{"index": 0, "text": "", "finish_reason": reason}]})
        self.event({"choices": [], "usage": {"completion_tokens": number}})
        self.wfile.write(b"data: [DONE]\n\n")
        return None

    def event(self, content):
        self.wfile.write(b"data: " + json.dumps(content).encode() + b"\n\n")
        self.wfile.flush()

    def tokens(self, ids, body):
        """The greedy continuation."""
        state = self.server.backend.new_state()
        logits = self.server.backend.evaluate(state, 0, ids)
        for _ in range(body["max_tokens"]):
            token = int(logits.argmax())
            if token == END_OF_TEXT_ID:
                return
            self.server.written += 1
            yield token
            if len(state.tokens) == self.server.backend.context_length:
                return
            logits = self.server.backend.evaluate(state, len(state.tokens), [token])
