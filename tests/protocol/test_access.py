"""Addresses to listen on, tokens, and what several sessions share."""

from __future__ import annotations

import gc
import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from parrotlet_server.errors import UsageError
from parrotlet_server.lsp.access import Address, Token
from parrotlet_server.lsp.shared import Shared

SECRET = "0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("7007", Address("127.0.0.1", 7007)),
        ("0", Address("127.0.0.1", 0)),
        ("localhost:65535", Address("localhost", 65535)),
        ("0.0.0.0:80", Address("0.0.0.0", 80)),
        ("[::1]:80", Address("::1", 80)),
    ],
)
def test_addresses(text, address):
    assert Address.parse(text) == address


@pytest.mark.parametrize("text", ["", "x", ":80", "::1:80", "a b:80", "1.2.3.4", "h:99999", "-1"])
def test_what_is_no_address(text):
    with pytest.raises(UsageError, match="is no address to listen on: give PORT or HOST:PORT"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("host", "number", "is_loopback"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("localhost", "127.0.0.1", True),
        ("127.8.8.8", "127.8.8.8", True),
        ("::1", "::1", True),
        ("0.0.0.0", "0.0.0.0", False),
        ("::", "::", False),
        ("192.0.2.1", "192.0.2.1", False),
    ],
)
def test_loopback_is_told_by_the_number(host, number, is_loopback):
    resolved = Address(host, 80).resolve()
    assert (resolved.host, resolved.is_loopback) == (number, is_loopback)


def test_a_host_that_is_not_there():
    with pytest.raises(UsageError, match="there is no host"):
        Address("nowhere.invalid", 80).resolve()


@pytest.mark.parametrize("given", [None, 3, "", SECRET[:-1], SECRET + "x", "ü" * 16, "\ud83d"])
def test_other_tokens(given):
    assert not Token(SECRET).is_same(given)
    assert Token(SECRET).is_same(SECRET)


@pytest.mark.parametrize("nested", [False, True])
def test_the_token_goes_no_further(nested):
    options = {"token": SECRET, "debounce": 0}
    options = {"parrotlet": options} if nested else options
    message = {"method": "initialize", "params": {"initializationOptions": options}}
    admitted = Token(SECRET).admit(json.dumps(message).encode())
    assert SECRET.encode() not in admitted
    inner = json.loads(admitted)["params"]["initializationOptions"]
    assert inner == ({"parrotlet": {"debounce": 0}} if nested else {"debounce": 0})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b"3",
        b"[]",
        b"{}",
        b'{"method": "initialize"}',
        b'{"method": "initialize", "params": []}',
        b'{"method": "initialize", "params": {"initializationOptions": "0123456789abcdef"}}',
        b'{"method": "x", "params": {"initializationOptions": {"token": "0123456789abcdef"}}}',
    ],
)
def test_messages_without_the_token(body):
    assert Token(SECRET).admit(body) is None


class Value:
    """Something that can be held."""


def test_what_is_shared_is_made_once_and_goes_with_the_last_holder():
    made = []

    def make(key):
        made.append(key)
        return Value()

    shared, together = Shared(make), Barrier(4)

    def ask(key):
        together.wait()
        return shared(key)

    with ThreadPoolExecutor(4) as pool:
        values = list(pool.map(ask, "aabb"))
    assert sorted(made) == ["a", "b"]
    assert values[0] is values[1] is not values[2]
    assert shared("a") is values[0]
    del values
    gc.collect()
    shared("a")
    assert sorted(made) == ["a", "a", "b"]


def test_an_error_is_told_and_the_next_one_tries_again():
    answers = [OSError("not now"), Value()]

    def make(_):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    shared = Shared(make)
    with pytest.raises(OSError, match="not now"):
        shared("a")
    assert isinstance(shared("a"), Value)
