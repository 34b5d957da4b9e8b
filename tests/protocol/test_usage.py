"""What was shown and taken is counted on this machine, and goes nowhere else."""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
import threading
import time

import psutil
import pytest

from ..support.lsp_client import at, client

LINE = "def square_area(side):\n    return side * "
URI = "file:///shapes.py"

# Every socket of the server's process is written down, before anything else is imported.
WATCHER = """
import os, socket, sys
def watch(event, arguments):
    if event.startswith("socket."):
        with open(os.environ["WATCHED"], "a") as file:
            family = getattr(arguments[0], "family", "") if arguments else ""
            file.write(f"{event} {family} {arguments!r}\\n")
sys.addaudithook(watch)
"""


@pytest.fixture
def watched(model, tmp_path):
    """A server whose data folder and sockets are seen."""
    (tmp_path / "sitecustomize.py").write_text(WATCHER)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    env = {
        "PYTHONPATH": path,
        "WATCHED": str(tmp_path / "sockets"),
        "PARROTLET_DATA": str(tmp_path / "data"),
        # where ONNX Runtime 1.31 keeps what it means to send to its makers
        "HOME": str(tmp_path / "home"),
        "XDG_CACHE_HOME": str(tmp_path / "home" / "cache"),
    }
    (tmp_path / "home").mkdir()
    (tmp_path / "sockets").touch()
    with client("--model", model, env=env) as session:
        session.start()
        session.open(URI, LINE)
        yield session, tmp_path


def take(session, item):
    """What an editor does when the user takes `item`."""
    command = item["command"]
    params = {"command": command["command"], "arguments": command["arguments"]}
    return session.call("workspace/executeCommand", params)


def events(folder):
    file = folder / "data" / "usage.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_what_is_taken_is_counted_once(watched):
    session, folder = watched
    item, *_ = session.inline(URI, 1, 18)
    assert item["command"]["command"] == "parrotlet.accepted"
    take(session, item)
    take(session, item)
    assert session.call("parrotlet/statistics")["accepted"] == 1
    assert session.shut_down() == 0
    shown, accepted = events(folder)
    assert (shown["event"], shown["characters"], shown["cached"]) == ("shown", 4, False)
    assert shown["milliseconds"] > 0
    assert (accepted["event"], accepted["characters"]) == ("accepted", 4)
    file = folder / "data" / "usage.jsonl"
    assert "side" not in file.read_text()
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_one_of_several_is_taken(watched):
    session, folder = watched
    session.open("file:///b.py", "def ")
    items = session.inline("file:///b.py", 0, 4)
    assert len(items) > 1
    take(session, items[1])
    take(session, items[0])
    assert session.call("parrotlet/statistics")["accepted"] == 1
    assert session.shut_down() == 0
    shown, accepted = events(folder)
    assert shown["characters"] == len(items[0]["insertText"])
    assert accepted["characters"] == len(items[1]["insertText"])


def test_the_rest_of_a_suggestion_is_the_same_suggestion(watched):
    session, folder = watched
    session.inline(URI, 1, 18)
    session.change(URI, ((1, 18), (1, 18), "si"))
    item, *_ = session.inline(URI, 1, 20)
    assert item["insertText"] == "de"
    popup = session.call("textDocument/completion", at(URI, 1, 20))["items"][0]
    assert popup["command"] == item["command"]
    take(session, popup)
    assert session.shut_down() == 0
    assert [event["event"] for event in events(folder)] == ["shown", "accepted"]


def test_nothing_is_noted_where_statistics_are_off(model, tmp_path):
    env = {"PARROTLET_DATA": str(tmp_path / "data")}
    with client("--model", model, env=env, settings={"statistics": False}) as session:
        session.start()
        session.open(URI, LINE)
        item, *_ = session.inline(URI, 1, 18)
        take(session, item)
        assert session.shut_down() == 0
    assert not (tmp_path / "data").exists()


def test_a_folder_that_cannot_be_written_is_no_hindrance(model, tmp_path):
    (tmp_path / "file").touch()
    env = {"PARROTLET_DATA": str(tmp_path / "file" / "data")}
    with client("--model", model, env=env) as session:
        session.start()
        session.open(URI, LINE)
        item, *_ = session.inline(URI, 1, 18)
        take(session, item)
        assert session.shut_down() == 0
        assert "Traceback" not in session.stderr()


def test_nonsense_for_an_argument_is_passed_over(watched):
    session, _ = watched
    command = {"command": "parrotlet.accepted", "arguments": []}
    refused = session.reply(session.request("workspace/executeCommand", command))
    assert refused["error"]["code"] == -32602
    for arguments in ([None], ["x"], [10**9], [{"a": 1}]):
        params = {"command": "parrotlet.accepted", "arguments": arguments}
        session.call("workspace/executeCommand", params)
    assert session.call("parrotlet/statistics")["accepted"] == 0
    assert session.shut_down() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="the event loop there uses sockets itself")
def test_no_library_opens_a_connection(watched):
    """What the process has open is asked of the system, so native code is seen too."""
    session, _ = watched
    process = psutil.Process(session.process.pid)
    seen, over = [], threading.Event()

    def look():
        while not over.is_set():
            seen.append(process.net_connections("inet"))
            time.sleep(0.001)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for number in range(20):
            looked = len(seen)
            session.change(URI, ((1, 0), (1, 0), f"    area_{number} = side\n"))
            session.inline(URI, 2 + number, 18)
            while len(seen) == looked:  # however soon the answer comes
                time.sleep(0.001)
    finally:
        over.set()
        looking.join()
    assert len(seen) >= 20
    assert not any(seen)
    assert session.shut_down() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="the event loop there uses sockets itself")
def test_nothing_leaves_the_machine(watched):
    """Over a whole session the process makes no socket but the event loop's own local pair."""
    session, folder = watched
    item, *_ = session.inline(URI, 1, 18)
    take(session, item)
    session.call("textDocument/completion", at(URI, 1, 18))
    assert session.shut_down() == 0
    sockets = (folder / "sockets").read_text().splitlines()
    assert sockets, "the watcher saw not even the event loop"
    assert list((folder / "home").rglob("*")) == []
    for line in sockets:
        assert line.startswith("socket.__new__ "), line
        assert "AF_INET" not in line
        # socket.__new__ has (self, family, type, protocol)
        assert f", {int(socket.AF_UNIX)}, " in line.replace("<AddressFamily.AF_UNIX: 1>", "1")
