"""The key of an endpoint in the operating system's keyring, through the keyring package."""

from __future__ import annotations

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from parrotlet_server.backends.options import BackendOptions
from parrotlet_server.engine import Request
from parrotlet_server.engine.completer import EndpointError, open_completer

from ..support.completion_server import serving
from ..support.tiny_model import tiny_bundle

SECRET = "sk-in-the-keyring-0123456789"


class Kept(KeyringBackend):
    """Keeps passwords in memory."""

    priority = 1

    def __init__(self):
        super().__init__()
        self.passwords = {}
        self.locked = False

    def get_password(self, service, username):
        if self.locked:
            raise KeyringLocked("the user has not unlocked it")
        return self.passwords.get((service, username))

    def set_password(self, service, username, password):
        self.passwords[service, username] = password


@pytest.fixture
def kept(monkeypatch):
    """The keyring, as long as the test runs."""
    monkeypatch.delenv("PARROTLET_API_KEY", raising=False)
    before, kept = keyring.get_keyring(), Kept()
    keyring.set_keyring(kept)
    yield kept
    keyring.set_keyring(before)


@pytest.fixture
def server():
    with serving(tiny_bundle(), SECRET) as server:
        yield server


def complete(server):
    options = BackendOptions(kind="openai", url=server.url, model=str(tiny_bundle()))
    return open_completer(options).complete(Request("import ", "", max_tokens=4))


def test_the_key_of_the_servers_host_is_sent(kept, server):
    keyring.set_password("parrotlet", "127.0.0.1", SECRET)
    complete(server)
    assert server.headers[-1]["Authorization"] == f"Bearer {SECRET}"


def test_the_environment_goes_first(kept, server, monkeypatch):
    keyring.set_password("parrotlet", "127.0.0.1", "another")
    monkeypatch.setenv("PARROTLET_API_KEY", SECRET)
    complete(server)
    assert server.headers[-1]["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("locked", [False, True])
def test_no_other_hosts_key_is_sent_and_a_locked_keyring_is_none(kept, server, locked):
    keyring.set_password("parrotlet", "elsewhere.example", SECRET)
    kept.locked = locked
    with pytest.raises(EndpointError, match=r"401 .*is the key right\?"):
        complete(server)
    assert "Authorization" not in server.headers[-1]
