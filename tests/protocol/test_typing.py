"""A whole session of typing, with and without what was suggested before."""

from __future__ import annotations

import pytest

from ..support.lsp_client import at, client, did_change, notification
from ..support.tiny_model import DOCUMENTS

URI = "file:///shapes.py"
TEXT = DOCUMENTS["shapes.py"]
START = TEXT.index("def circle_area")
END = TEXT.index("\n\n\ndef triangle_area")


def counts(session):
    return session.call("parrotlet/statistics")


def asked(cursor, trigger=2):
    """Parameters of a request by the editor (2) or by the user (1)."""
    return {**at(URI, *cursor), "context": {"triggerKind": trigger}}


class Typist:
    """Types at the end of a text, and asks at each key as an editor does."""

    def __init__(self, session, text, trigger=2):
        self.session, self.text, self.trigger = session, text, trigger
        session.open(URI, text)

    @property
    def cursor(self):
        lines = self.text.split("\n")
        return len(lines) - 1, len(lines[-1])

    def type(self, text):
        self.session.change(URI, (self.cursor, self.cursor, text))
        self.text += text

    def erase(self, count):
        end = self.cursor
        self.text = self.text[:-count]
        self.session.change(URI, (self.cursor, end, ""))

    def ask(self):
        params = asked(self.cursor, self.trigger)
        items = self.session.call("textDocument/inlineCompletion", params)
        return items[0]["insertText"] if items else ""


@pytest.fixture
def prompt(model):
    """A server that does not wait."""
    with client("--model", model, settings={"debounce": 0}) as session:
        session.start()
        session.call("parrotlet/statistics")
        yield session
        assert session.shut_down() == 0
        assert "Traceback" not in session.stderr()


def test_typing_what_is_suggested_runs_the_model_rarely(prompt, suggest):
    """A function is typed character by character: with each key one run, if nothing was kept."""
    typist = Typist(prompt, TEXT[:START])
    keys = TEXT[START:END]
    alone = 0
    for number, key in enumerate(keys):
        typist.type(key)
        shown = typist.ask()
        alone += 1
        if shown and keys[number + 1 :].startswith(shown):
            assert typist.text + shown == TEXT[: len(typist.text + shown)]
    now = counts(prompt)
    assert now["requests"] + now["cached"] == alone == len(keys)
    assert now["runs"] + now["prefetches"] < alone / 3


def test_what_is_typed_through_is_what_was_suggested(prompt):
    typist = Typist(prompt, TEXT[: TEXT.index("math.pi")])
    shown = typist.ask()
    assert shown == "math.pi * radius ** 2"
    runs = counts(prompt)["runs"]
    # by key, by word, back and on
    for piece in ("m", "ath", ".pi", " * "):
        typist.type(piece)
        shown = shown.removeprefix(piece)
        assert typist.ask() == shown
    typist.erase(5)
    assert typist.ask() == "pi * radius ** 2"
    assert counts(prompt)["runs"] == runs
    # something else, and back
    typist.type("X")
    typist.ask()
    typist.erase(1)
    assert typist.ask() == "pi * radius ** 2"
    assert counts(prompt)["runs"] == runs + 1


def test_the_suggestion_after_the_accepted_one_is_there_at_once(prompt):
    typist = Typist(prompt, TEXT[: TEXT.index("lf = base / 2")])
    shown = typist.ask()
    assert shown == "lf = base / 2"
    prompt.wait_until(lambda: counts(prompt)["prefetches"] == 2)
    runs = counts(prompt)["runs"]
    typist.type(shown)
    assert typist.ask() == ""
    typist.type("\n    ")
    assert typist.ask() == "return half * height"
    now = counts(prompt)
    assert now["runs"] == runs
    assert now["foreseen"] == 2


def test_other_settings_forget_what_was_suggested(prompt):
    typist = Typist(prompt, "def is_prime(number):\n    ")
    assert "\n" in typist.ask()
    prompt.settings = {"debounce": 0, "multiline": "never"}
    prompt.notify("workspace/didChangeConfiguration", {"settings": None})
    prompt.wait_until(lambda: "\n" not in typist.ask())


def test_an_edit_elsewhere_needs_the_model(prompt):
    typist = Typist(prompt, TEXT[: TEXT.index("math.pi")])
    typist.ask()
    runs = counts(prompt)["runs"]
    prompt.change(URI, ((0, 0), (0, 0), "# other\n"))
    typist.text = "# other\n" + typist.text
    typist.ask()
    assert counts(prompt)["runs"] == runs + 1


def test_a_wait_that_is_over_before_its_time_costs_nothing(model):
    """With a long wait, only the last of many keys reaches the model, and those before do not."""
    with client("--model", model, settings={"debounce": 5000}) as session:
        session.start()
        session.call("parrotlet/statistics")
        typist = Typist(session, TEXT[:START])
        messages = []  # sent in one write, so that no pause of this process is one of the typist
        for key in "def circle":
            change = did_change(URI, (typist.cursor, typist.cursor, key))
            messages.append(notification("textDocument/didChange", change))
            typist.text += key
            params = asked(typist.cursor)
            messages.append(session.make_request("textDocument/inlineCompletion", params))
        session.send(*messages)
        requests = [message["id"] for message in messages if "id" in message]
        *older, newest = [session.reply(request) for request in requests]
        assert [reply["result"] for reply in older] == [None] * 9
        assert newest["result"][0]["insertText"] == "_area(radius):"
        now = counts(session)
        assert (now["runs"], now["superseded"]) == (1, 9)
        # one who asks does not wait, nor does what is known
        typist.trigger = 1
        typist.type(" ")
        request = session.request("textDocument/inlineCompletion", at(URI, *typist.cursor))
        session.reply(request)
        assert session.seconds[request] < session.seconds[requests[-1]]
        assert session.shut_down() == 0
