"""Requests that pile up, are taken back or outlive the session."""

from __future__ import annotations

import itertools
import time

import pytest

from ..support.lsp_client import at, client, did_change, notification
from ..support.slow_model import slow_bundle

CANCELLED = -32800
URI = "file:///slow.py"
SHORT = "value = compute"


@pytest.fixture
def long():
    """A text that fills most of the context, so that reading it takes long; each time another."""
    start = 1000 * next(_NUMBERS)
    lines = [f"value_{number} = compute({number}, 7)\n" for number in range(start, start + 200)]
    return "".join(lines) + SHORT


_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def slow_model():
    return str(slow_bundle())


@pytest.fixture(scope="module")
def slow(slow_model):
    """A server for tests that leave it as they found it."""
    # with n-grams it would stop at a line's end
    with client("--model", slow_model, settings={"recall": "off"}) as session:
        session.start()
        yield session
        assert session.shut_down() == 0
        assert "Traceback" not in session.stderr()


@pytest.fixture
def own_slow(slow_model):
    """A server that the test itself ends."""
    # with n-grams it would stop at a line's end
    with client("--model", slow_model, settings={"recall": "off"}) as session:
        session.start()
        yield session
        assert "Traceback" not in session.stderr()


def ask(session, text):
    """An unsent request for the end of `text`."""
    lines = text.split("\n")
    return session.make_request(
        "textDocument/inlineCompletion", at(URI, len(lines) - 1, len(lines[-1]))
    )


def last_run(session):
    return session.call("parrotlet/statistics")["last"]


def counted(session, counter):
    return session.call("parrotlet/statistics")[counter]


def test_the_editor_is_told_that_work_takes_long(slow, long):
    slow.open(URI, long)
    request = ask(slow, long)
    slow.send(request)
    assert slow.reply(request["id"])["result"][0]["insertText"]
    slow.wait_for_state("ready")
    assert slow.states() == ["loading", "ready", "busy", "ready"]
    # it is slow indeed: otherwise the tests below would show nothing
    assert slow.seconds[request["id"]] > 0.25
    run = last_run(slow)
    assert run["generatedTokens"] > 40
    assert run["evaluatedTokens"] > 400


def test_cancelling_while_the_model_reads(slow, long):
    run = cancel_after(slow, 0.05, long)
    assert run["generatedTokens"] == 0
    assert run["evaluatedTokens"] < run["promptTokens"]


def test_cancelling_while_the_model_writes(slow):
    slow.open(URI, SHORT)
    request = ask(slow, SHORT)
    slow.send(request)
    slow.reply(request["id"])
    whole = last_run(slow)
    # how far it is after a while, if it is not over by then, depends on what else the machine does
    for part in (0.5, 0.6, 0.4, 0.7, 0.3, 0.8, 0.2):
        run = cancel_after(slow, part * slow.seconds[request["id"]], SHORT + "d")
        if run is not None and run["generatedTokens"]:
            break
    assert 0 < run["generatedTokens"] < whole["generatedTokens"]


def cancel_after(session, seconds, text):
    """Cancels a request for the end of `text`; gives the engine's account of its run.

    None if the answer was quicker.
    """
    cancelled, runs = counted(session, "cancelled"), counted(session, "runs")
    session.open(URI, text)
    request = ask(session, text)
    session.send(request)
    time.sleep(seconds)
    session.notify("$/cancelRequest", {"id": request["id"]})
    reply = session.reply(request["id"])
    if "error" not in reply:
        assert last_run(session)["reason"] != "cancelled"
        return None
    assert reply["error"]["code"] == CANCELLED
    # the engine may stop a little later
    session.wait_until(lambda: counted(session, "runs") > runs)
    assert len(session.replies(request["id"])) == 1
    assert counted(session, "cancelled") == cancelled + 1
    run = last_run(session)
    assert run["reason"] == "cancelled"
    return run


def test_cancelled_before_it_begins(slow, long):
    slow.open(URI, long)
    request = ask(slow, long)
    slow.send(request, notification("$/cancelRequest", {"id": request["id"]}))
    assert slow.reply(request["id"])["error"]["code"] == CANCELLED
    assert len(slow.replies(request["id"])) == 1


def test_cancelled_after_it_is_answered(slow):
    slow.open(URI, "")
    request = ask(slow, "")
    slow.send(request)
    slow.reply(request["id"])
    slow.notify("$/cancelRequest", {"id": request["id"]})
    slow.call("parrotlet/statistics")
    assert len(slow.replies(request["id"])) == 1


def type_at_once(session, begun, typed):
    """Sends an edit and a request for each typed character in one write; gives all replies."""
    session.open(URI, begun)
    lines = begun.split("\n")
    line, character = len(lines) - 1, len(lines[-1])
    messages, requests = [], []
    for number, sign in enumerate(typed):
        place = (line, character + number)
        messages.append(
            notification("textDocument/didChange", did_change(URI, (place, place, sign)))
        )
        requests.append(ask(session, begun + typed[: number + 1]))
        messages.append(requests[-1])
    session.send(*messages)
    replies = [session.reply(request["id"]) for request in requests]
    assert all(len(session.replies(request["id"])) == 1 for request in requests)
    return replies


def test_200_requests_at_once(slow):
    """As if someone typed faster than the model: all are answered, the older ones at once."""
    before = counted(slow, "superseded")
    *older, newest = type_at_once(slow, SHORT, "abcdefghij" * 20)
    assert [reply["result"] for reply in older] == [None] * 199
    assert max(slow.seconds[reply["id"]] for reply in older) < slow.seconds[newest["id"]] - 0.2
    assert counted(slow, "superseded") == before + 199
    # the newest one is worked on to its end
    run = last_run(slow)
    assert run["reason"] != "cancelled"
    assert run["generatedTokens"] > 40


def test_the_newest_of_many_requests_gets_its_suggestion(server, suggest):
    server.start()
    begun, typed = "import math\n\n\ndef square_area(side):\n", "    return side * "
    *_, newest = type_at_once(server, begun, typed)
    expected = suggest(begun + typed, path="slow.py")
    assert newest["result"][0]["insertText"] == expected.text
    assert server.shut_down() == 0


def test_a_newer_request_stops_the_model(slow, long):
    slow.open(URI, long)
    slow.open("file:///other.py", SHORT)
    older = ask(slow, long)
    slow.send(older)
    time.sleep(0.1)
    newer = slow.request("textDocument/inlineCompletion", at("file:///other.py", 0, len(SHORT)))
    assert slow.reply(older["id"])["result"] is None
    slow.reply(newer)
    run = last_run(slow)
    assert run["reason"] != "cancelled"
    assert run["promptTokens"] < 20


def test_the_session_ends_while_the_model_works(own_slow, long):
    own_slow.open(URI, long)
    request = ask(own_slow, long)
    own_slow.send(request)
    time.sleep(0.1)
    shutdown = own_slow.make_request("shutdown")
    own_slow.send(shutdown, notification("exit"))
    assert own_slow.end() == 0
    assert own_slow.reply(shutdown["id"])["result"] is None
    assert own_slow.reply(request["id"])["error"]["code"] == CANCELLED
    assert len(own_slow.replies(request["id"])) == 1


def test_the_editor_goes_away_while_the_model_works(own_slow, long):
    own_slow.open(URI, long)
    own_slow.send(ask(own_slow, long))
    time.sleep(0.1)
    own_slow.process.stdin.close()
    assert own_slow.end() == 1
