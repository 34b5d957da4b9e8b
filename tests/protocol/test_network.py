"""Several clients of one process, by TCP and by WebSocket."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from contextlib import ExitStack, contextmanager

import psutil
import pytest

from parrotlet_server.lsp.host import MOST_UNSENT, Outbox

from ..support.lsp_client import PATIENCE, Process, at, listening
from ..support.malformed import messages
from ..support.slow_model import slow_bundle

websockets = pytest.importorskip("websockets")

TOKEN = "0123456789abcdef-a-token"
SCHEMES = ("tcp", "ws")
LINE = "def square_area(side):\n    return side * "
URI = "file:///shapes.py"


@contextmanager
def serving(model, *arguments, token=None):
    """A server behind both kinds of port, which leaves no traceback behind."""
    ports = ("--tcp", "0", "--websocket", "0", "--model", model)
    with listening(*ports, *arguments, env={"PARROTLET_TOKEN": token or ""}) as server:
        yield server
        assert server.terminate() == 0
        assert "Traceback" not in server.stderr()


@pytest.fixture(scope="module")
def server(model):
    with serving(model) as server:
        yield server


@pytest.fixture(scope="module")
def guarded(model):
    with serving(model, token=TOKEN) as server:
        yield server


@pytest.fixture
def connect():
    """Connects clients, and closes them after the test."""
    with ExitStack() as stack:

        def connect(server, scheme, **options):
            client = server.connect(scheme, **options)
            stack.callback(client.close)
            return client

        yield connect


def suggests(client, text=LINE, uri=URI):
    """What is suggested at the end of `text`."""
    client.open(uri, text)
    lines = text.split("\n")
    items = client.inline(uri, len(lines) - 1, len(lines[-1]))
    return items[0]["insertText"] if items else None


@pytest.mark.parametrize("scheme", SCHEMES)
def test_two_clients_at_once(server, connect, scheme):
    one, other = (connect(server, scheme) for _ in range(2))
    other.settings = {"multiline": "never"}
    one.start(rootUri="file:///one")
    other.start(rootUri="file:///other", capabilities=None)
    numbers = "def is_prime(number):\n    "
    uri = "file:///numbers.py"
    # each has its own text of a file, settings and counts
    for client in (one, other):
        client.open(uri, numbers)
    assert suggests(one) == "side"
    assert "\n" in one.inline(uri, 1, 4)[0]["insertText"]
    assert "\n" not in other.inline(uri, 1, 4)[0]["insertText"]
    assert other.inline(URI, 1, 18) is None  # not open there
    assert one.call("parrotlet/statistics")["requests"] == 2
    assert other.call("parrotlet/statistics")["requests"] == 1
    one.leave()
    assert suggests(other) == "side"
    other.leave()


def test_clients_of_both_kinds_share_one_model(connect):
    model = slow_bundle()
    with serving(str(model)) as server:
        process = psutil.Process(server.process.pid)
        one, other = (connect(server, scheme) for scheme in SCHEMES)
        one.start()
        suggests(one, "number = ")
        before = process.memory_info().rss
        other.start()
        suggests(other, "name = ")
        assert process.memory_info().rss - before < (model / "model.onnx").stat().st_size / 2
        one.leave()
        other.leave()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_client_that_goes_away(server, connect, scheme):
    process = psutil.Process(server.process.pid)
    stays = connect(server, scheme)
    stays.start()
    assert suggests(stays) == "side"

    def held():
        return process.num_threads(), process.num_fds()

    before = held()
    for number in range(10):
        goes = connect(server, scheme)
        goes.start()
        goes.open(URI, LINE)
        goes.request("textDocument/inlineCompletion", at(URI, 1, 18))
        if number % 2 or scheme == "tcp":  # without a word
            raw = goes.socket if scheme == "tcp" else goes.socket.socket
            raw.shutdown(socket.SHUT_RDWR)
        goes.close()
    stays.wait_until(lambda: all(now <= then for now, then in zip(held(), before, strict=True)))
    assert suggests(stays, LINE, "file:///again.py") == "side"
    stays.leave()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_malformed_messages_of_one_client(server, connect, scheme):
    stays, other = connect(server, scheme), connect(server, scheme)
    for client in (stays, other):
        client.start()
    expected = []
    for wrong in messages(seed=5, count=300):
        body = wrong.data.partition(b"\r\n\r\n")[2]
        is_whole = wrong.data.count(b"Content-Length") == 1 and wrong.answered
        if scheme == "tcp":
            other.send_bytes(wrong.data)
        else:
            other.send_bytes(body)
        if scheme == "tcp" or is_whole:
            expected += wrong.answered
    other.wait(lambda: all(other.replies(identity) for identity in expected))
    assert suggests(stays) == "side"

    def told(client):
        return [log["message"] for log in client.notifications("window/logMessage")]

    # what is logged of one client is not the other's business
    assert any("refused a message" in line for line in told(other))
    assert not any("refused a message" in line for line in told(stays))
    stays.leave()


def test_a_flood_does_not_starve_others(connect):
    """One client asks without end, each time at another place; the other one is served as well."""
    with serving(str(slow_bundle())) as server:
        flood, quiet = connect(server, "tcp"), connect(server, "ws")
        for client in (flood, quiet):
            client.start()
        over = threading.Event()
        text = "".join(f"value_{n} = {n}\n" for n in range(400))
        flood.open(URI, text)

        def pour():
            number = 0
            while not over.is_set():
                number += 1
                flood.change(URI, ((0, 0), (0, 0), "x" if number % 40 else "\n"))
                flood.request("textDocument/inlineCompletion", at(URI, number % 400, 3))
                time.sleep(0.002)

        pouring = threading.Thread(target=pour)
        pouring.start()
        try:
            for number in range(5):
                assert suggests(quiet, f"number_{number} = ", f"file:///{number}.py")
            assert pouring.is_alive()
        finally:
            over.set()
            pouring.join()
        assert flood.call("parrotlet/statistics")["runs"] > 0
        assert quiet.call("parrotlet/statistics")["superseded"] == 0


def test_a_client_that_does_not_read(server, connect):
    deaf = socket.create_connection(server.addresses["tcp"])
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "x" * 400}).encode()
    deaf.setblocking(False)
    frame = b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    sent = 0
    while sent < 40 * 2**20:
        try:
            sent += deaf.send(frame * 100)
        except BlockingIOError:
            break  # the server does not read either
    hears = connect(server, "tcp")
    hears.start()
    assert suggests(hears) == "side"
    deaf.close()
    hears.leave()


async def test_one_who_never_reads_is_dropped():
    dropped, never, taken = asyncio.Event(), asyncio.Event(), []

    async def send(data):
        taken.append(data)
        await never.wait()

    outbox = Outbox(send, dropped.set)
    piece = bytes(2**20)
    for _ in range(MOST_UNSENT // len(piece)):
        outbox.write(piece)
        await asyncio.sleep(0)
    assert len(taken) == 1
    assert not dropped.is_set()
    outbox.write(piece)
    assert dropped.is_set()
    await outbox.finish()


# the token


def handshake(**options):
    return {
        "id": 1,
        "method": "initialize",
        "params": {"capabilities": {}, "initializationOptions": options},
    }


@pytest.mark.parametrize(
    "first",
    [
        handshake(),
        handshake(token="another token than this"),
        handshake(token=None),
        handshake(token=[TOKEN]),
        handshake(token=TOKEN[:-1]),
        {"id": 1, "method": "parrotlet/statistics", "params": {"token": TOKEN}},
        {"id": 1, "method": "shutdown", "params": {"initializationOptions": {"token": TOKEN}}},
        {"method": "exit"},
    ],
)
def test_without_the_token_nothing_is_answered(guarded, connect, first):
    client = connect(guarded, "tcp")
    client.send(first)
    client.wait_for_the_end()
    assert client.messages == []


@pytest.mark.parametrize("place", [{"token": TOKEN}, {"parrotlet": {"token": TOKEN}}])
def test_the_token_stands_in_the_handshake(guarded, connect, place):
    client = connect(guarded, "tcp")
    client.start(options=place)
    assert suggests(client) == "side"
    client.leave()
    assert TOKEN not in guarded.stderr()


@pytest.mark.parametrize(
    "given",
    [
        {"token": TOKEN},
        {"query": f"?token={TOKEN}"},
        {"headers": {"Authorization": f"bearer {TOKEN}"}},
        {"token": TOKEN, "headers": {"Origin": "https://editor.example"}},
    ],
)
def test_a_websocket_with_the_token(guarded, connect, given):
    client = connect(guarded, "ws", **given)
    client.start()
    assert suggests(client) == "side"
    client.leave()


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({}, 401),
        ({"token": "another token than this"}, 401),
        ({"token": "ü" * 20}, 401),
        ({"query": f"?token={TOKEN}x"}, 401),
        ({"headers": {"Authorization": f"Basic {TOKEN}"}}, 401),
        ({"headers": {"Origin": "http://localhost"}}, 401),
    ],
)
def test_a_websocket_without_the_token(guarded, given, status):
    with pytest.raises(websockets.exceptions.InvalidStatus) as caught:
        guarded.connect("ws", **given)
    assert caught.value.response.status_code == status


@pytest.mark.parametrize("origin", ["http://localhost:3000", "null", "https://evil.example"])
def test_a_web_page_needs_a_token(server, origin):
    with pytest.raises(websockets.exceptions.InvalidStatus) as caught:
        server.connect("ws", headers={"Origin": origin})
    assert caught.value.response.status_code == 403
    assert b"PARROTLET_TOKEN" in caught.value.response.body


@pytest.mark.parametrize("kind", SCHEMES)
@pytest.mark.parametrize(
    "request_line",
    [b"POST / HTTP/1.1", b"GET /?token= HTTP/1.0", b"\x16\x03\x01\x02\x00\x01\x00\x01"],
)
def test_requests_of_a_browser_are_no_messages(server, kind, request_line):
    """A page may send a body of its choice to any local port, with a header that we would read."""
    body = json.dumps({"jsonrpc": "2.0", **handshake()}).encode()
    head = b"%b\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (request_line, len(body))
    with socket.create_connection(server.addresses[kind], timeout=PATIENCE) as page:
        page.sendall(head + body)
        answer = b""
        try:
            while data := page.recv(65536):
                answer += data
        except ConnectionError:
            pass
    assert b"jsonrpc" not in answer
    if kind == "tcp":
        assert answer == b""


# starting and ending


def refused(*arguments, token=""):
    """The exit code and what is said, in one line."""
    process = Process(*arguments, env={"PARROTLET_TOKEN": token})
    try:
        code = process.end()
        (line,) = process.stderr().splitlines()
        return code, line
    finally:
        process.kill()


@pytest.mark.parametrize("option", ["--tcp", "--websocket"])
def test_a_port_that_is_taken(option):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, line = refused(option, str(port))
    assert code == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in line


@pytest.mark.parametrize(
    ("arguments", "token", "part"),
    [
        (["--tcp", "0.0.0.0:0"], "", "put a token into the variable PARROTLET_TOKEN"),
        (["--websocket", "[::]:0"], "", "put a token"),
        (["--tcp", "0.0.0.0:0"], "short", "has 5 characters; give at least 16"),
        (["--tcp", "here"], "", "'here' is no address to listen on"),
        (["--token-file", "x"], "", "--token-file is for --tcp and --websocket"),
    ],
)
def test_wrong_use(arguments, token, part):
    code, line = refused(*arguments, token=token)
    assert code == 2
    assert part in line


def test_a_token_file(model, tmp_path, connect):
    file = tmp_path / "token"
    code, line = refused("--tcp", "0", "--token-file", str(file))
    assert code == 1
    assert f"cannot read the token in {file}" in line
    file.write_text(TOKEN + "\n")
    with serving(model, "--token-file", str(file)) as server:
        client = connect(server, "tcp", token=TOKEN)
        client.start()
        assert suggests(client) == "side"
        client.leave()


def test_the_server_ends_while_clients_are_there(model, connect):
    with serving(model) as server:
        clients = [connect(server, scheme) for scheme in SCHEMES]
        for client in clients:
            client.start()
            client.open(URI, LINE)
            client.request("textDocument/inlineCompletion", at(URI, 1, 18))
        assert server.terminate() == 0
        for client in clients:
            client.wait_for_the_end()
    for address in server.addresses.values():
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_client_chooses_where_the_key_goes(server, connect, scheme):
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        stranger.settimeout(0.5)
        client = connect(server, scheme)
        url = f"http://127.0.0.1:{stranger.getsockname()[1]}/v1"
        client.settings = {"backend": "openai", "endpointUrl": url, "endpointPrompt": "suffix"}
        client.start(rootUri="file:///one")
        assert suggests(client) == "side"
        (shown,) = client.notifications("window/showMessage")
        assert shown["message"].startswith("parrotlet.backend: ")
        with pytest.raises(TimeoutError):
            stranger.accept()
