"""Wrong suggestions, by kind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parrotlet_training.evaluate.lines import LineItem, LineScore
from parrotlet_training.evaluate.mistakes import mistake


@pytest.mark.parametrize(
    ("before", "wanted", "suggested", "kind"),
    [
        ("    return ", "self.name", "self.name", "right"),
        ("    return ", "self.name", "", "nothing suggested"),
        ("    return ", "self.name + other", "self.name", "stops too early"),
        ("    return ", "self.name", "self.name + other", "goes on too long"),
        ("    return se", "lf.name", "t(name)", "wrong end of a word"),
        ("import col", "lections", "orama", "wrong end of a word"),
        ("    return ", "self.name", "self.title", "wrong attribute"),
        ("    self.", "close()", "open()", "wrong attribute"),
        ("    return ", "left + right", "left + other", "wrong name"),
        ("    ", "for row in rows:", "for line in rows:", "wrong name"),
        ("    call(", "size=3)", "count=3)", "wrong keyword argument"),
        ("    call(", "1, size=3)", "1, count=3)", "wrong keyword argument"),
        ("    call(", "size == 3)", "count == 3)", "wrong name"),
        ("    x = ", "open(path, 'rb')", "open(path, 'r')", "wrong literal"),
        ("    x = ", "y[1]", "y[0]", "wrong literal"),
        ("    x = ", "[]", "{}", "another expression"),
        ("    x = ", "not y", "y", "another expression"),
        ("    x = ", "None", "True", "another expression"),
        ("    ", "return x", "if x:", "another statement"),
        ("    ", "self.x = 1", "self.x(1)", "another statement"),
        ("    ", "@property", "def f(self):", "another statement"),
        ("    ", '"""What it does."""', "pass", "another statement"),
        ("    ", "x = 1", "y = 1", "wrong name"),
        ("    return ", "values", "value", "wrong name"),
        ("    return ", "value", "values", "wrong name"),
        ("import col", "lections", "lection", "wrong end of a word"),
        ("    x = ", "10", "1", "wrong literal"),
        ("    x = 1", "0", "2", "wrong literal"),
        ('    raise ValueError("no such ', 'file")', 'name")', "wrong literal"),
        ('    path = "usr.', 'local"', 'bin"', "wrong literal"),
        ('    path = "usr.', 'local"', "loc", "stops too early"),
        ('    path = "usr.', 'local"', 'local" + x', "goes on too long"),
        ("    return ", "f(a, b)", "f(a,b)", "other spacing"),
        ("    return ", "y", "not y", "another expression"),
        ("def f(a, ", "size=3):", "count=3):", "wrong name"),
    ],
)
def test_the_first_thing_that_is_wrong_counts(before, wanted, suggested, kind):
    assert mistake(before, wanted, suggested) == kind


LINES = st.text(alphabet="ab. =('\"1+\\é\t", max_size=12)


@given(LINES, LINES, LINES)
def test_any_text_has_a_kind(before, wanted, suggested):
    kind = mistake(before, wanted, suggested)
    assert (kind == "right") == (wanted == suggested)


def score(*items):
    found = [
        LineItem("a.py", at, "x = ", wanted, suggested, 0.0, reason, 0.0, tuple(dropped))
        for at, (wanted, suggested, reason, *dropped) in enumerate(items)
    ]
    return LineScore(tuple(found), tuple(str(at) for at in range(len(found))))


def test_who_stops_right_is_told_among_those_who_knew_the_line():
    found = score(
        ("abcdefghij", "abcdefghij", "end"),
        ("abcdefghij", "abcdefghij()", "end"),
        ("abcdefghij", "abcdefgh", "end"),
        ("abcdefghij", "abcdefghxy", "end"),  # another end, in the right place or not
        ("abcdefghij", "abcdefxx", "end"),
        ("abcdefghij", "", "empty"),
    ).stops_right
    assert (found.value, found.n) == (1 / 3, 3)


def test_what_the_server_drops_as_no_python_counts_as_written():
    found = score(
        ("abc", "abc", "end"),
        ("abc", "xyz", "end"),
        ("abc", "", "syntax", "syntax", "repetition"),
        ("abc", "abd", "end", "syntax"),  # another answer stands in for it
        ("abc", "", "empty", "empty"),
        ("abc", "abd", "end", "repetition", "syntax"),
        ("abc", "xyz(", "length"),
    )
    assert (found.parseable.value, found.parseable.n) == (2 / 4, 4)
    assert found.mistakes() == {"wrong name": 4, "nothing suggested": 2}
