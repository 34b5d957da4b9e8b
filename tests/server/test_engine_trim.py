import pytest
from hypothesis import given
from hypothesis import strategies as st

from parrotlet_server.engine import Request
from parrotlet_server.engine.place import Place
from parrotlet_server.engine.trim import fit_closers, objection


@pytest.mark.parametrize(
    ("line", "text", "tail", "expected"),
    [
        # the text brings the closers that the editor has put there
        ("foo(", "a, b)", ")", ("a, b)", 1)),
        ('print("', 'hello")', '")', ('hello")', 2)),
        ("foo(bar(", "x), y)", "))", ("x), y)", 2)),
        ("foo(bar(", "x)", "))", ("x)", 1)),
        ("foo(bar(", "x).baz", "))", ("x).baz", 1)),
        ("if foo(", "x):", "):", ("x):", 2)),
        ("if foo(", "x) and y:", "):", ("x) and y:", 2)),
        ("if foo(", "x)", "):", ("x)", 1)),
        ("x = [foo(", "a), b],", ")]", ("a), b],", 2)),
        ("foo( ", "a )", " ) ", ("a )", 2)),
        ('f("', '%s" % x)', '")', ('%s" % x)', 2)),
        ("f(bar(", "x))", ")", ("x))", 1)),  # the outer one was opened earlier
        ('"""', 'Doc."""', '"""', ('Doc."""', 3)),
        ("    (", "a, b),", "),", ("a, b),", 2)),
        # it does not, and fits before them
        ("foo(", "a, b", ")", ("a, b", 0)),
        ('print("', "hello", '")', ("hello", 0)),
        ("foo(", "a, [1, 2]", ")", ("a, [1, 2]", 0)),
        ("foo(", "'a', b", ")", ("'a', b", 0)),
        # it leaves something open: cut before that
        ("foo(", "a, [b", ")", ("a", 0)),
        ("foo(", "a, b, bar(c, ", ")", ("a, b", 0)),
        ("foo(", "a, 'b", ")", ("a", 0)),
        ("foo(", "[b", ")", ("", 0)),
        ("foo(", "a, b  # note", ")", ("a", 0)),
        # it closes something else
        ("foo(", "a], b", ")", ("a", 0)),
        ("foo(", "]", ")", ("", 0)),
        # nothing to fit
        ("foo(", "a, b)", "", ("a, b)", 0)),
        ("foo(", "a, b)", "   ", ("a, b)", 0)),
        ("x = [", "1, 2", "", ("1, 2", 0)),
    ],
)
def test_closers_right_of_the_cursor(line, text, tail, expected):
    assert fit_closers(line, text, tail) == expected


signs = st.text("ab ,()[]'\":#", max_size=12)


@given(signs, signs, st.text(")]}'\",: ", max_size=5))
def test_the_text_is_only_ever_cut_and_only_the_tail_replaced(line, text, tail):
    kept, overwrite = fit_closers(line, text, tail)
    assert text.startswith(kept)
    assert 0 <= overwrite <= len(tail)
    for sign in set(tail[:overwrite]) - {" "}:
        assert tail[:overwrite].count(sign) <= kept.count(sign)


def at(text):
    prefix, _, suffix = text.partition("|")
    return Place.of(Request(prefix, suffix))


@pytest.mark.parametrize(
    ("place", "text", "expected"),
    [
        ("x = |", "1", None),
        ("x = |", "", "empty"),
        ("x = |", " \n ", "empty"),
        ("    a = |\n    a = 1\n", "1", "duplicate"),
        ("    |\n\n    a = 1\n", "a = 1", "duplicate"),
        ("    a = |\na = 1\n", "1", None),  # indented otherwise
        ("    a = |\n    a = 12\n", "1", None),
        ("a.append(1)\na.app|", "end(1)", "repetition"),
        ("])\n]|", ")", None),
        ("def f():\n    |", "a = 1\n    a = 1", None),
    ],
)
def test_what_is_not_worth_showing(place, text, expected):
    assert objection(at(place), text) == expected
