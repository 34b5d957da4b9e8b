"""A language client that holds nothing back: it may send any bytes, and keeps all it receives."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager, suppress

PATIENCE = float(os.environ.get("PARROTLET_TEST_PATIENCE", "30"))
"""Seconds to wait for an answer; a busy machine may need more."""

CAPABILITIES = {
    "general": {"positionEncodings": ["utf-16"]},
    "window": {"workDoneProgress": True},
    "workspace": {"configuration": True, "didChangeConfiguration": {"dynamicRegistration": True}},
    "textDocument": {"inlineCompletion": {"dynamicRegistration": True}},
}


class Conversation:
    """A client's end of a talk, whatever carries it.

    `settings` is what the client answers to ``workspace/configuration``; a `mute` one answers no
    request at all. All messages of the server are in `messages`, in the order they came.
    """

    def __init__(self, settings=None, mute=False):
        # models of tests are unsure of most of what they write
        self.settings = {"minimumScore": "all", **(settings or {})}
        self.messages = []
        self._replies = defaultdict(list)
        self.seconds = {}
        self._mute = mute
        self._next_id = 0
        self._sent_at = {}
        self._ended = False
        self._change = threading.Condition()

    # sending

    def send_bytes(self, data):
        raise NotImplementedError

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
        return list(self._replies[identity])

    def notifications(self, method):
        """The parameters of all notifications and requests of a method so far."""
        return [m["params"] for m in self.messages if m.get("method") == method]

    # sessions

    def initialize(self, capabilities=None, options=None, **params):
        """The handshake; the model begins to load after it."""
        result = self.call(
            "initialize",
            {
                "processId": None,
                "rootUri": None,
                "capabilities": CAPABILITIES if capabilities is None else capabilities,
                # for the editors that are asked nothing
                "initializationOptions": self.settings if options is None else options,
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

    def leave(self):
        """Ends the session properly and waits until the server has closed the connection."""
        self.call("shutdown")
        self.notify("exit")
        self.wait_for_the_end()

    def wait_for_the_end(self, timeout=PATIENCE):
        """Waits until nothing more can come."""
        with self._change:
            assert self._change.wait_for(lambda: self._ended, timeout), self._trouble()

    def _trouble(self):
        return f"{len(self.messages)} messages came"

    def _read_messages(self, stream):
        with suppress(OSError):  # reset by the other side
            while (message := read_frame(stream)) is not None:
                self._take(message)
        self._finish()

    def _take(self, message):
        if "method" in message and "id" in message and not self._mute:
            self._answer(message)
        with self._change:
            if "method" not in message and message["id"] in self._sent_at:
                sent_at = self._sent_at[message["id"]]
                self.seconds[message["id"]] = time.monotonic() - sent_at
            self.messages.append(message)
            if "method" not in message:
                self._replies[message["id"]].append(message)
            self._change.notify_all()

    def _finish(self):
        with self._change:
            self._ended = True
            self._change.notify_all()

    def _answer(self, message):
        result = None
        if message["method"] == "workspace/configuration":
            result = [self.settings for _ in message["params"]["items"]]
        with suppress(OSError, ValueError):  # the server has ended meanwhile
            self.send({"id": message["id"], "result": result})


class Process:
    """A server process."""

    def __init__(self, *arguments, env=None, stdin=subprocess.PIPE):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "parrotlet_server", "serve", *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )
        self._stderr = []
        self._threads = [threading.Thread(target=self._read_stderr, daemon=True)]
        self._threads[0].start()

    def stderr(self):
        return b"".join(self._stderr).decode()

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
                if stream is not None:
                    stream.close()

    def _read_stderr(self):
        for line in self.process.stderr:
            self._stderr.append(line)


class Client(Process, Conversation):
    """A server process on pipes, and both ends of the talk with it."""

    def __init__(self, *arguments, env=None, settings=None, mute=False):
        Conversation.__init__(self, settings, mute)
        Process.__init__(self, *arguments, env=env)
        reading = threading.Thread(
            target=self._read_messages, args=[self.process.stdout], daemon=True
        )
        self._threads.append(reading)
        reading.start()

    def send_bytes(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def shut_down(self, timeout=PATIENCE):
        """Ends the session properly and gives the exit code."""
        self.call("shutdown")
        self.notify("exit")
        return self.end(timeout)

    def _trouble(self):
        return f"exit code {self.process.poll()}, stderr: {self.stderr()[-2000:]}"


class Listening(Process):
    """A server process behind ports: `addresses` is where, by scheme."""

    def __init__(self, *arguments, env=None):
        super().__init__(*arguments, env=env, stdin=subprocess.DEVNULL)
        self.addresses = {}
        for option, scheme in (("--tcp", "tcp"), ("--websocket", "ws")):
            if option in arguments:
                line = self.process.stdout.readline().decode()
                assert line.startswith(f"listening on {scheme}://"), line + self.stderr()
                host, _, port = line.strip().partition("://")[2].rpartition(":")
                self.addresses[scheme] = (host.strip("[]"), int(port))

    def connect(self, scheme, token=None, **options):
        """A client of this server; by TCP, the token goes with the handshake."""
        kind = {"tcp": TcpClient, "ws": WebSocketClient}[scheme]
        return kind(self.addresses[scheme], token=token, **options)

    def terminate(self):
        """Ends the process as a system does and gives the exit code."""
        self.process.terminate()
        return self.end()


class TcpClient(Conversation):
    """A client on a socket."""

    def __init__(self, address, token=None, **options):
        super().__init__(**options)
        self._token = token
        self.socket = socket.create_connection(address)
        stream = self.socket.makefile("rb")
        threading.Thread(target=self._read_messages, args=[stream], daemon=True).start()

    def send_bytes(self, data):
        self.socket.sendall(data)

    def initialize(self, options=None, **arguments):
        if self._token is not None:
            options = {**(options or {}), "token": self._token}
        return super().initialize(options=options, **arguments)

    def close(self):
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class WebSocketClient(Conversation):
    """A client on a WebSocket; each message is one of the socket's."""

    def __init__(self, address, token=None, query="", headers=None, **options):
        super().__init__(**options)
        from websockets.sync.client import connect

        headers = dict(headers or {})
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        host, port = address
        self._open = ExitStack()
        self.socket = self._open.enter_context(
            connect(
                f"ws://{host}:{port}/{query}",
                additional_headers=headers,
                compression=None,
                max_size=None,
                proxy=None,
            )
        )
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, *messages):
        for message in messages:
            self.socket.send(json.dumps({"jsonrpc": "2.0", **message}))

    def send_bytes(self, data):
        self.socket.send(data)

    def close(self):
        self._open.close()

    def _read(self):
        from websockets.exceptions import ConnectionClosed

        with suppress(ConnectionClosed):
            while True:
                data = self.socket.recv()
                assert isinstance(data, str), "a browser's client expects text"
                self._take(json.loads(data))
        self._finish()


def read_frame(stream):
    """The next message, or None at the end; anything else on the way is an AssertionError."""
    length = None
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        assert value, f"not a header: {line!r}"
        if name.lower() == b"content-length":
            length = int(value)
    return json.loads(stream.read(length)) if line else None


@contextmanager
def client(*arguments, **options):
    """A client whose server is ended, one way or the other, after the block."""
    session = Client(*arguments, **options)
    try:
        yield session
    finally:
        session.kill()


@contextmanager
def listening(*arguments, **options):
    """A server behind ports, which is ended after the block."""
    server = Listening(*arguments, **options)
    try:
        yield server
    finally:
        server.kill()


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
