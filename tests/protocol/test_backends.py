"""Another server, or torch, runs the model that the language server asks."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ..support.completion_server import serving
from ..support.lsp_client import at, client
from ..support.tiny_model import DOCUMENTS

URI = "file:///home/ada/shapes.py"
LINE = "def square_area(side):\n    return side * "
KEY = "sk-very-secret-0123456789"


@pytest.fixture
def remote(model):
    with serving(Path(model), KEY) as server:
        yield server


def started(session):
    session.start(rootUri="file:///home/ada")
    session.open(URI, LINE)
    return session


def texts(session, line=LINE):
    rows = line.split("\n")
    items = session.inline(URI, len(rows) - 1, len(rows[-1]))
    return [item["insertText"] for item in items or []]


def options(remote, **others):
    return {"backend": "openai", "endpointUrl": remote.url, **others}


def test_another_server_gives_what_the_own_engine_gives(model, remote, suggest):
    env = {"PARROTLET_API_KEY": KEY}
    with client("--model", model, env=env, settings=options(remote)) as session:
        started(session)
        assert texts(session) == [suggest(LINE, path="shapes.py").text]
        assert remote.requests
        status = session.notifications("parrotlet/status")[-1]
        assert status["message"] == "Ready, with the model at 127.0.0.1."
        assert session.shut_down() == 0
        assert KEY not in session.stderr() + str(session.messages)


def test_nothing_is_asked_of_another_server_ahead(model, remote):
    """Its owner pays for what is asked, and others wait for it."""
    env = {"PARROTLET_API_KEY": KEY}
    with client("--model", model, env=env, settings=options(remote)) as session:
        started(session)
        assert texts(session)
        asked = len(remote.requests)
        time.sleep(1)
        assert len(remote.requests) == asked
        assert session.call("parrotlet/statistics")["prefetches"] == 0
        assert session.shut_down() == 0


def test_a_server_that_fails_is_named_once_and_forgiven(model, remote, suggest):
    env = {"PARROTLET_API_KEY": KEY}
    with client("--model", model, env=env, settings=options(remote)) as session:
        started(session)
        remote.faults += ["html"] * 2
        assert texts(session) == []
        assert texts(session) == []
        session.wait_for_state("error")
        status = session.notifications("parrotlet/status")[-1]
        assert "127.0.0.1" in status["message"]
        assert "parrotlet.endpointUrl" in status["remedy"]
        shown = [m["message"] for m in session.notifications("window/showMessage")]
        assert len(shown) == 1
        assert shown[0].startswith("Parrotlet: ")
        assert texts(session) == [suggest(LINE, path="shapes.py").text]
        session.wait_for_state("ready")
        # the next time that it fails is another one, be the message the same
        session.change(URI, ((1, 0), (1, 0), "    # an area\n"))
        remote.faults += ["html"] * 2
        line = LINE.replace("    return", "    # an area\n    return")
        assert texts(session, line) == []
        assert texts(session, line) == []
        assert len(session.notifications("window/showMessage")) == 2
        assert session.shut_down() == 0
        assert "Traceback" not in session.stderr()


def test_a_wrong_key_is_told_without_it(model, remote):
    env = {"PARROTLET_API_KEY": "sk-wrong-987654321"}
    with client("--model", model, env=env, settings=options(remote)) as session:
        started(session)
        assert texts(session) == []
        session.wait_for_state("error")
        assert "sk-wrong" not in session.stderr() + str(session.messages)
        assert session.shut_down() == 0


def test_no_address_is_said_at_the_start(model):
    with client("--model", model, settings={"backend": "openai"}) as session:
        session.initialize()
        session.wait_for_state("error")
        assert "parrotlet.endpointUrl" in session.notifications("parrotlet/status")[-1]["remedy"]
        session.open(URI, LINE)
        assert texts(session) == []
        session.settings = {"backend": "onnx"}
        session.notify("workspace/didChangeConfiguration", {"settings": None})
        session.wait_for_state("ready")
        assert texts(session)
        assert session.shut_down() == 0


def test_torch_gives_the_same(model, suggest):
    pytest.importorskip("torch")
    settings = {"backend": "torch", "device": "cpu"}
    with client("--model", model, settings=settings) as session:
        started(session)
        assert texts(session)[0] == suggest(LINE, path="shapes.py").text
        assert session.shut_down() == 0


def test_prefetch_may_be_turned_off(model):
    text = DOCUMENTS["inventory.py"]
    place = "        self.items[name] = "
    before = text[: text.index(place) + len(place)]
    rows = before.split("\n")
    made = []
    for settings in ({"prefetch": True}, {"prefetch": False}):
        with client("--model", model, settings=settings) as session:
            session.start()
            session.open(URI, before)
            params = {**at(URI, len(rows) - 1, len(rows[-1])), "context": {"triggerKind": 2}}
            assert session.call("textDocument/inlineCompletion", params)

            def count(session=session):
                return session.call("parrotlet/statistics")["prefetches"]

            if settings["prefetch"]:
                session.wait_until(count)
            else:
                time.sleep(1)
            made.append(count())
            assert session.shut_down() == 0
    assert made[0] > 0 == made[1]
