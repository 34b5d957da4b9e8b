"""The whole language server with a real llama.cpp server behind it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from parrotlet_server.bundle import Bundle
from parrotlet_server.engine import Request
from parrotlet_server.engine.prompt import build_prompt

from ..support.lsp_client import at, client
from .llama_server import PATIENCE, LlamaServer, serving

KEY = "sk-right-0123456789abcdef"
WRONG = "sk-wrong-fedcba9876543210"
FOLDER = "file:///home/ada"
URI = f"{FOLDER}/inventory.py"
BEFORE = """\
class Inventory:
    def __init__(self):
        self.items = {}

    def add(self, name, count=1):
        self.items[name] = """
FOLLOWING = (
    "\n\n    def remove(self, name):\n        del self.",
    "\n\n    def total(self):\n        return sum(",
    "\n\n    def names(self):\n        return ",
    "\n",
)

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture
def server(gguf: Callable[[int], Path], tmp_path: Path):
    with serving(gguf(32), tmp_path / "llama.log", KEY) as server:
        yield server


@pytest.fixture
def edit(server: LlamaServer):
    """Gives a language server, with this key, which sends its own model's tokens to `server`."""

    def edit(key=KEY, **settings):
        chosen = {
            "backend": "openai",
            "endpointUrl": server.url,
            "endpointTimeout": PATIENCE,
            "context": "off",
            **settings,
        }
        env = {"PARROTLET_API_KEY": key}
        return client("--log-level", "debug", env=env, settings=chosen)

    return edit


class Document:
    """An open document, with the cursor where the text ends."""

    def __init__(self, session, text):
        self.text = text
        self._session = session
        self._version = 1
        session.start(rootUri=FOLDER)
        session.open(URI, text)

    def suggested(self):
        """What is suggested at the cursor; None if nothing is."""
        items = self._session.call("textDocument/inlineCompletion", self.here())
        return items[0]["insertText"] if items else None

    def here(self):
        """Parameters of a request at the cursor."""
        return at(URI, *self._cursor())

    def write(self, text):
        """Types `text`, or takes a suggestion."""
        self._version += 1
        cursor = self._cursor()
        self._session.change(URI, (cursor, cursor, text), version=self._version)
        self.text += text

    def _cursor(self):
        rows = self.text.split("\n")
        return len(rows) - 1, len(rows[-1])


def said(server: LlamaServer, bundle: Bundle, text: str) -> str:
    """What llama.cpp itself writes after `text`, asked without our client."""
    manifest, request = bundle.manifest, Request(text, "", path="inventory.py")
    context = manifest.architecture.context_length
    prompt = build_prompt(bundle.tokenizer, request, context, manifest.best_quality)
    answer = server.complete(prompt.ids, prompt.limit)
    rest = prompt.rest.decode()
    assert answer.startswith(rest)
    return answer.removeprefix(rest)


def shown(session):
    return [message["message"] for message in session.notifications("window/showMessage")]


def test_what_it_writes_arrives_in_the_document(server, bundled, edit):
    with edit() as session:
        document = Document(session, BEFORE)
        taken = 0
        for following in FOLLOWING:
            suggested = document.suggested()
            if suggested:
                assert said(server, bundled, document.text).startswith(suggested)
                document.write(suggested)
                taken += 1
            document.write(following)
        assert taken > len(FOLLOWING) / 2
        status = session.notifications("parrotlet/status")[-1]
        assert status["message"] == "Ready, with the model at 127.0.0.1."
        assert session.call("parrotlet/statistics")["runs"] >= taken
        assert shown(session) == []
        assert session.shut_down() == 0
        assert KEY not in session.stderr() + str(session.messages)
    assert KEY not in server.log.read_text(encoding="utf-8", errors="replace")


def test_a_server_killed_under_a_request_is_told_once_and_forgiven(server, bundled, edit):
    with edit() as session:
        document = Document(session, BEFORE)
        assert document.suggested()
        document.write("count\n        self.")
        server.freeze()  # it has the request, and nothing of an answer
        asked = session.request("textDocument/inlineCompletion", document.here())
        session.wait_for_state("busy")
        server.kill()
        assert not session.reply(asked)["result"]
        session.wait_for_state("error")
        document.write("items.")
        assert document.suggested() is None
        [message] = shown(session)
        assert message.startswith(f"Parrotlet: {server.url}/completions cannot be used: ")
        assert "parrotlet.endpointUrl" in message
        server.start()
        document.write("get(")
        suggested = document.suggested()
        assert suggested
        assert said(server, bundled, document.text).startswith(suggested)
        session.wait_for_state("ready")
        assert len(shown(session)) == 1
        assert session.shut_down() == 0
        assert "Traceback" not in session.stderr()


def test_a_wrong_key_is_told_and_never_shown(server, edit):
    with edit(WRONG) as session:
        document = Document(session, BEFORE)
        assert document.suggested() is None
        session.wait_for_state("error")
        [message] = shown(session)
        assert "401" in message
        assert "is the key right?" in message
        assert session.shut_down() == 0
        assert session.stderr()
        seen = session.stderr() + str(session.messages)
        assert WRONG not in seen
        assert KEY not in seen
    assert WRONG not in server.log.read_text(encoding="utf-8", errors="replace")
