"""Messages that are wrong in every way, from a seed: always the same ones."""

from __future__ import annotations

import copy
import json
import random
from dataclasses import dataclass

from .lsp_client import at, did_change, span

URI = "file:///home/ada/fuzzed.py"
_RANGE = span((0, 0), (0, 1))
_SETTINGS = {"debounce": 0, "multiline": "auto", "minimumScore": -1, "exclude": ["x"], "enable": 1}
_CELL = {"kind": 2, "document": "vscode-notebook-cell:/a.ipynb#1"}
_CELL_TEXT = {"uri": _CELL["document"], "languageId": "python", "version": 1, "text": "import ma"}
_NOTEBOOK = {"uri": "file:///a.ipynb", "notebookType": "jupyter", "version": 1, "cells": [_CELL]}

REQUESTS = {
    "initialize": {"processId": None, "rootUri": "file:///home/ada", "capabilities": {}},
    "textDocument/inlineCompletion": at(
        URI, 0, 3, selectedCompletionInfo={"range": _RANGE, "text": "import"}
    ),
    "textDocument/completion": at(URI, 0, 3, triggerCharacter="."),
    "workspace/executeCommand": {"command": "parrotlet.accepted", "arguments": [1]},
    "parrotlet/statistics": {},
}
NOTIFICATIONS = {
    "initialized": {},
    "textDocument/didOpen": {
        "textDocument": {"uri": URI, "languageId": "python", "version": 1, "text": "import ma"}
    },
    "textDocument/didChange": did_change(URI, ((0, 0), (0, 1), "x"), "import ma"),
    "textDocument/didClose": {"textDocument": {"uri": URI}},
    "textDocument/didSave": {"textDocument": {"uri": URI}, "text": "x"},
    "notebookDocument/didOpen": {
        "notebookDocument": _NOTEBOOK,
        "cellTextDocuments": [_CELL_TEXT],
    },
    "notebookDocument/didChange": {
        "notebookDocument": {"uri": "file:///a.ipynb", "version": 2},
        "change": {
            "cells": {
                "structure": {
                    "array": {"start": 0, "deleteCount": 1, "cells": [_CELL]},
                    "didOpen": [_CELL_TEXT],
                    "didClose": [{"uri": _CELL["document"]}],
                }
            }
        },
    },
    "notebookDocument/didClose": {
        "notebookDocument": {"uri": "file:///a.ipynb"},
        "cellTextDocuments": [{"uri": _CELL["document"]}],
    },
    "workspace/didChangeConfiguration": {"settings": {"parrotlet": _SETTINGS}},
    "workspace/didChangeWorkspaceFolders": {
        "event": {"added": [{"uri": "file:///w", "name": "w"}], "removed": []}
    },
    "window/workDoneProgress/cancel": {"token": "a token"},
    "$/cancelRequest": {"id": 1},
    "$/setTrace": {"value": "verbose"},
    "$/progress": {"token": 1, "value": {}},
}

_WRONG = [
    *(None, True, False, 0, -1, 1.5, -0.0, 2**31 - 1, 2**31, 2**63, -(10**30), 10**300, 1e308),
    *(float("nan"), float("inf"), "", "x", "\0", "\ud83d", "😀" * 9, "file://[", "file:///%zz"),
    *("untitled:x", [], [None], [[]], [1, "x"], {}, {"": None}, {"uri": 3}, {"line": -1}),
]
FIRST_ID = 1000
"""The ids below are the client's own."""

_IDS = [None, True, 1.5, [], {}, float("nan"), 2**70, -7, "", "\ud83d", "an id " * 50]


@dataclass(frozen=True)
class Wrong:
    """Bytes to be sent.

    Attributes:
        data: one or more frames, or what should be one.
        kind: how it is wrong.
        answered: the ids under which an answer must come.
    """

    data: bytes
    kind: str
    answered: tuple[int | str, ...] = ()


def frame(body):
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def messages(seed, count):
    """So many of them."""
    draw = random.Random(seed)
    for number in range(FIRST_ID, FIRST_ID + count):
        kind = draw.choices(list(_KINDS), list(_KINDS.values()))[0]
        yield kind(draw, number)


def _message(draw, number):
    """One that is right, with an id of its own if it is a request."""
    methods = REQUESTS if draw.random() < 0.6 else NOTIFICATIONS
    method = draw.choice(list(methods))
    message = {"jsonrpc": "2.0", "method": method, "params": copy.deepcopy(methods[method])}
    if methods is REQUESTS:
        message["id"] = number if draw.random() < 0.7 else f"request {number}"
    return message


def _sealed(message, kind):
    """The bytes of a message, and whether it is to be answered."""
    identity = message.get("id") if isinstance(message, dict) else None
    answered = ()
    if isinstance(identity, int | str) and not isinstance(identity, bool):
        is_reply = "method" not in message and ("result" in message or "error" in message)
        answered = () if is_reply else (identity,)
    return Wrong(frame(json.dumps(message).encode()), kind, answered)


def _places(value, above=()):
    """The paths of all fields in `value`."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in items:
        yield (*above, key)
        yield from _places(inner, (*above, key))


def _holder(message, path):
    for key in path[:-1]:
        message = message[key]
    return message


def _field(draw, message):
    """Some field of the parameters: what holds it, and its key."""
    path = draw.choice([("params",), *_places(message["params"], ("params",))])
    return _holder(message, path), path[-1]


def _wrong_type(draw, number):
    message = _message(draw, number)
    holder, key = _field(draw, message)
    holder[key] = draw.choice(_WRONG)
    return _sealed(message, "a field of another type")


def _missing(draw, number):
    message = _message(draw, number)
    holder, key = _field(draw, message)
    del holder[key]
    return _sealed(message, "a field missing")


def _several(draw, number):
    message = _message(draw, number)
    for _ in range(3):
        holder, key = _field(draw, message)
        holder[key] = copy.deepcopy(draw.choice([*_WRONG, message["params"]]))
        if not isinstance(message.get("params"), dict | list):
            break
    return _sealed(message, "several fields wrong")


def _position(draw, number):
    message = {"jsonrpc": "2.0", "id": number, "method": "textDocument/inlineCompletion"}
    sizes = [-1, -(2**40), 2**31 - 1, 2**31, 2**64, 10**40, 0.5, "1", None, True]
    message["params"] = at(URI, draw.choice(sizes), draw.choice(sizes))
    return _sealed(message, "a position that cannot be")


def _envelope(draw, number):
    message = _message(draw, number)
    key = draw.choice(["jsonrpc", "method", "id", "params", "result", "error"])
    if draw.random() < 0.3:
        message.pop(key, None)
    else:
        message[key] = draw.choice(_IDS if key == "id" else _WRONG)
    identity = message.get("id")
    if isinstance(identity, int | str) and not isinstance(identity, bool):
        # unlike all others
        message["id"] = (
            identity + number * 10**6 if isinstance(identity, int) else (f"{identity}{number}")
        )
    return _sealed(message, "another envelope")


def _unknown(draw, number):
    method = draw.choice(["x", "$/x", "textDocument/hover", "a" * 9000, "😀", "\0", "shutdown "])
    message = {"jsonrpc": "2.0", "method": method, "params": draw.choice(_WRONG)}
    if draw.random() < 0.7:
        message["id"] = number
    return _sealed(message, "an unknown method")


def _twice(draw, number):
    message = {**_message(draw, number), "id": number}
    once = _sealed(message, "an id twice")
    return Wrong(2 * once.data, once.kind, 2 * once.answered)


def _batch(draw, number):
    body = [_message(draw, number), draw.choice(_WRONG)]
    return Wrong(frame(json.dumps(body).encode()), "a batch")


def _reply(draw, number):
    message = {"jsonrpc": "2.0", "id": draw.choice([number, *_IDS])}
    message[draw.choice(["result", "error"])] = draw.choice(_WRONG)
    return _sealed(message, "a reply to nothing")


def _broken_json(draw, number):
    body = json.dumps(_message(draw, number)).encode()
    at_byte = draw.randrange(len(body))
    body = draw.choice(
        [
            body[:at_byte],
            body[at_byte + 1 :],
            body.replace(b":", b"=", 1),
            body.replace(b'"', b"'"),
            body + b"}",
            b"",
            b"\0" * 30,
        ]
    )
    return Wrong(frame(body), "broken JSON")


def _invalid_utf8(draw, number):
    body = json.dumps(_message(draw, number)).encode()
    wrong = draw.choice([b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xfe\xff"])
    at_byte = draw.randrange(len(body))
    return Wrong(frame(body[:at_byte] + wrong + body[at_byte:]), "invalid UTF-8")


def _length(draw, number):
    """Too short, so that garbage follows; or too long, at the cost of a message that follows."""
    body = json.dumps(_message(draw, number)).encode()
    lost = frame(json.dumps({"jsonrpc": "2.0", "method": "$/lost"}).encode())
    length = max(0, len(body) + draw.choice([-20, -3, -1, 1, 2, 25]))
    return Wrong(b"Content-Length: %d\r\n\r\n%b%b" % (length, body, lost), "a wrong length")


def _header(draw, number):
    header = draw.choice(
        [
            b"Content-Length: -5\r\n\r\n",
            b"Content-Length: 0x10\r\n\r\n",
            b"Content-Length: 99999999999\r\n\r\n",
            b"Content-Length\r\n\r\n",
            b": 5\r\n\r\n",
            b"\r\n\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"\xff" * 5000,
            b"\0\n" * 30,
        ]
    )
    return Wrong(header, "a broken header")


def _nested(draw, number):
    depth = draw.choice([100, 400, 900, 5000])
    left, right = draw.choice([(b"[", b"]"), (b'{"a":', b"}")])
    inner = left * depth + b"0" + right * depth
    body = b'{"jsonrpc":"2.0","method":"%b","params":%b}' % (
        draw.choice([b"workspace/didChangeConfiguration", b"initialized", b"$/x"]),
        draw.choice([inner, b'{"settings":%b}' % inner]),
    )
    return Wrong(frame(body), "deep nesting")


def _enormous(draw, number):
    message = _message(draw, number)
    holder, key = _field(draw, message)
    holder[key] = draw.choice(["x", "é", "\n", "(", " "]) * draw.choice([10**5, 10**5, 10**6])
    return _sealed(message, "an enormous string")


_KINDS = {
    _wrong_type: 40,
    _missing: 12,
    _several: 10,
    _position: 8,
    _envelope: 10,
    _unknown: 5,
    _twice: 3,
    _batch: 2,
    _reply: 3,
    _broken_json: 5,
    _invalid_utf8: 4,
    _length: 4,
    _header: 3,
    _nested: 2,
    _enormous: 0.5,
}
"""How often each kind comes."""
