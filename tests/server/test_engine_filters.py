import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parrotlet_server.engine import Request
from parrotlet_server.engine.filters import post_process
from parrotlet_server.engine.filters.closers import fit_closers
from parrotlet_server.engine.filters.indent import in_the_files_style, up_to_misplaced
from parrotlet_server.engine.filters.names import has_unknown_name
from parrotlet_server.engine.filters.repeats import without_lines_below
from parrotlet_server.engine.filters.validity import count_errors, up_to_valid
from parrotlet_server.engine.filters.words import starts_inside_a_word
from parrotlet_server.engine.place import Place


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
    ("place", "text", "reason"),
    [
        ("x = |", "1", None),
        ("x = |", "", "empty"),
        ("x = |", " \n ", "empty"),
        ("    a = |\n    a = 1\n", "1", "duplicate"),
        ("    |\n\n    a = 1\n", "a = 1", "duplicate"),
        ("    a = |\na = 1\n", "1", None),  # indented otherwise
        ("    a = |\n    a = 12\n", "1", None),
        ("a.append(1)\na.app|", "end(1)", "repetition"),
        ("x = [[1\n]\n|", "]", None),
        ("def f():\n    |", "a = 1\n    a = 1", None),
        ("f()|", "x", "word"),
        ("x = 1 |", "+)", "syntax"),
        ("f(|)", "]", "empty"),
    ],
)
def test_what_is_not_worth_showing(place, text, reason):
    left = post_process(at(place), text)
    assert left.reason == reason
    assert bool(left.text) == (reason is None)
    assert left.text in (text, "")


@pytest.mark.parametrize(
    ("place", "text", "kept"),
    [
        ("def f():\n    |\n    fc()\n", "fa()\n    fb()\n    fc()", "fa()\n    fb()"),
        ("def f():\n    |\n    fc()\n\n    fd()", "fa()\n    fc()\n    fd()", "fa()"),
        ("def f():\n    |\n    fc()\n    fd()", "fa()\n    fc()", "fa()"),
        ("def f():\n    |\n    fc()\n", "if a:\n        fc()", "if a:\n        fc()"),
        ("def f():\n    |\nc()\n", "fa()\n    fc()", "fa()\n    fc()"),
        ("x = [\n    |\n]\n", "[\n    1\n]", "[\n    1\n]"),  # a bracket may stand twice
        ("x = |\nc()\n", "fc()", "fc()"),
    ],
)
def test_lines_that_stand_below_are_not_written_again(place, text, kept):
    assert without_lines_below(at(place), text) == kept


TABS = "class A:\n\tdef f(self):\n\t\treturn 1\n\n\tdef g(self):\n"
SPACES = "class A:\n  def f(self):\n    return 1\n\n  def g(self):\n"


def test_a_line_begins_where_it_was_put():
    place = at("if a:\n    try:\n        f()\n    |\n")
    assert post_process(place, "    g()").reason == "indentation"
    assert post_process(place, "finally:\n        g()").text == "finally:\n        g()"
    assert post_process(at("if a:\n    f()\n|\n"), "    g()").text == "    g()"


@pytest.mark.parametrize(
    ("place", "text", "kept"),
    [
        # spaces of a model that has seen few tabs
        (TABS + "\t\tif a:\n\t\t\t|\n\t\tbee()\n", "a()\n        bee()", "a()"),
        (TABS + "\t|\n\t\tbee()\n", "    bee()", ""),
        # what stands below is followed by what is cut off
        ("def f():\n    |\n    bee()\n", "a()\n    bee()\n  c()", "a()"),
        ("def f():\n    |\n    bee()\n", "a()\n    bee()\n    x = = 1", "a()"),
    ],
)
def test_no_line_below_is_written_again_whatever_else_is_changed(place, text, kept):
    assert post_process(at(place), text).text == kept


@pytest.mark.parametrize(
    ("place", "text", "kept"),
    [
        (TABS + "|", "        if x:\n            y()", "\t\tif x:\n\t\t\ty()"),
        (TABS + "\t\t|", "if x:\n\t\t\ty()", "if x:\n\t\t\ty()"),
        (TABS + "\t\t|", "if x:\n            y()", "if x:\n\t\t\ty()"),
        (SPACES + "|", "\t\tif x:\n\t\t\ty()", "    if x:\n      y()"),
        (SPACES + "    x = |", "1\n\tt", "1\n  t"),
        (TABS + "\t\tx = |", "    1", "    1"),  # inside a line it is no indentation
        ("|", "if x:\n\ty()", "if x:\n\ty()"),  # nothing says how
    ],
)
def test_the_indentation_is_the_files(place, text, kept):
    assert in_the_files_style(at(place), text) == kept


@pytest.mark.parametrize(
    ("place", "text", "kept"),
    [
        ("def f():\n    |", "if x:\n        y()\n    z()", None),
        ("def f():\n    |", "if x:\n        y()\n      z()", "if x:\n        y()"),
        ("def f():\n    |", "if x:\n        y(\n      z)\n    z()", None),
        ("def f():\n    |", 'x = """\n  a\n"""\n    z()', None),
        ("def f():|", "\n    if x:\n        y()\n    z()", None),
        ("def f():|", "\n    if x:\n        y()\n       z()", "\n    if x:\n        y()"),
        ("x = [|", "\n    1,\n]", None),
        ("def f():\n    |", "if x:\n        y()\n\n  # note\n    z()", None),
    ],
)
def test_a_line_goes_back_to_where_a_block_began(place, text, kept):
    assert up_to_misplaced(at(place), text) == (text if kept is None else kept)


@pytest.mark.parametrize(
    ("place", "text", "inside"),
    [
        ("f()|", "x", True),
        ("f()|", ".x", False),
        ("f() |", "if x", False),
        ("x = 'a'|", "b", True),
        ("x = '|", "b", False),
        ('"""a"|', "b", False),
        ("# see f()|", "s", False),
        ("retur|", "n", False),
    ],
)
def test_words_do_not_run_together(place, text, inside):
    assert starts_inside_a_word(at(place), text) is inside


@pytest.mark.parametrize(
    ("place", "text", "kept"),
    [
        ("x = f(|", "a, b)", None),
        ("x = f(|", "a b)", ""),
        ("x = |", "1 +", ""),
        ("for x |", "in y:", None),
        ("for x |", "on y:", ""),
        ("x = 1|", "2", None),
        ("def f():\n    |\n\n\ndef g():\n    pass\n", "a()\n    b(:\n    c()", "a()"),
        ("def f():\n    |\n\n\ndef g():\n    pass\n", "if a:\n        b()\n    c()", None),
        # the text is broken without it, and is not more broken with it
        ("def f(:\n    x ==\n    y = |\n", "1", None),
        # so is what is typed already
        ("x = foo(a b, |", "c)", None),
        ("x = foo(a b, |)", "c", None),
        ("x = foo(a b, |", "c]", ""),
        ("x = foo(a b, |", "c d)", ""),
        ("if a b: f(|", "c)", None),
        ("x = = |", "1", None),
        ("for x i|", "n y:", None),
        ("for x i|", "f y:", ""),
        ("x = a if b e|", "lse c", None),
        ("x = a if b e|", "lif c", ""),
        ("def f(a, |", "b) -> c:", None),
        ("def f(a, |", "b) c:", ""),
        ("with a as |", "b c:", ""),
        ("from a |", "import b", None),
        ("from a |", "importt b", ""),
        # where anything may be written
        ("# |", "in y: (", None),
        ('"""A text |\n"""', "in y: (", None),
        # newer syntax
        ("match x:\n    case |\n", "[a, *b] if a:", None),
        ("type |\n", "A[T: int] = list[T]", None),
        ("def f[|\n", "T: (int, str), *Ts, **P](x: T) -> T:", None),
        ("try:\n    pass\nexcept* |\n", "ValueError as e:", None),
        ("x = |\n", 'f"{a["b"]!r:>{w}}"', None),
    ],
)
def test_the_text_does_not_get_worse(place, text, kept):
    assert up_to_valid(at(place), text, 0) == (text if kept is None else kept)


@pytest.mark.parametrize(
    ("place", "text", "unknown"),
    [
        ("import json\nx = |", "json.x", False),
        ("import json\nx = |", "jsom.x", True),
        ("x = |\ny = later(1)", "later(x)", False),
        ("x = |", "len(x) if x else None", False),
        ("x = |", "x.never_seen", True),
        ("value = val|", "ue", False),
        ("value = val|", "id", True),
        ("x = |", "'never seen'  # not seen", False),
        ("x = 'a' + |", "y", True),
        ("def |", "f(a, b):", False),
        ("from a import |", "b", False),
        ("def f():|", "\n    return g()", True),
        ("# |", "never seen", False),
        ("'''|", "never seen", False),
    ],
)
def test_names_that_stand_nowhere(place, text, unknown):
    assert has_unknown_name(at(place), text) is unknown


def test_what_is_replaced_counts_as_gone():
    assert up_to_valid(at("f(a[|])\n"), "0])", 2) == "0])"
    assert up_to_valid(at("f(a[|])\n"), "0])", 0) == ""


def test_a_line_without_room_for_more_need_not_be_whole():
    assert post_process(at("x = |"), "1 +", finished=False).text == "1 +"
    assert post_process(at("x = |"), "1 +").reason == "syntax"


def test_a_long_docstring_above_is_no_error():
    text = 'class A:\n    """Doc.\n' + "    some words: they are (no code\n" * 200 + '    """\n'
    place = at(text + "    def f(self):\n        return |\n")
    assert up_to_valid(place, "1", 0) == "1"
    assert up_to_valid(place, "1)", 0) == ""


def test_errors_are_counted():
    assert count_errors("x = 1\n") == 0
    assert count_errors("x = (1\ny = \n") > 0
    assert count_errors("x = '\ud83d'\n") == 0


pieces = st.lists(
    st.sampled_from(
        ["def f(x):", "\n", "    ", "\t", "return", " x", "(", ")", "[", "'", '"""', "#", ":", ","]
    ),
    max_size=25,
).map("".join)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(pieces, pieces, st.text(")]}'\",: ", max_size=3), pieces)
def test_what_is_left_is_text_that_can_be_inserted(before, text, tail, below):
    place = Place.of(Request(before, tail + "\n" + below))
    left = post_process(place, text)
    assert (left.reason is None) == bool(left.text.strip())
    assert 0 <= left.overwrite <= len(tail)
    if "indentation" not in left.changed:
        assert text.startswith(left.text)
