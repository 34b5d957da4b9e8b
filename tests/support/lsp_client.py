"""A language client that holds nothing back: it may send any bytes, and keeps all it receives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress

PATIENCE = float(os.environ.get("PARROTLET_TEST_PATIENCE", "30"))
"""Seconds to wait for an answer; a busy machine may need more."""

CAPABILITIES = {
    "general": {"positionEncodings": ["utf-16"]},
    "window": {"workDoneProgress": True},
    "workspace": {"configuration": True, "didChangeConfiguration": {"dynamicRegistration": True}},
    "textDocument": {"inlineCompletion": {"dynamicRegistration": True}},
}


class Client:
    """A server process and both ends of the talk with it.

    `settings` is what the client answers to ``workspace/configuration``; a `mute` one answers no
    request at all. All messages of the server are in `messages`, in the order they came.
    """

    def __init__(self, *arguments, env=None, settings=None, mute=False):
        self.settings = {} if settings is None else settings
        self.messages = []
        self.seconds = {}
        self._mute = mute
        self._next_id = 0
        self._sent_at = {}
        self._ended = False
        self._change = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "parrotlet_server", "serve", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )
        self._stderr = []
        self._threads = [
            threading.Thread(target=target, daemon=True)
            for target in (self._read_messages, self._read_stderr)
        ]
        for thread in self._threads:
            thread.start()

    # sending

    def send_bytes(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, *messages):
        """Sends messages in one write."""
        frames = []
        for message in messages:
            body = json.dumps({"jsonrpc": "2.0", **message}).encode()
            frames.append(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self.send_bytes(b"".join(frames))

    def notify(self, method, params=None):
        self.send(notification(method, params))

    def request(self, method, params=None):
        """Sends a request and gives its id."""
        message = self.make_request(method, params)
        self.send(message)
        return message["id"]

    def make_request(self, method, params=None):
        """A request that is not sent yet."""
        self._next_id += 1
        self._sent_at[self._next_id] = time.monotonic()
        return {"id": self._next_id, **notification(method, params)}

    def call(self, method, params=None):
        """Sends a request and gives its result; an error reply is an AssertionError."""
        reply = self.reply(self.request(method, params))
        assert "error" not in reply, reply
        return reply["result"]

    # receiving

    def wait(self, condition, timeout=PATIENCE):
        """What `condition` gives once it is true; it is asked after each message."""
        deadline = time.monotonic() + timeout
        with self._change:
            while not (value := condition()):
                left = deadline - time.monotonic()
                if left <= 0 or self._ended or not self._change.wait(left):
                    raise AssertionError(f"nothing within {timeout} s; {self._trouble()}")
            return value

    def wait_until(self, condition, timeout=PATIENCE):
        """Asks `condition`, which may itself talk to the server, until it is true."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, self._trouble()
            time.sleep(0.02)

    def reply(self, identity, timeout=PATIENCE):
        """The reply to the request of that id, once it is there."""
        return self.wait(lambda: next(iter(self.replies(identity)), None), timeout)

    def replies(self, identity):
        """All replies to the request of that id so far."""
        return [m for m in self.messages if "method" not in m and m.get("id") == identity]

    def notifications(self, method):
        """The parameters of all notifications and requests of a method so far."""
        return [m["params"] for m in self.messages if m.get("method") == method]

    def stderr(self):
        return b"".join(self._stderr).decode()

    # sessions

    def initialize(self, capabilities=None, options=None, **params):
        """The handshake; the model begins to load after it."""
        result = self.call(
            "initialize",
            {
                "processId": None,
                "rootUri": None,
                "capabilities": CAPABILITIES if capabilities is None else capabilities,
                "initializationOptions": options,
                **params,
            },
        )
        self.notify("initialized", {})
        return result

    def start(self, **arguments):
        """The handshake, and the wait for the model."""
        result = self.initialize(**arguments)
        self.wait_for_state("ready")
        return result

    def states(self):
        return [status["state"] for status in self.notifications("parrotlet/status")]

    def wait_for_state(self, state):
        self.wait(lambda: self.states()[-1:] == [state])

    def open(self, uri, text, language="python"):
        self.notify(
            "textDocument/didOpen",
            {"textDocument": {"uri": uri, "languageId": language, "version": 1, "text": text}},
        )

    def change(self, uri, *changes, version=2):
        self.notify("textDocument/didChange", did_change(uri, *changes, version=version))

    def inline(self, uri, line, character):
        """The items of an inline completion."""
        return self.call("textDocument/inlineCompletion", at(uri, line, character))

    def shut_down(self, timeout=PATIENCE):
        """Ends the session properly and gives the exit code."""
        self.call("shutdown")
        self.notify("exit")
        return self.end(timeout)

    def end(self, timeout=PATIENCE):
        """Waits for the process to end by itself and gives its exit code."""
        code = self.process.wait(timeout)
        for thread in self._threads:
            thread.join(timeout)
        return code

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for thread in self._threads:
            thread.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with suppress(BrokenPipeError):
                stream.close()

    def _trouble(self):
        return f"exit code {self.process.poll()}, stderr: {self.stderr()[-2000:]}"

    def _read_messages(self):
        stream = self.process.stdout
        while True:
            length = None
            while (line := stream.readline()) not in (b"\r\n", b""):
                name, _, value = line.partition(b":")
                assert value, f"not a header: {line!r}"
                if name.lower() == b"content-length":
                    length = int(value)
            if not line:
                break
            message = json.loads(stream.read(length))
            if "method" in message and "id" in message and not self._mute:
                self._answer(message)
            with self._change:
                if "method" not in message and message["id"] in self._sent_at:
                    sent_at = self._sent_at[message["id"]]
                    self.seconds[message["id"]] = time.monotonic() - sent_at
                self.messages.append(message)
                self._change.notify_all()
        with self._change:
            self._ended = True
            self._change.notify_all()

    def _answer(self, message):
        result = None
        if message["method"] == "workspace/configuration":
            result = [self.settings for _ in message["params"]["items"]]
        with suppress(BrokenPipeError, ValueError):  # the server has ended meanwhile
            self.send({"id": message["id"], "result": result})

    def _read_stderr(self):
        for line in self.process.stderr:
            self._stderr.append(line)


@contextmanager
def client(*arguments, **options):
    """A client whose server is ended, one way or the other, after the block."""
    session = Client(*arguments, **options)
    try:
        yield session
    finally:
        session.kill()


def notification(method, params=None):
    return {"method": method} if params is None else {"method": method, "params": params}


def at(uri, line, character, **context):
    """Parameters of a request for a completion."""
    return {
        "textDocument": {"uri": uri},
        "position": {"line": line, "character": character},
        "context": {"triggerKind": 1, **context},
    }


def did_change(uri, *changes, version=2):
    """Parameters of ``textDocument/didChange``; a change is (start, end, text) or a whole text."""
    return {
        "textDocument": {"uri": uri, "version": version},
        "contentChanges": [
            {"text": change}
            if isinstance(change, str)
            else {"range": span(change[0], change[1]), "text": change[2]}
            for change in changes
        ],
    }


def span(start, end):
    """A range between (line, character) pairs."""
    return {
        "start": {"line": start[0], "character": start[1]},
        "end": {"line": end[0], "character": end[1]},
    }
