import pytest

from parrotlet_server.engine import Request
from parrotlet_server.engine.place import NEAR, Opened, Place, skipped


def at(text):
    """The place of the sign | in a text."""
    prefix, _, suffix = text.partition("|")
    return Place.of(Request(prefix, suffix))


BLOCK, NONE = Opened(0, ""), None


@pytest.mark.parametrize(
    ("text", "opened"),
    [
        ("def f(x):\n    |", BLOCK),
        ("def f(x):\n|", BLOCK),
        ("def f(x):|", BLOCK),
        ("def f(x):  # why\n    |", BLOCK),
        ("class A:\n\n    |", BLOCK),
        ("class A:\n    def f(self):\n        |", Opened(4, "")),
        ("class A:\n\tdef f(self):\n\t\t|", Opened(8, "")),
        ("def f(\n    a,\n    b,\n) -> int:\n    |", BLOCK),
        ("if (a and\n        b):\n    |", BLOCK),
        ("if (a and\n        (b or\n         c)):\n    |", BLOCK),
        ("for a in b:\n    |\n\nprint(1)", BLOCK),
        ("else:\n    |", BLOCK),
        ("f(\n    |", Opened(0, ")")),
        ("x = [\n    |\n]", Opened(0, "]")),
        ("    y = {|", Opened(4, "}")),
        # what stands there already is no statement that does anything
        ("def f(x):\n    # first\n    |", BLOCK),
        ('def f(x):\n    """Doc."""\n    |', BLOCK),
        ('def f(x):\n    r"""Doc.\n\n    More.\n    """\n\n    # first\n    |', BLOCK),
        ("class A:\n    def f(self):\n        '''Doc.'''\n        |", Opened(4, "")),
        ('x = 1\n"""Doc."""\n|', NONE),
        ('def f(x):\n    y = """Doc."""\n    |', NONE),
        ('def f(x):\n    y = """Doc.\n    """\n    |', NONE),
        ('"""Doc."""\n|', NONE),
        ('"""\n|', NONE),
        ('def f(x):\n    """Doc."""\n    |\n    return 1', NONE),
        # nothing is opened, or something else than a block
        ("x = 1\n|", NONE),
        ("def f(x):\n    y = 1\n    |", NONE),
        ("|", NONE),
        ("\n\n    |", NONE),
        ("# note:\n|", NONE),
        ("x = 'a:\n|", NONE),
        ("x = 'a:'\n|", NONE),
        ("x = {'a':\n    |", NONE),
        ("x[1:\n|", NONE),
        # the block has content already
        ("def f(x):\n    |\n    return x", NONE),
        ("def f(x):|\n    return x", NONE),
        ("def f(x):\n    |\n\n    return x", NONE),
        # inside a line
        ("def f(x):\n    ret|", NONE),
        ("def f(x):|)", NONE),
    ],
)
def test_a_block_is_seen_where_one_is_to_be_written(text, opened):
    assert at(text).opened == opened


@pytest.mark.parametrize("tail", ["", ")", ")]", '")', "'", "  ", "):", "),", " ) ", "`", "]\r"])
def test_a_suggestion_may_stand_before_closers(tail):
    assert at(f"f(|{tail}\nx = 1").can_insert


@pytest.mark.parametrize("tail", ["x", ") + 1", "(", "  # note", ".a", "1", "é"])
def test_a_suggestion_may_not_stand_before_other_text(tail):
    assert not at(f"f(|{tail}").can_insert


def test_lines_are_those_of_the_text():
    place = at("a\r\n  b\r\n  c|) \r\nd\r\n\r\ne")
    assert (place.line, place.tail) == ("  c", ") ")
    assert place.above == ["a", "  b"]
    assert place.below == ["d", "", "e"]
    assert place.next_line == "d"
    assert at("a|").next_line == ""


def test_only_what_is_near_is_looked_at():
    place = at("a\n" * 100_000 + "b|\n" + "c\n" * 100_000)
    assert len(place.above) <= NEAR
    assert len(place.below) <= NEAR
    assert (place.line, place.next_line) == ("b", "c")
    assert len(at("a" * 100_000 + "|" + "b" * 100_000).line) == NEAR


@pytest.mark.parametrize(
    ("text", "comments", "strings", "reason"),
    [
        ("x = |", False, False, None),
        ("x = 1  # n|", True, False, None),
        ("x = 1  # n|", False, True, "inside a comment"),
        ("x = '# n|", False, True, None),
        ("x = '# n|'", False, False, "inside a string"),
        ("x = '# n|'", True, True, None),
        ('def f():\n    """A line.\n\n    |\n    """', True, False, "inside a string"),
        ("x = f'{n|}'", True, False, None),
        ("x = 1 # n|x", False, False, "text right of the cursor"),
    ],
)
def test_comments_and_strings_are_left_alone_where_the_request_says_so(
    text, comments, strings, reason
):
    prefix, _, suffix = text.partition("|")
    request = Request(prefix, suffix, comments=comments, strings=strings)
    assert skipped(request, Place.of(request)) == reason


@pytest.mark.parametrize(
    ("text", "is_indented"),
    [
        ("try:\n    f()\n    |", True),
        ("if a:\n    try:\n        f()\n    |", True),
        ("if a:\n    # why\n    f()\n\n    |", True),
        ("if a:\n    try:\n        f()\n      |", False),  # on the way to a block
        ("if a:\n    f()\nelse:\n  g()\n    |", False),
        ("def f():\n    |", False),  # nobody has said yet how deep it is
        ("    def f():\n    |", False),
        ("    f(\n    |", False),
        ("def f():\n    g()\n|", False),  # the left edge
        ("def f():\n    g(|", False),
        ("def f():\n    '''Args:\n    |", False),  # inside a string
    ],
)
def test_who_has_indented_the_line(text, is_indented):
    assert at(text).is_indented is is_indented
