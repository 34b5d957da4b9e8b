"""A typed character costs the model a few tokens, not the whole prompt, over the protocol too."""

from __future__ import annotations

import statistics

from ..support.lsp_client import at
from ..support.tiny_model import DOCUMENTS

TEXT = DOCUMENTS["inventory.py"]
LINE = "        self.items[name] = self.items.get(name, 0) + count\n"


def runs(session):
    return session.call("parrotlet/statistics")["last"]


def type_line(session, uri, start, line):
    """Types `line` at the start of a line; gives the account of the model's run for each key."""
    accounts = []
    for character, sign in enumerate(line.rstrip("\n")):
        session.change(uri, ((start, character), (start, character), sign))
        session.call("textDocument/inlineCompletion", at(uri, start, character + 1))
        accounts.append(runs(session))
    return accounts


def test_typing_a_line(shared, new_uri):
    uri = new_uri("inventory.py")
    before, after = TEXT.split(LINE)
    shared.open(uri, before + "\n" + after)
    accounts = type_line(shared, uri, before.count("\n"), LINE)
    assert len(accounts) == len(LINE) - 1
    assert statistics.median(account["promptTokens"] for account in accounts) > 100
    assert statistics.median(account["evaluatedTokens"] for account in accounts[1:]) <= 3


def test_two_documents_in_turn_keep_their_states(shared, new_uri):
    before, after = TEXT.split(LINE)
    uris = [new_uri("inventory.py"), new_uri("shapes.py")]
    for uri in uris:
        shared.open(uri, before + "\n" + after)
    evaluated = []
    for character, sign in enumerate("        self.items"):
        for uri in uris:
            place = (before.count("\n"), character)
            shared.change(uri, (place, place, sign))
            shared.call("textDocument/inlineCompletion", at(uri, place[0], character + 1))
            evaluated.append(runs(shared)["evaluatedTokens"])
    assert statistics.median(evaluated[2:]) <= 3


def test_the_same_place_again_runs_nothing(shared, new_uri):
    uri = new_uri("inventory.py")
    before, after = TEXT.split(LINE)
    shared.open(uri, before + "        self.items\n" + after)
    place = at(uri, before.count("\n"), 18)
    first = shared.call("textDocument/inlineCompletion", place)
    before = shared.call("parrotlet/statistics")
    assert shared.call("textDocument/inlineCompletion", place) == first
    now = shared.call("parrotlet/statistics")
    assert (now["runs"], now["cached"]) == (before["runs"], before["cached"] + 1)
