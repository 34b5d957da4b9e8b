"""Completions of a real HTTP server that runs our model behind OpenAI's protocol, with faults."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from parrotlet_server.backends.errors import EndpointError
from parrotlet_server.backends.openai import OpenAIClient
from parrotlet_server.backends.options import BackendOptions
from parrotlet_server.engine import Request
from parrotlet_server.engine.completer import open_completer

from ..support.completion_server import serving
from ..support.tiny_model import DOCUMENTS

SECRET = "sk-very-secret-0123456789"


@pytest.fixture(scope="module")
def shared(bundle):
    with serving(bundle) as server:
        yield server


@pytest.fixture
def server(shared):
    shared.requests.clear()
    shared.headers.clear()
    shared.faults.clear()
    shared.gone.clear()
    shared.written = 0
    return shared


@pytest.fixture
def remote(server, bundle):
    def make(**options):
        values = {"model": str(bundle), "timeout": 20.0, **options}
        return open_completer(BackendOptions(kind="openai", url=server.url, **values))

    return make


def cursor(path, before, **options):
    text = DOCUMENTS[path]
    at = text.index(before) + len(before)
    return Request(text[:at], text[text.find("\n", at) :], path=path, document=path, **options)


PLACES = [
    ("shapes.py", "def circle_ar"),
    ("shapes.py", "def circle_area(radius):\n    "),
    ("inventory.py", "        self.items[name] = "),
    ("reader.py", "    text = json.du"),
    ("numbers.py", "    for divisor in "),
]


@pytest.mark.parametrize(("path", "before"), PLACES)
def test_tokens_give_what_the_own_engine_gives(remote, engine, server, path, before):
    request = cursor(path, before)
    ours, theirs = remote().complete(request), engine.complete(request)
    assert ours.suggestion.text == theirs.suggestion.text
    assert ours.suggestion.overwrite == theirs.suggestion.overwrite
    assert ours.reason == theirs.reason
    assert all(isinstance(token, int) for token in server.requests[0]["prompt"])
    assert server.requests[0]["temperature"] == 0


def test_where_the_answer_does_not_spell_the_piece_it_is_sent_as_it_stands(remote, server):
    completion = remote().complete(Request("zebra_qu", "", path="shapes.py", max_tokens=8))
    assert len(server.requests) == 2
    assert len(server.requests[1]["prompt"]) > len(server.requests[0]["prompt"])
    assert completion.reason != "cancelled"


def test_a_template_sends_text(remote, server):
    remote(prompt="qwen").complete(Request("a = 1\nb = ", "\nc = 3\n"))
    prompt = server.requests[0]["prompt"]
    assert prompt == "<|fim_prefix|>a = 1\nb = <|fim_suffix|>\nc = 3\n<|fim_middle|>"
    remote(prompt="{prefix}").complete(Request("a = {suffix} ", "\n{prefix}"))
    assert server.requests[1]["prompt"] == "a = {suffix} "


def test_the_suffix_can_be_sent_apart(remote, server):
    remote(prompt="suffix", served_model="coder").complete(Request("b = ", "\nc = 3\n"))
    sent = server.requests[0]
    assert (sent["prompt"], sent["suffix"], sent["model"]) == ("b = ", "\nc = 3\n", "coder")


def test_a_long_file_is_sent_in_part_and_in_whole_lines(remote, server):
    line = "value = other_value + 1\n"
    remote(prompt="suffix").complete(Request(line * 5000 + "b", "\n" + line * 5000, max_tokens=2))
    sent = server.requests[0]
    assert len(sent["prompt"]) < 7000
    assert sent["prompt"].startswith(line)
    assert len(sent["suffix"]) < 3000
    assert sent["suffix"].endswith(line)


def test_once_the_text_is_over_the_server_is_left(remote, server):
    request = cursor(
        "inventory.py", "        self.items[name] = ", max_tokens=400, multiline="never"
    )
    # with nothing below, the model would write the rest of the file
    request = replace(request, suffix="")
    server.faults = ["slow"]
    assert remote().complete(request).reason == "end_of_line"
    assert server.gone.wait(30)
    assert server.written < 60


@pytest.mark.parametrize("fault", ["500", "429", "refused"])
def test_what_passes_is_tried_again(remote, server, fault):
    server.faults = [fault, fault]
    request = cursor("shapes.py", "def circle_area(")
    assert remote().complete(request).suggestion.text == "radius):"
    assert len(server.requests) == 3


@pytest.mark.parametrize("fault", ["500", "429", "refused"])
def test_it_gives_up(remote, server, fault):
    server.faults = [fault] * 5
    with pytest.raises(EndpointError, match=r"answered|cannot be used") as caught:
        remote(attempts=2).complete(cursor("shapes.py", "def circle_area("))
    assert len(server.requests) == 2
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("garbage", "something else: '{nonsense'"),
        ("html", "something else: '<html>"),
        ("none", "something else"),
        ("cut", "broke off"),
        ("error", "failed: the model fell over"),
    ],
)
def test_nonsense_is_told_in_one_line_and_not_tried_again(remote, server, fault, message):
    server.faults = [fault]
    with pytest.raises(EndpointError, match=message) as caught:
        remote(attempts=3).complete(cursor("shapes.py", "def circle_area("))
    assert "\n" not in str(caught.value)
    assert len(server.requests) == 1


class Scripted(BaseHTTPRequestHandler):
    """Streams the next of the server's `answers`, whatever is asked."""

    def log_message(self, *_):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for event in self.server.answers.pop(0):
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())


@pytest.fixture
def answered():
    """Gives the text that these answers make, one for each attempt."""
    with HTTPServer(("127.0.0.1", 0), Scripted) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()

        def answered(*answers):
            server.answers = list(answers)
            url = f"http://127.0.0.1:{server.server_port}/v1"
            client = OpenAIClient(BackendOptions(kind="openai", url=url, timeout=20.0))
            return "".join(piece.text for piece in client.stream([1], 8, lambda: False))

        yield answered
        server.shutdown()
        thread.join()


FULL = {"error": {"code": 500, "message": "Context size has been exceeded.", "type": "server"}}
WRITTEN = {"choices": [{"text": "radius", "finish_reason": None}]}
ENDED = {"choices": [{"text": "):", "finish_reason": "stop"}]}


def test_an_error_that_passes_is_tried_again_within_an_answer_too(answered):
    """llama.cpp has begun to answer when it finds no room beside another one's answer."""
    assert answered([FULL], [FULL], [WRITTEN, ENDED]) == "radius):"
    with pytest.raises(EndpointError, match=r"failed: Context size has been exceeded\."):
        answered([FULL], [FULL], [FULL])


def test_what_has_been_written_is_not_written_twice(answered):
    with pytest.raises(EndpointError, match=r"failed: Context size has been exceeded\."):
        answered([WRITTEN, FULL], [WRITTEN, ENDED])


@pytest.mark.parametrize("error", [{"code": 400, "message": "too long"}, "too long"])
def test_an_error_that_stays_is_not_tried_again(answered, error):
    with pytest.raises(EndpointError, match=r"failed: too long"):
        answered([{"error": error}], [WRITTEN, ENDED])


def test_an_answer_that_is_not_streamed_is_taken(remote, server):
    server.faults = ["whole"]
    request = cursor("shapes.py", "def circle_area(", max_tokens=12)
    assert remote().complete(request).suggestion.text == "radius):"


def test_a_silent_server_is_given_up_after_the_timeout(remote, server):
    server.faults = ["hang"]
    with pytest.raises(EndpointError, match=r"no whole answer in 0\.5 s|timed out"):
        remote(timeout=0.5, attempts=1).complete(cursor("shapes.py", "def circle_area("))
    assert server.gone.wait(30)


@pytest.mark.parametrize("fault", ["hang", "slow"])
def test_a_cancelled_request_ends_at_once_and_leaves_the_server(remote, server, fault):
    server.faults = [fault]
    cancelled = threading.Event()
    threading.Timer(0.5, cancelled.set).start()
    started = time.monotonic()
    request = cursor("inventory.py", "    def remove(self, name):\n        ", max_tokens=100)
    completion = remote().complete(request, cancelled.is_set)
    assert completion.reason == "cancelled"
    assert cancelled.is_set()
    assert time.monotonic() - started < 20  # far from the timeout of "hang" and all of "slow"
    assert server.gone.wait(30)


def test_while_waiting_to_try_again_a_cancellation_is_heard(remote, server):
    server.faults = ["500"] * 5
    cancelled = threading.Event()
    threading.Timer(0.1, cancelled.set).start()
    completion = remote(attempts=99).complete(Request("import ", ""), cancelled.is_set)
    assert completion.reason == "cancelled"


def test_no_server_there(bundle):
    options = BackendOptions(kind="openai", url="http://127.0.0.1:9/v1", model=str(bundle))
    with pytest.raises(EndpointError, match=r"127\.0\.0\.1:9/v1/completions cannot be used"):
        open_completer(options).complete(Request("import ", ""))


@pytest.mark.parametrize(
    ("url", "prompt", "message"),
    [
        ("", "tokens", "is no address"),
        ("localhost:8080", "tokens", "is no address"),
        ("ftp://localhost", "tokens", "is no address"),
        ("http://localhost:x", "tokens", "is no address"),
        ("http://user:pass@localhost/v1", "tokens", "holds a password"),
        ("http://localhost/v1", "nonsense", "is no prompt"),
    ],
)
def test_settings_that_make_no_sense(bundle, url, prompt, message):
    with pytest.raises(EndpointError, match=message) as caught:
        open_completer(BackendOptions(kind="openai", url=url, prompt=prompt, model=str(bundle)))
    assert "pass@" not in str(caught.value)


class TestKey:
    def test_it_is_sent(self, bundle, monkeypatch):
        monkeypatch.setenv("PARROTLET_API_KEY", SECRET)
        with serving(bundle, SECRET) as server:
            options = BackendOptions(kind="openai", url=server.url, model=str(bundle))
            completion = open_completer(options).complete(cursor("shapes.py", "def circle_area("))
        assert completion.suggestion.text == "radius):"

    def test_the_variable_has_the_name_that_is_set(self, bundle, monkeypatch):
        monkeypatch.setenv("TEAM_KEY", SECRET)
        with serving(bundle, SECRET) as server:
            options = BackendOptions(
                kind="openai", url=server.url, model=str(bundle), key_variable="TEAM_KEY"
            )
            completion = open_completer(options).complete(cursor("shapes.py", "def circle_area("))
        assert completion.suggestion is not None

    def test_a_wrong_key_is_never_shown_even_if_the_server_repeats_it(self, bundle, monkeypatch):
        monkeypatch.setenv("PARROTLET_API_KEY", SECRET)
        with serving(bundle, "another") as server:
            options = BackendOptions(kind="openai", url=server.url, model=str(bundle))
            completer = open_completer(options)
            with pytest.raises(EndpointError, match=r"401 .*is the key right\?") as caught:
                completer.complete(Request("import ", ""))
        assert SECRET not in str(caught.value)
        assert "***" in str(caught.value)
        assert caught.value.__cause__ is None
        assert SECRET not in repr(options)

    def test_without_one_none_is_sent(self, remote, server, monkeypatch):
        monkeypatch.delenv("PARROTLET_API_KEY", raising=False)
        remote().complete(Request("import ", "", max_tokens=2))
        assert "Authorization" not in server.headers[0]
