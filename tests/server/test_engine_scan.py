import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from parrotlet_server.engine.scan import Scanner, indentation, region, without_comment


@pytest.mark.parametrize(
    ("text", "brackets", "quote"),
    [
        ("f(a, [b", [")", "]"], ""),
        ("f(a)[0]", [], ""),
        ("f('(', \"[\")", [], ""),
        ("f('it", [")"], "'"),
        ("x = 'a\\'b(", [], "'"),
        ('"""doc (', [], '"""'),
        ('"""doc""" (', [")"], ""),
        ("x = ''", [], ""),
        ("# (", [], ""),
        ("# (\nf(", [")"], ""),
        ("'never closed\nf(", [")"], ""),
        ('"""over\nlines (', [], '"""'),
        ("{'a': (1, 2)", ["}"], ""),
        (")](", [")"], ""),
        ("f(]", [")"], ""),
    ],
)
def test_what_is_open_after_a_text(text, brackets, quote):
    scanner = Scanner()
    scanner.feed(text)
    assert (scanner.brackets, scanner.quote) == (brackets, quote)


@pytest.mark.parametrize(
    ("before", "text", "closed"),
    [
        ("f(", "a, b)", [(4, ")")]),
        ("f(g(", "a), b)", [(1, ")"), (5, ")")]),
        ("f(", "g(a))", [(4, ")")]),
        ("f('", "a', b)", [(1, "'"), (5, ")")]),
        ('"""', 'doc."""', [(4, '"""')]),
        ("f(", "')')", [(3, ")")]),
        ("f(", "a # )", []),
        ("", "a)]", [(1, ")"), (2, "]")]),
        ("# it", "'s (", []),
    ],
)
def test_what_a_text_closes_of_what_was_open_before(before, text, closed):
    scanner = Scanner()
    scanner.feed(before)
    assert [(item.start, item.text) for item in scanner.feed(text)] == closed


@given(st.text("()[]{}'\"#\\\n a,", max_size=40), st.integers(0, 40))
def test_a_text_may_come_in_two_parts(text, at):
    # neither an escape nor a triple quote is torn apart
    around = text[max(0, at - 2) : at + 3]
    assume("\\" not in around and "''" not in around and '""' not in around)
    whole, parts = Scanner(), Scanner()
    whole.feed(text)
    parts.feed(text[:at])
    parts.feed(text[at:])
    assert (whole.brackets, whole.quote, whole.comment) == (
        parts.brackets,
        parts.quote,
        parts.comment,
    )


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("if x:  # why", "if x:"),
        ("x = '#'  # c", "x = '#'"),
        ("x = '#'", "x = '#'"),
        ('f("# a", # b', 'f("# a",'),
        ("# all", ""),
        ("plain  ", "plain"),
    ],
)
def test_comments_are_left_out(line, code):
    assert without_comment(line) == code


@pytest.mark.parametrize(
    ("line", "columns"), [("x", 0), ("    x", 4), ("\tx", 8), ("  \tx", 8), ("\t  x", 10), ("", 0)]
)
def test_indentation_counts_tabs(line, columns):
    assert indentation(line) == columns


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "code"),
        ("x = 1", "code"),
        ("x  # why", "comment"),
        ("x  # it's", "comment"),
        ("x  # why\n", "code"),
        ("'a", "string"),
        ("'a'", "code"),
        ("''", "code"),
        ("'", "string"),
        ("'never closed\nx", "code"),
        ("'a\\\nb", "string"),
        ("'a\\", "string"),
        ("'a\\'", "string"),
        ("'#", "string"),
        ('"""a\n\n# it', "string"),
        ('"""a""', "string"),
        ('"""a"""', "code"),
        ('"""a\\"""', "string"),
        ("'''it's", "string"),
        ("f'{x", "code"),
        ("rf'{x}", "string"),
        ("f'{{x", "string"),
        ("'{x", "string"),
    ],
)
def test_region(text, expected):
    assert region(text) == expected


@given(st.text("ab#'\"\\\n{}f", max_size=40))
def test_region_agrees_with_the_scanner(text):
    scanner = Scanner()
    scanner.feed(text)
    assume(not (region(text) == "code" and scanner.quote))  # a field of an f-string
    # a backslash at the end takes in the character that is still to come
    expected = "comment" if scanner.comment else "string" if scanner.quote else "code"
    assert region(text) == expected
