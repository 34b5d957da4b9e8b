"""Closing brackets that nothing opened are not written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import parrotlet_server.engine.engine as module
from parrotlet_server.engine import Request
from parrotlet_server.engine.brackets import Brackets
from parrotlet_server.engine.decode import Decoder
from parrotlet_server.engine.place import NEAR, Place
from parrotlet_server.engine.scan import CLOSER, Scanner

from ..support.tiny_model import DOCUMENTS


def brackets_at(prefix, suffix=""):
    return Brackets.at(Place.of(Request(prefix, suffix)))


@pytest.mark.parametrize(
    ("prefix", "allowed", "forbidden"),
    [
        ("x = f(", ["a)", "[a])", "')')", "a  # ]"], ["]", "a))", "[a)", "{)"]),
        ("x = [f(", ["a)]", "a), b]"], ["a]", "a))"]),
        ("x = ", ["(a)", "a\ny = (b)"], [")", "a]", "(a))"]),
        ("def f(\n    a,\n    b", [")", "[1])", "):\n    return (a)"], ["]", "):\n    return a)"]),
        # what is open above the statement at the left edge was left open by mistake
        ("broken = (\n\ndef f():\n    x = 1", ["", "(a)"], [")"]),
        ("f'{x[", [")"], []),  # in a replacement field, it is not known
        ('"""Text with an open quote', [")"], []),
        ("# a comment", [")"], []),
    ],
)
def test_what_may_be_closed(prefix, allowed, forbidden):
    brackets = brackets_at(prefix)
    assert brackets is not None or not forbidden
    for text in allowed:
        assert brackets is None or brackets.allow(text), text
    for text in forbidden:
        assert brackets is not None
        assert not brackets.allow(text), text


def test_where_no_statement_begins_nearby_nothing_is_forbidden():
    table = "x = {\n" + "    1: (2, 3),\n" * NEAR
    assert brackets_at(table) is None
    short = brackets_at("x = {\n    1: (2, 3),\n")
    assert short is not None
    assert short.allow("}")
    assert not short.allow(")")


@given(st.text("()[]{}a,'#\n ", max_size=30), st.text("()[]{}a,'# ", max_size=20))
def test_what_is_allowed_begins_with_what_is_allowed_and_is_closed_in_order(before, text):
    brackets = brackets_at(before)
    if brackets is None:
        return
    verdicts = [brackets.allow(text[:end]) for end in range(len(text) + 1)]
    assert verdicts == sorted(verdicts, reverse=True)
    scanner = Scanner()
    scanner.feed(before)
    if not set(before) & set(CLOSER.values()):  # what a wrong one leaves open is a convention
        scanner.feed(text)
        assert verdicts[-1] == (scanner.wrong is None)


def torn_places():
    """Places in texts that the model knows by heart, but with another bracket open before each."""
    for path, text in DOCUMENTS.items():
        for at in range(len(text)):
            begin = text.rfind("\n", 0, at) + 1
            line = text[begin:at]
            scanner = Scanner()
            scanner.feed(line)
            if at % 3 or scanner.quote or scanner.brackets != [")"]:
                continue
            opening = line.rindex("(")
            yield path, text[:begin] + line[:opening] + "[" + line[opening + 1 :]


def answers(engine, monkeypatch, rule):
    """What is written at each of those places, whatever becomes of it, and what is open there."""
    written = []
    suggestion_of = module.suggestion_of

    def keep(place, decoded, known=()):
        written.append((Brackets.at(place), decoded.text))
        return suggestion_of(place, decoded, known)

    with monkeypatch.context() as patched:
        patched.setattr(module, "suggestion_of", keep)
        if not rule:
            patched.setattr(Decoder, "several", without_rule(Decoder.several))
        for number, (path, before) in enumerate(torn_places()):
            document = str(number % 3)
            engine.complete(Request(before, "", path, document, "never", candidates=3))
    return [(brackets, text) for brackets, text in written if brackets is not None]


def without_rule(several):
    return lambda self, *arguments: several(self, *arguments[:-1], None)


def test_wrong_brackets_are_passed_over(engine, monkeypatch):
    before = answers(engine, monkeypatch, rule=False)
    after = answers(engine, monkeypatch, rule=True)
    wrong = [sum(not open_.allow(text) for open_, text in one) for one in (before, after)]
    assert min(len(before), len(after)) > 100
    assert wrong[0] > 20
    assert wrong[1] <= wrong[0] / 10, wrong
