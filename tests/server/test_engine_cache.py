"""Suggestions that were made before."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parrotlet_server.engine import Completion, Request, Suggestion, SuggestionCache, next_request
from parrotlet_server.engine.cache import ENDS


def request(text, **options):
    prefix, _, suffix = text.partition("|")
    return Request(prefix, suffix, **options)


def completion(text, overwrite=0):
    return Completion(Suggestion(text, overwrite, -0.5), "end_of_line", seconds=1.0)


NONE = Completion(None, "empty")


def after(first, suggested, *asked):
    """What a cache says at the places `asked` that knows only a suggestion at `first`."""
    cache = SuggestionCache()
    cache.put(request(first), suggested)
    found = [cache.get(request(text)) for text in asked]
    return [f and f.completion.suggestion and f.completion.suggestion.text for f in found]


def test_what_is_typed_as_suggested_needs_no_model():
    assert after(
        "x\nret|\ny", completion("urn a"), "x\nret|\ny", "x\nretu|\ny", "x\nreturn |\ny"
    ) == ["urn a", "rn a", "a"]


def test_going_back_to_where_it_was_made():
    cache = SuggestionCache()
    cache.put(request("a|"), completion("bc"))
    cache.put(request("abX|"), NONE)
    assert cache.get(request("abX|")).completion is NONE
    assert cache.get(request("ab|")).completion.suggestion.text == "c"
    assert cache.get(request("a|")).completion.suggestion.text == "bc"


@pytest.mark.parametrize(
    "asked",
    [
        "x\nre|\ny",  # before it
        "x\nretX|\ny",  # something else
        "x\nreturn a|\ny",  # all of it
        "x\nreturn ab|\ny",
        "z\nret|\ny",  # another text before
        "x\nret|\nz",  # another text after
        "x\nret|",
        "x\nret|\nyy",
        "x\nretu|x\ny",
        "x\nret|)\ny",
    ],
)
def test_another_text_needs_the_model(asked):
    assert after("x\nret|\ny", completion("urn a"), asked) == [None]


def test_brackets_that_the_editor_closes():
    first = completion("foo(a[0])")
    places = ["x = |\ny", "x = foo(|)\ny", "x = foo(a[|])\ny", "x = foo(a[0]|)\ny"]
    cache = SuggestionCache()
    cache.put(request(places[0]), first)
    for place, text, overwrite in zip(
        places, ["foo(a[0])", "a[0])", "0])", ")"], [0, 1, 2, 1], strict=True
    ):
        suggestion = cache.get(request(place)).completion.suggestion
        assert (suggestion.text, suggestion.overwrite) == (text, overwrite)


def test_brackets_that_do_not_fit():
    assert after("x = |\ny", completion("foo(a)"), "x = foo(|]\ny") == [None]


def test_several_lines():
    block = completion("if a:\n        b()\n    c()")
    assert after("d:\n    |\n", block, "d:\n    if a:\n        |\n", "d:\n    if a:\n    |\n") == [
        "b()\n    c()",
        "    b()\n    c()",
    ]


def test_all_that_the_completion_depends_on_is_compared():
    cache = SuggestionCache()
    cache.put(request("a|", path="a.py", document="a"), completion("b"))
    assert cache.get(request("a|", path="a.py", document="a"))
    assert not cache.get(request("a|", path="b.py", document="a"))
    assert not cache.get(request("a|", path="a.py", document="b"))
    assert not cache.get(request("a|", path="a.py", document="a", multiline="never"))


def test_what_is_shown_to_one_who_asks_is_not_what_comes_unasked():
    cache = SuggestionCache()
    less_likely = replace(completion("bcd"), dropped=("empty",))
    cache.put(request("a|", candidates=3), less_likely)
    assert cache.get(request("a|", candidates=3))
    assert not cache.get(request("a|"))
    assert cache.get(request("ab|"))  # he types it
    cache.put(request("x|", candidates=3), completion("bcd"))
    assert cache.get(request("x|"))
    assert not cache.get(request("y|", candidates=3))


def test_far_text_counts_too():
    far = "y" * 3 * ENDS
    cache = SuggestionCache()
    cache.put(Request("a" + far, "\n" + far + "a"), completion("bc"))
    assert cache.get(Request("a" + far + "b", "\n" + far + "a"))
    assert not cache.get(Request("b" + far + "b", "\n" + far + "a"))
    assert not cache.get(Request("a" + far + "b", "\n" + far + "b"))


def test_the_cache_is_bounded_and_keeps_what_was_used():
    cache = SuggestionCache(most=3)
    for name in "abc":
        cache.put(request(name + "|"), completion("x"))
    assert cache.get(request("a|"))
    cache.put(request("d|"), completion("x"))
    assert [bool(cache.get(request(name + "|"))) for name in "abcd"] == [True, False, True, True]
    assert len(cache) == 3
    cache.clear(keep=cache.get(request("c|")).number)
    assert [bool(cache.get(request(name + "|"))) for name in "acd"] == [False, True, False]
    cache.clear()
    assert not cache.get(request("c|"))


def test_the_number_stays_as_one_types():
    cache = SuggestionCache()
    first, second = (cache.put(request(text), completion("bc")) for text in ("a|", "z|"))
    assert first != second
    assert cache.get(request("ab|")).number == first


words = st.text("ab(\n ", max_size=6)


@given(st.lists(st.tuples(words, words, words), max_size=5), words, words)
def test_what_is_found_was_suggested_there(entries, prefix, suffix):
    cache = SuggestionCache()
    for before, after_, text in entries:
        if text.strip():
            cache.put(Request(before, after_), completion(text))
    found = cache.get(Request(prefix, suffix))
    expected = {
        before + text
        for before, _, text in entries
        if text.strip() and prefix.startswith(before) and (before + text).startswith(prefix)
    }
    if found is not None:
        assert prefix + found.completion.suggestion.text in expected


@pytest.mark.parametrize(
    ("place", "answer", "following"),
    [
        ("x = |", completion("1"), "x = 1|"),
        ("f(|)\ny", completion("a)", 1), "f(a)|\ny"),
        ("    x = 1|\ny", NONE, "    x = 1\n    |\ny"),
        ("    if x:|", NONE, "    if x:\n        |"),
        ("\tif x:  # why|", NONE, "\tif x:  # why\n\t\t|"),
        ("    return x|", NONE, "    return x\n|"),
        ("f(a,|", NONE, "f(a,\n    |"),
        ("    |", NONE, None),
        ("x = (|)", NONE, None),
        ("'''a|", NONE, None),
        ("x|", Completion(None, "skipped:inside a comment"), None),
    ],
)
def test_the_next_place(place, answer, following):
    expected = following and request(following)
    assert next_request(request(place), answer) == expected
