"""Servers for the tests: a real process each, with a real model that knows a few files by heart."""

from __future__ import annotations

import itertools

import pytest

from parrotlet_server.engine import Engine, Request

from ..support.lsp_client import client
from ..support.tiny_model import tiny_bundle


@pytest.fixture(scope="session")
def model():
    """The folder of the tiny model."""
    return str(tiny_bundle())


@pytest.fixture(scope="session")
def engine(model):
    """The tiny model in this process: what the server must suggest."""
    return Engine.load(model)


@pytest.fixture(scope="session")
def suggest(engine):
    """Gives the engine's suggestion between two texts, with the paths of these tests."""

    def suggest(prefix, suffix="", path="a.py", **options):
        return engine.complete(Request(prefix, suffix, path=path, **options)).suggestion

    return suggest


@pytest.fixture(scope="module")
def shared(model):
    """A server for tests that leave it as they found it."""
    # what other tests have open must not come into the suggestions
    with client("--model", model, settings={"context": "off", "recall": "file"}) as session:
        session.start(rootUri="file:///home/ada")
        yield session
        assert session.shut_down() == 0
        assert "Traceback" not in session.stderr()


@pytest.fixture
def server(model):
    """A server of the test's own, not yet initialized."""
    with client("--model", model) as session:
        yield session
        assert "Traceback" not in session.stderr()


@pytest.fixture
def new_uri():
    """Gives the URI of a Python file that no other test uses; its path is a.py."""
    return lambda name="a.py": f"file:///elsewhere/{next(_NUMBERS)}/{name}"


_NUMBERS = itertools.count()
