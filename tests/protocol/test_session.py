"""The handshake, the model's loading, settings, and the end of a session."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

from ..support.lsp_client import CAPABILITIES, at, client, notification

LINE = "def square_area(side):\n    return side * "
URI = "file:///shapes.py"


def suggests(session):
    items = session.inline(URI, 1, 18)
    return bool(items) and items[0]["insertText"] == "side"


def until(condition):
    """Waits for the server to have taken in what was sent: it asks for the settings first."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def shown(session):
    return [params["message"] for params in session.notifications("window/showMessage")]


def test_the_handshake(server):
    result = server.start()
    capabilities = result["capabilities"]
    assert result["serverInfo"]["name"] == "parrotlet"
    assert capabilities["positionEncoding"] == "utf-16"
    assert capabilities["textDocumentSync"]["openClose"] is True
    assert capabilities["textDocumentSync"]["change"] == 2  # incremental
    assert "inlineCompletionProvider" in capabilities
    assert "completionProvider" in capabilities
    assert server.shut_down() == 0


def test_the_encoding_of_positions_is_the_first_that_the_client_offers(server):
    offered = {"general": {"positionEncodings": ["utf-32", "utf-8"]}}
    result = server.initialize(capabilities=offered)
    assert result["capabilities"]["positionEncoding"] == "utf-32"
    assert server.shut_down() == 0


def test_requests_while_the_model_loads_are_empty(model):
    with client("--model", model) as session:
        session.call("initialize", {"processId": None, "capabilities": CAPABILITIES})
        inline = session.make_request("textDocument/inlineCompletion", at(URI, 1, 18))
        popup = session.make_request("textDocument/completion", at(URI, 1, 18))
        document = {"uri": URI, "languageId": "python", "version": 1, "text": LINE}
        session.send(
            notification("initialized", {}),
            notification("textDocument/didOpen", {"textDocument": document}),
            inline,
            popup,
        )
        assert session.reply(inline["id"])["result"] is None
        assert session.reply(popup["id"])["result"]["items"] == []
        session.wait_for_state("ready")
        assert suggests(session)
        assert session.shut_down() == 0


def test_loading_is_shown_as_progress(server):
    server.start()
    server.wait(lambda: len(server.notifications("$/progress")) == 2)
    (created,) = server.notifications("window/workDoneProgress/create")
    begin, end = server.notifications("$/progress")
    assert begin["token"] == end["token"] == created["token"]
    assert (begin["value"]["kind"], end["value"]["kind"]) == ("begin", "end")
    assert begin["value"]["title"].startswith("Parrotlet")
    assert server.states() == ["loading", "ready"]
    assert server.shut_down() == 0


def test_a_client_without_any_capability(server):
    server.start(capabilities={})
    assert server.notifications("$/progress") == []
    # no request of the server's own either
    assert not [message for message in server.messages if "id" in message and "method" in message]
    server.open(URI, LINE)
    assert suggests(server)
    assert server.shut_down() == 0


def test_a_client_that_answers_nothing(model):
    with client("--model", model, mute=True) as session:
        session.start(options={"multiline": "never"})
        session.open(URI, LINE)
        assert suggests(session)
        assert session.notifications("$/progress") == []
        assert session.shut_down() == 0
        assert "did not answer workspace/configuration" in session.stderr()


def test_quick_answers_leave_the_status_alone(server):
    server.start()
    server.open(URI, LINE)
    for character in range(4, 19):
        server.inline(URI, 1, character)
    assert server.states() == ["loading", "ready"]
    assert server.shut_down() == 0


def test_the_log_tells_the_editor(server):
    server.start()
    server.wait(
        lambda: any(
            params["message"].startswith("loaded ")
            for params in server.notifications("window/logMessage")
        )
    )
    assert server.shut_down() == 0
    assert server.stderr() == ""


def test_the_debug_log_has_no_text_of_documents(model):
    with client("--model", model, "--log-level", "debug") as session:
        session.start()
        session.open(URI, LINE.replace("side", "secret_name"))
        session.inline(URI, 1, 25)
        session.shut_down()
        assert "tokens" in session.stderr()
        assert "secret_name" not in session.stderr()
        assert "secret_name" not in str(session.notifications("window/logMessage"))


# a model that is not there


def test_a_model_that_is_missing(model, tmp_path):
    missing = str(tmp_path / "missing")
    with client("--model", missing) as session:
        session.initialize()
        session.wait_for_state("error")
        (*_, status) = session.notifications("parrotlet/status")
        assert missing in status["message"]
        assert "\n" not in status["message"]
        assert "--model" in status["remedy"]
        (message,) = session.wait(lambda: shown(session))
        assert missing in message
        session.open(URI, LINE)
        assert session.inline(URI, 1, 18) is None
        assert session.call("textDocument/completion", at(URI, 1, 18))["items"] == []
        # the same failure is shown once
        session.notify("workspace/didChangeConfiguration", {"settings": None})
        session.wait(lambda: session.states()[-2:] == ["loading", "error"])
        assert len(shown(session)) == 1
        # and it is tried again when the settings change
        session.settings = {"model": model}
        session.notify("workspace/didChangeConfiguration", {"settings": None})
        session.wait_for_state("ready")
        assert suggests(session)
        assert session.shut_down() == 0
        assert "Traceback" not in session.stderr()


def test_a_model_that_is_damaged(model, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(model, damaged)
    largest = max(damaged.rglob("*"), key=lambda file: file.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)
    with client("--model", str(damaged)) as session:
        session.initialize()
        session.wait_for_state("error")
        (message,) = session.wait(lambda: shown(session))
        assert "\n" not in message
        session.open(URI, LINE)
        assert session.inline(URI, 1, 18) is None
        assert session.shut_down() == 0
        assert "Traceback" not in session.stderr()


# settings


def test_the_model_of_the_settings_wins(model, tmp_path):
    with client("--model", str(tmp_path / "missing"), settings={"model": model}) as session:
        session.start()
        session.open(URI, LINE)
        assert suggests(session)
        assert session.call("parrotlet/statistics")["model"] == model
        assert session.shut_down() == 0


def test_another_model_is_loaded_when_the_setting_changes(server, model, tmp_path):
    server.start()
    server.open(URI, LINE)
    assert suggests(server)
    copy = tmp_path / "copy"
    shutil.copytree(model, copy)
    server.settings = {"model": str(copy)}
    server.notify("workspace/didChangeConfiguration", {"settings": None})
    server.wait(lambda: server.states() == ["loading", "ready"] * 2)
    assert suggests(server)
    assert server.call("parrotlet/statistics")["model"] == str(copy)
    # other settings do not load it anew
    server.settings = {"model": str(copy), "multiline": "never"}
    server.notify("workspace/didChangeConfiguration", {"settings": None})
    assert suggests(server)
    assert server.states() == ["loading", "ready"] * 2
    assert server.shut_down() == 0


def test_suggestions_are_turned_off_and_on(server):
    server.start()
    server.open(URI, LINE)
    assert suggests(server)
    server.settings = {"enable": False}
    server.notify("workspace/didChangeConfiguration", {"settings": None})
    until(lambda: not suggests(server))
    server.settings = {"enable": True}
    server.notify("workspace/didChangeConfiguration", {"settings": None})
    until(lambda: suggests(server))
    assert server.shut_down() == 0


def test_several_lines_are_turned_off(server):
    server.start(options={"multiline": "auto"})
    server.open("file:///numbers.py", "def is_prime(number):\n    ")
    assert "\n" in server.inline("file:///numbers.py", 1, 4)[0]["insertText"]
    server.settings = {"multiline": "never"}
    server.notify("workspace/didChangeConfiguration", {"settings": None})
    until(lambda: "\n" not in server.inline("file:///numbers.py", 1, 4)[0]["insertText"])
    assert server.shut_down() == 0


def triggered(session, kind, line=LINE):
    """Whether ghost text comes at the end of `line`, asked for by the user (1) or not (2)."""
    session.change(URI, line)
    rows = line.split("\n")
    context = {"triggerKind": kind}
    params = {**at(URI, len(rows) - 1, len(rows[-1])), "context": context}
    return bool(session.call("textDocument/inlineCompletion", params))


def test_manual_means_only_when_the_user_asks(model):
    with client("--model", model, settings={"debounce": "manual"}) as session:
        session.start()
        session.open(URI, LINE)
        assert not triggered(session, 2)
        assert session.call("textDocument/completion", at(URI, 1, 18))["items"] == []
        assert session.call("parrotlet/statistics")["runs"] == 0
        assert triggered(session, 1)
        # what was asked for stays as it is typed
        assert triggered(session, 2, LINE + "si")
        assert not triggered(session, 2, LINE + "x")
        assert session.shut_down() == 0


def test_unsure_suggestions_are_shown_only_to_those_who_ask(model):
    with client("--model", model, settings={"minimumScore": 0}) as session:
        session.start()
        session.open(URI, LINE)
        assert not triggered(session, 2)
        assert session.call("parrotlet/statistics")["unsure"] == 1
        assert triggered(session, 1)
        assert session.shut_down() == 0


def test_nothing_inside_comments_and_strings_where_the_settings_say_so(model):
    comment, docstring = "# " + LINE.split("\n")[0][:-5], 'import math\n"""Areas of plane'
    with client("--model", model) as session:
        session.start()
        session.open(URI, LINE)
        assert triggered(session, 1, docstring)
        session.settings = {"comments": False, "strings": False}
        session.notify("workspace/didChangeConfiguration", {"settings": None})
        until(lambda: not triggered(session, 1, docstring))
        assert not triggered(session, 1, comment)
        assert triggered(session, 1)
        assert session.shut_down() == 0


def test_the_popup_is_left_to_others(model):
    with client("--model", model, settings={"popup": False}) as session:
        session.start()
        session.open(URI, LINE)
        assert session.call("textDocument/completion", at(URI, 1, 18))["items"] == []
        assert suggests(session)
        assert session.shut_down() == 0


def test_settings_come_with_the_handshake(server):
    server.start(options={"parrotlet": {"enable": False}}, capabilities={})
    server.open(URI, LINE)
    assert server.inline(URI, 1, 18) is None
    # an editor that cannot be asked sends them
    server.notify("workspace/didChangeConfiguration", {"settings": {"parrotlet": {"enable": True}}})
    assert suggests(server)
    assert server.shut_down() == 0


def test_settings_that_the_editor_leaves_open_are_those_of_the_handshake(server):
    server.settings = {"enable": None}
    server.start(options={"enable": False})
    server.open(URI, LINE)
    assert server.inline(URI, 1, 18) is None
    assert server.shut_down() == 0


def test_wrong_settings_are_named_and_count_as_their_defaults(server):
    server.settings = {"enable": "yes", "multiline": 3, "model": "", "pythonPath": 7}
    server.start()
    messages = server.wait(lambda: len(shown(server)) >= 2 and shown(server))
    assert len(messages) == 2
    assert "parrotlet.enable" in messages[0]
    assert "parrotlet.multiline" in messages[1]
    server.open(URI, LINE)
    assert suggests(server)
    # once each, though they are read again
    server.notify("workspace/didChangeConfiguration", {"settings": None})
    assert suggests(server)
    assert len(shown(server)) == 2
    assert server.shut_down() == 0


def test_settings_that_are_no_object(server):
    server.settings = [3]
    server.start()
    assert "expected an object" in server.wait(lambda: shown(server))[0]
    server.open(URI, LINE)
    assert suggests(server)
    assert server.shut_down() == 0


# the end


def test_exit_without_shutdown(server):
    server.start()
    server.notify("exit")
    assert server.end() == 1


def test_exit_before_the_handshake(server):
    server.notify("exit")
    assert server.end() == 1


def test_the_pipe_is_closed(server):
    server.start()
    server.process.stdin.close()
    assert server.end() == 1


def test_the_pipe_is_closed_after_shutdown(server):
    server.start()
    server.call("shutdown")
    server.process.stdin.close()
    assert server.end() == 0


def test_nobody_reads_any_more():
    command = [sys.executable, "-m", "parrotlet_server", "serve"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"capabilities": {}}}'
    process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    process.stdin.flush()
    assert process.wait(10) == 1
    assert process.stderr.read() == b""
    process.stderr.close()
    process.stdin.close()


def test_shutdown_while_the_model_loads(model):
    with client("--model", model) as session:
        session.initialize()
        started = time.monotonic()
        assert session.shut_down() == 0
        assert time.monotonic() - started < 2.0
        assert "Traceback" not in session.stderr()


def test_the_editor_dies_and_its_pipes_stay_open(server):
    editor = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    server.start(processId=editor.pid)
    editor.communicate(b"\n")
    assert server.end(10) == 1


def test_an_editor_that_cannot_be_seen_is_not_waited_for(server):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    server.start(processId=gone.pid)
    time.sleep(2.5)  # longer than one look at it
    assert server.call("parrotlet/statistics")["state"] == "ready"
    assert server.shut_down() == 0


def test_nothing_else_is_written_to_stdout(model, tmp_path):
    """Not even by a library that prints from native code."""
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, os, parrotlet_server.engine.engine as module\n"
        "load = module.Engine.load.__func__\n"
        "def chatty(cls, *args, **kwargs):\n"
        "    print('from Python', flush=True)\n"
        "    os.write(1, b'from native code\\n')\n"
        "    return load(cls, *args, **kwargs)\n"
        "module.Engine.load = classmethod(chatty)\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with client("--model", model, env={"PYTHONPATH": path}) as session:
        session.start()  # the client asserts that it reads messages and nothing else
        assert session.shut_down() == 0
        assert "from Python" in session.stderr()
        assert "from native code" in session.stderr()
