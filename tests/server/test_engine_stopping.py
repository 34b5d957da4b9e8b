import pytest

from parrotlet_server.engine import Request
from parrotlet_server.engine.place import Place
from parrotlet_server.engine.stopping import (
    EndOfBlock,
    EndOfLine,
    repeated_lines,
    stopping_at,
    stutters,
)


def block(text):
    prefix, _, suffix = text.partition("|")
    place = Place.of(Request(prefix, suffix))
    assert place.opened is not None
    return EndOfBlock(place, place.opened)


def line(text=""):
    return EndOfLine(Place.of(Request(text, "")))


def written(stopping, text):
    """What is kept of `text`, arriving one character at a time, and why it ended."""
    for end in range(1, len(text) + 1):
        stop = stopping.check(text[:end])
        if stop is not None:
            return text[: stop.end].rstrip(), stop.reason
    stop = stopping.finish(text, "end_of_text")
    return text[: stop.end].rstrip(), stop.reason


@pytest.mark.parametrize(
    ("text", "kept"), [("a + b\n    c", "a + b"), ("\n  x", ""), ("a\r\nb", "a")]
)
def test_a_line_ends_with_its_line(text, kept):
    assert written(line(), text) == (kept, "end_of_line")


def test_a_line_may_end_with_the_answer():
    assert written(line(), "a + b") == ("a + b", "end_of_text")
    assert line().finish("a + b", "length").reason == "length"


F = "def f(x):\n    |"


@pytest.mark.parametrize(
    ("place", "text", "kept"),
    [
        (F, "y = x\n    return y\n\n\ndef g():", "y = x\n    return y"),
        (
            F,
            "if x:\n        y = 1\n\n    return y\nprint(1)",
            "if x:\n        y = 1\n\n    return y",
        ),
        (F, "return x\n# note", "return x"),
        # begins on the header's own line, or deeper than the cursor
        ("def f(x):|", "\n    return x\nf(1)", "\n    return x"),
        ("def f(x):|", "\n\n    return x\nf(1)", "\n\n    return x"),
        ("def f(x):\n|", "    return x\nf(1)", "    return x"),
        # does not go into the block
        ("def f(x):|", "\nf(1)", ""),
        ("def f(x):\n|", "f(1)", ""),
        # tabs
        (
            "\tdef f(x):\n\t\t|",
            "if x:\n\t\t\ty()\n\t\treturn\n\tdef",
            "if x:\n\t\t\ty()\n\t\treturn",
        ),
        # what stands below is not written again
        ("    def f(x):\n        |\n    a = 1", "return\n    a = 1\n", "return"),
        # a bracket's content ends with the bracket, unless that is there
        ("f(\n    |", "a,\n    b,\n)\nx = 1", "a,\n    b,\n)"),
        ("f(\n    |\n)", "a,\n    b,\n)\nx = 1", "a,\n    b,"),
        ("x = [|", "\n    1,\n]\ny", "\n    1,\n]"),
    ],
)
def test_a_block_ends_where_the_text_is_indented_less(place, text, kept):
    assert written(block(place), text) == (kept, "end_of_block")


def test_a_header_that_goes_on_is_one_line():
    assert written(block("for i in range(|"), "10):\n    print(i)") == ("10):", "end_of_line")
    assert written(block("if x:|"), " return\n    y") == (" return", "end_of_line")


def test_a_comment_line_is_not_yet_the_end():
    assert block(F).check("return x\n") is None
    assert block(F).check("return x\n  ") is None
    assert block(F).check("return x\n  y").reason == "end_of_block"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("value = 1\n    value = 1\n    value = 1\n", "value = 1"),
        ("a = first\n    b = 2\n    a = first\n    b = 2\n", "a = first\n    b = 2"),
    ],
)
def test_lines_that_repeat_end_the_block(text, kept):
    assert written(block(F), text) == (kept, "repetition")


def test_lines_above_count_as_repeated():
    place = "def f(x):\n    total = 0\n\ndef f(x):\n    |"
    assert written(block(place), "total = 0\n    y\n") == ("", "repetition")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = " + "a" * 30, True),
        ("x = " + "foo(bar, " * 6, True),
        ('if x == "' + "/" * 40, True),
        ("x = [" + "0, " * 9, True),
        ("# " + "-" * 40, False),
        ("#" * 60, False),
        ("    " + "=-" * 30, False),
        ("x = [" + "0, " * 5, False),
        ("x" + " " * 80, False),
        ("return self.value", False),
        ("", False),
    ],
)
def test_a_line_that_stutters_is_told_from_a_ruler(text, expected):
    assert stutters(text) == expected


def test_a_loop_in_a_line_ends_it_soon():
    assert written(line("x = "), "f(g(" * 50) == ("", "repetition")
    assert line("x = f(g(f(g(").check("f(g(" * 5).reason == "repetition"
    assert written(block(F), "y = 1\n    z = " + "h, " * 50) == ("y = 1", "repetition")


@pytest.mark.parametrize(
    ("lines", "period"),
    [
        (["abcd", "abcd"], 1),
        (["x", ")", ")"], 0),
        (["abcd", "b", "abcd", "b"], 2),
        (["abcd", "b", "c", "abcd", "b"], 0),
        (["abcd"], 0),
        ([], 0),
        ([")", ")"], 0),
        (["a", ")", ")", ")"], 2),
        (['"""'] * 4, 2),
    ],
)
def test_repetition_has_a_period(lines, period):
    assert repeated_lines(lines) == period


@pytest.mark.parametrize(
    ("place", "text", "kept"),
    [
        (F, "y = 1\n    z = g(y)\n    w = h(", "y = 1\n    z = g(y)"),
        (F, "y = 1\n    z = g(\n        y,\n        z,\n", "y = 1"),
        (F, 'y = 1\n    z = """\n    text\n', "y = 1"),
        (F, "y = 1\n    for z in y:\n        w(", "y = 1"),
        (F, "y = 1\n    @property\n    def g(", "y = 1"),
        (F, "y = one_long_line_without_end", "y = one_long_line_without_end"),
        (F, "for z in y:\n        w(", "for z in y:"),
        ("def f(x):|", "\n    y = 1\n    z", "\n    y = 1"),
        ("f(|", "\n    a,\n    b,\n    c", "\n    a,\n    b,"),
    ],
)
def test_at_the_limit_a_block_is_cut_back_to_whole_statements(place, text, kept):
    stop = block(place).finish(text, "length")
    assert (text[: stop.end].rstrip(), stop.reason) == (kept, "length")


def stopping(text, multiline):
    prefix, _, suffix = text.partition("|")
    return stopping_at(Place.of(Request(prefix, suffix)), multiline)


def test_how_far_a_suggestion_may_go():
    assert isinstance(stopping(F, "auto"), EndOfBlock)
    assert isinstance(stopping(F, "always"), EndOfBlock)
    assert isinstance(stopping(F, "never"), EndOfLine)
    assert isinstance(stopping("x = |", "auto"), EndOfLine)
    assert isinstance(stopping("x = |", "always"), EndOfBlock)
    assert isinstance(stopping("f(|)", "always"), EndOfLine)


@pytest.mark.parametrize(
    ("place", "text", "kept"),
    [
        ("x = |", "1\ny = 2\n\nz = 3", "1\ny = 2"),
        ("    x = |", "1\n    if x:\n        y()\nz = 3", "1\n    if x:\n        y()"),
        ("x = |\nz = 3", "1\ny = 2\nz = 3\n", "1\ny = 2"),
        ("    |", "x = 1\n    y = 2\n\n", "x = 1\n    y = 2"),
        ("x = f(|", "\n    1,\n)\n\n", "\n    1,\n)"),
    ],
)
def test_always_goes_on_to_the_end_of_the_paragraph(place, text, kept):
    assert written(stopping(place, "always"), text) == (kept, "end_of_block")
