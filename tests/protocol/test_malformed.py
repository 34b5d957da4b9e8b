"""Whatever comes in: each request gets one reply, and the server lives on."""

from __future__ import annotations

import json

import pytest

from ..support.lsp_client import at, did_change, span

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
NOT_INITIALIZED = -32002


def framed(body):
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def is_alive(session):
    return session.call("parrotlet/statistics")["state"] == "ready"


@pytest.mark.parametrize(
    "params",
    [
        None,
        {},
        [],
        3,
        "text",
        {"textDocument": {}, "position": {"line": 0, "character": 0}},
        {"textDocument": {"uri": 3}, "position": {"line": 0, "character": 0}},
        at("file:///a.py", "x", 0),
        at("file:///a.py", -1, 0),
        at("file:///a.py", 2**31, 0),
        at("file:///a.py", None, None),
        at("file:///a.py", 0, 0, selectedCompletionInfo={"text": "x"}),
        {**at("file:///a.py", 0, 0), "context": 3},
    ],
)
@pytest.mark.parametrize("method", ["textDocument/inlineCompletion"])
def test_malformed_parameters(shared, method, params):
    reply = shared.reply(shared.request(method, params))
    assert reply["error"]["code"] == INVALID_PARAMS
    assert method in reply["error"]["message"]
    assert "\n" not in reply["error"]["message"]


@pytest.mark.parametrize("params", [None, {}, {"position": {"line": 0, "character": 0}}])
def test_malformed_parameters_of_the_completion_list(shared, params):
    reply = shared.reply(shared.request("textDocument/completion", params))
    assert reply["error"]["code"] == INVALID_PARAMS


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("textDocument/didOpen", None),
        ("textDocument/didOpen", {"textDocument": {"uri": "file:///a.py"}}),
        ("textDocument/didChange", {"textDocument": {"uri": "file:///a.py"}}),
        ("textDocument/didChange", {**did_change("file:///a.py"), "contentChanges": [3]}),
        ("textDocument/didClose", []),
        ("workspace/didChangeConfiguration", 3),
        ("$/cancelRequest", {}),
        ("$/cancelRequest", {"id": []}),
        ("$/cancelRequest", {"id": "never sent"}),
        ("$/setTrace", {"value": "nonsense"}),
        ("$/whatever", {"x": 1}),
        ("parrotlet/whatever", None),
    ],
)
def test_malformed_and_unknown_notifications_are_passed_over(shared, method, params):
    shown = len(shared.notifications("window/showMessage"))
    shared.notify(method, params)
    assert is_alive(shared)
    assert len(shared.notifications("window/showMessage")) == shown


@pytest.mark.parametrize("params", [None, {}, {"x": {"y": [1]}}, [1], 3])
@pytest.mark.parametrize("method", ["parrotlet/whatever", "$/whatever", "textDocument/hover"])
def test_unknown_methods(shared, method, params):
    reply = shared.reply(shared.request(method, params))
    assert reply["error"]["code"] == METHOD_NOT_FOUND
    assert method in reply["error"]["message"]


@pytest.mark.parametrize("kind", [0, 3, 99, "automatic", None])
def test_unknown_kinds_of_trigger(shared, new_uri, kind):
    uri = new_uri()
    shared.open(uri, "import ma")
    for method in ("textDocument/inlineCompletion", "textDocument/completion"):
        shared.call(method, at(uri, 0, 9, triggerKind=kind))


def test_parameters_of_a_newer_protocol_are_passed_over(shared, new_uri):
    uri = new_uri()
    shared.open(uri, "import ma")
    shared.call(
        "textDocument/inlineCompletion",
        {**at(uri, 0, 9, certainty=0.5), "partialResultToken": 3, "unheardOf": {"a": [1]}},
    )


@pytest.mark.parametrize("text", ["", "a\r\nb", "\ud83d", "x" * 100_000])
@pytest.mark.parametrize("area", [((0, 0), (0, 0)), ((0, 9), (0, 3)), ((0, 0), (5, 0))])
def test_any_selected_item_of_a_popup(shared, new_uri, text, area):
    uri = new_uri()
    shared.open(uri, "import ma")
    selected = {"range": span(*area), "text": text}
    shared.call("textDocument/inlineCompletion", at(uri, 0, 9, selectedCompletionInfo=selected))


def test_a_change_whose_range_is_null_replaces_the_text(shared, new_uri):
    uri = new_uri("shapes.py")
    shared.open(uri, "x" * 50)
    change = did_change(uri, "def square_area(side):\n    return side * ")
    change["contentChanges"][0]["range"] = None
    shared.notify("textDocument/didChange", change)
    assert shared.inline(uri, 1, 18)[0]["insertText"] == "side"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{{{{{", PARSE_ERROR),
        (b"", PARSE_ERROR),
        (b"\xff\xfe", PARSE_ERROR),
        (b"[" * 100_000, PARSE_ERROR),
        (b"3", INVALID_REQUEST),
        (b"[]", INVALID_REQUEST),
        (b"{}", INVALID_REQUEST),
        (b'{"jsonrpc": "1.0", "method": "x"}', INVALID_REQUEST),
        (b'{"jsonrpc": "2.0"}', INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "method": 3}', INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "method": "shutdown", "id": null}', INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "method": "shutdown", "id": true}', INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "method": "shutdown", "id": {}}', INVALID_REQUEST),
    ],
)
def test_bodies_that_are_no_message(shared, body, code):
    before = len(shared.replies(None))
    shared.send_bytes(framed(body))
    assert is_alive(shared)
    replies = shared.replies(None)[before:]
    assert [reply["error"]["code"] for reply in replies] == [code]


def test_a_message_of_another_version_is_answered_under_its_id(shared):
    body = {"jsonrpc": "1.0", "id": "an id of its own", "method": "parrotlet/statistics"}
    shared.send_bytes(framed(json.dumps(body).encode()))
    assert shared.reply("an id of its own")["error"]["code"] == INVALID_REQUEST


def test_nested_text_that_looks_like_a_message_is_text(shared, new_uri):
    inner = {"jsonrpc": "2.0", "method": "exit"}
    params = {**at(new_uri(), 0, 0), "workDoneToken": 1, "data": inner, "params": {"data": inner}}
    assert shared.call("textDocument/inlineCompletion", params) is None
    assert is_alive(shared)


def test_bytes_between_messages(shared):
    shared.send_bytes(b"\r\n\r\nwhatever\r\nContent-Length: nonsense\r\n\r\n\x00\xff")
    assert is_alive(shared)
    # a body that is shorter than it says: the next message is lost with it, the one after is not
    shared.send_bytes(b"Content-Length: 12\r\n\r\n{}")
    shared.request("parrotlet/statistics")
    assert is_alive(shared)


def test_replies_that_nobody_asked_for(shared):
    for identity in (1, 2, "x", None):
        shared.send({"id": identity, "result": None}, {"id": identity, "error": {"code": 1}})
    assert is_alive(shared)


def test_requests_before_the_handshake(server):
    for method in ("textDocument/inlineCompletion", "parrotlet/statistics"):
        reply = server.reply(server.request(method, at("file:///a.py", 0, 0)))
        assert reply["error"]["code"] == NOT_INITIALIZED
    server.open("file:///a.py", "x")  # a notification is dropped
    server.start()
    assert server.inline("file:///a.py", 0, 1) is None
    assert server.shut_down() == 0


def test_a_malformed_handshake(server):
    reply = server.reply(server.request("initialize", {"capabilities": 3}))
    assert reply["error"]["code"] == INVALID_PARAMS
    server.start()
    reply = server.reply(server.request("initialize", {"capabilities": {}, "processId": None}))
    assert reply["error"]["code"] == INVALID_REQUEST
    assert server.shut_down() == 0


def test_a_client_of_tomorrow(server):
    """Kinds that today's protocol does not know stand among its capabilities."""
    result = server.start(
        capabilities={
            "general": {"positionEncodings": ["utf-64", "utf-8"]},
            "workspace": {"symbol": {"symbolKind": {"valueSet": [1, 99]}}},
            "textDocument": {"completion": {"completionItemKind": {"valueSet": [99]}}},
        }
    )
    assert result["capabilities"]["positionEncoding"] == "utf-8"
    assert server.shut_down() == 0


def test_requests_after_shutdown(server):
    server.start()
    server.call("shutdown")
    for method in ("parrotlet/statistics", "textDocument/inlineCompletion", "shutdown"):
        reply = server.reply(server.request(method, at("file:///a.py", 0, 0)))
        assert reply["error"]["code"] == INVALID_REQUEST
    server.notify("exit")
    assert server.end() == 0
