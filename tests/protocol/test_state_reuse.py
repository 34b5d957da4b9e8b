"""A typed character costs the model a few tokens, not the whole prompt, over the protocol too."""

from __future__ import annotations

import statistics

from ..support.lsp_client import at
from ..support.tiny_model import DOCUMENTS

TEXT = DOCUMENTS["inventory.py"]
LINE = "        self.items[name] = self.items.get(name, 0) + count\n"


def type_key(session, uri, line, character, sign, accounts):
    """Types a key and asks; adds the account of the model's run, if it ran: what is typed as it was
    suggested needs none."""
    before = session.call("parrotlet/statistics")["runs"]
    session.change(uri, ((line, character), (line, character), sign))
    session.call("textDocument/inlineCompletion", at(uri, line, character + 1))
    after = session.call("parrotlet/statistics")
    if after["runs"] > before:
        accounts.append(after["last"])


def type_line(session, uri, start, line):
    """Types `line` at the start of a line; gives the accounts of the model's runs."""
    accounts = []
    for character, sign in enumerate(line.rstrip("\n")):
        type_key(session, uri, start, character, sign, accounts)
    return accounts


def test_typing_a_line(shared, new_uri):
    uri = new_uri("inventory.py")
    before, after = TEXT.split(LINE)
    shared.open(uri, before + "\n" + after)
    # names that the model does not know, so that it suggests something else
    accounts = type_line(shared, uri, before.count("\n"), "        zebra_q7 = okapi(w3, 11)")
    assert len(accounts) > 10
    assert statistics.median(account["promptTokens"] for account in accounts) > 100
    assert statistics.median(account["evaluatedTokens"] for account in accounts[1:]) <= 3


def test_two_documents_in_turn_keep_their_states(shared, new_uri):
    before, after = TEXT.split(LINE)
    uris = [new_uri("inventory.py"), new_uri("shapes.py")]
    for uri in uris:
        shared.open(uri, before + "\n" + after)
    evaluated = []
    for character, sign in enumerate("        zebra_q7 = o"):
        for uri in uris:
            accounts = []
            type_key(shared, uri, before.count("\n"), character, sign, accounts)
            evaluated += [account["evaluatedTokens"] for account in accounts]
    assert len(evaluated) > 10
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
