"""A model that is begun before anybody asks for it."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest

from parrotlet_server.backends.options import BackendOptions
from parrotlet_server.bundle import BundleError
from parrotlet_server.lsp.preload import Preload
from parrotlet_server.lsp.settings import Settings
from parrotlet_server.lsp.worker import threads_run

WANTED = BackendOptions(model="mine")


class Model:
    """What `Models` load."""


class Models:
    """Loads models once it may, and notes which."""

    def __init__(self):
        self.go = threading.Event()
        self.asked = []
        self.made = []

    def __call__(self, options):
        self.asked.append(options)
        assert self.go.wait(5)
        if options.model == "none":
            raise BundleError("there is no model")
        model = Model()
        self.made.append(weakref.ref(model))
        return model


@pytest.fixture
def models():
    models = Models()
    yield models
    models.go.set()
    end = time.monotonic() + 5
    while threads_run() and time.monotonic() < end:
        time.sleep(0.001)
    assert not threads_run()


def test_it_is_what_a_session_without_settings_asks_for():
    assert Settings().backend_options("mine") == WANTED


def test_who_asks_for_it_waits_for_it_and_has_it_alone(models):
    load = Preload(WANTED, models)
    assert threads_run()  # the server does not end in the midst of it without a word
    threading.Timer(0.05, models.go.set).start()
    first = load(WANTED)
    assert models.asked == [WANTED]
    assert load(WANTED) is not first
    assert models.asked == [WANTED, WANTED]


def test_who_asks_for_another_gets_that_and_the_first_is_dropped(models):
    load = Preload(WANTED, models)
    models.go.set()
    other = BackendOptions(model="another")
    loaded = []
    threading.Thread(target=lambda: loaded.append(load(other))).start()
    end = time.monotonic() + 5
    while not (loaded and not threads_run()) and time.monotonic() < end:
        time.sleep(0.001)
    assert models.asked == [WANTED, other]
    loaded.clear()
    gc.collect()
    assert [model() for model in models.made] == [None, None]


def test_what_is_wrong_is_told_to_who_asks(models):
    models.go.set()
    options = BackendOptions(model="none")
    load = Preload(options, models)
    with pytest.raises(BundleError, match="no model"):
        load(options)
