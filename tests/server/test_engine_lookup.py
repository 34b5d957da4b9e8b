from hypothesis import given
from hypothesis import strategies as st

from parrotlet_server.engine.lookup import (
    LONG_DRAFT,
    LONGEST_MATCH,
    SHORT_DRAFT,
    SHORTEST_MATCH,
    Lookup,
)

TEXTS = [b"", *(bytes([letter]) for letter in b"abcdefgh"), b"ab", b"cd"]
A, B, C, D, E, F = range(1, 7)


def test_what_followed_before_is_the_draft():
    assert Lookup([A, B, C, D, E, F, A, B], TEXTS).draft() == [C, D, E, F]


def test_one_token_alone_is_no_match():
    assert Lookup([A, C, D, B, A], TEXTS).draft() == []
    assert Lookup([A], TEXTS).draft() == []
    assert Lookup([], TEXTS).draft() == []


def test_the_longest_match_wins_and_of_equal_ones_the_nearest():
    assert Lookup([A, B, C, D, 8, B, C, E, 8, A, B, C], TEXTS).draft() == [D, 8, B, C]
    assert Lookup([A, B, D, 8, A, B, E, 8, A, B], TEXTS).draft()[0] == E


def test_a_sure_match_has_a_longer_draft():
    phrase = [A, B, C, D, E, F, 7, 8, A, A, C]
    long = Lookup([*phrase, *phrase[:4]], TEXTS).draft()
    assert long == phrase[4 : 4 + LONG_DRAFT]
    short = Lookup([*phrase, *phrase[:2]], TEXTS).draft()
    assert short == phrase[2 : 2 + SHORT_DRAFT]


def test_special_tokens_end_a_draft():
    assert Lookup([A, B, C, 0, E, F, A, B], TEXTS).draft() == [C]
    assert Lookup([A, B, 0, C, A, B], TEXTS).draft() == []


def test_a_draft_spells_what_stands_before_the_cursor():
    tokens = [A, B, C, D, 8, A, B, 9, D, 8, A, B]
    assert Lookup(tokens, TEXTS).draft()[0] == 9
    assert Lookup(tokens, TEXTS).draft(b"a")[0] == 9  # `9` is "ab"
    assert Lookup(tokens, TEXTS).draft(b"c")[0] == C
    assert Lookup(tokens, TEXTS).draft(b"cd") == [C, D, 8, A]
    assert Lookup(tokens, TEXTS).draft(b"cx") == []
    # what was typed of the next piece counts as agreement
    assert Lookup([A, C, D, B, A], TEXTS).draft() == []
    assert Lookup([A, C, D, B, A], TEXTS).draft(b"c") == [C, D, B, A]


runs = st.lists(st.integers(0, len(TEXTS) - 1), max_size=60)


@given(runs, runs, st.sampled_from([b"", b"a", b"ab", b"c", b"cd", b"x"]))
def test_a_draft_stands_in_the_text_after_what_ends_it(first, second, rest):
    lookup = Lookup(first, TEXTS)
    lookup.extend(second)
    tokens = first + second
    draft = lookup.draft(rest)
    assert len(draft) <= LONG_DRAFT
    assert all(TEXTS[token] for token in draft)
    if draft:
        size = SHORTEST_MATCH - bool(rest)
        wanted = tokens[-size:] + draft
        places = [at for at in range(len(tokens)) if tokens[at : at + len(wanted)] == wanted]
        assert places
        spelled = b"".join(TEXTS[token] for token in draft)
        assert spelled.startswith(rest[: len(spelled)])
    elif not rest and len(tokens) > LONGEST_MATCH:
        last = tokens[-SHORTEST_MATCH:]
        earlier = [
            at
            for at in range(len(tokens) - SHORTEST_MATCH)
            if tokens[at : at + SHORTEST_MATCH] == last
        ]
        assert not earlier[-10:] or any(not TEXTS[tokens[at + SHORTEST_MATCH]] for at in earlier)


@given(runs, runs)
def test_cutting_forgets(first, second):
    cut, fresh = Lookup(first + second, TEXTS), Lookup(first, TEXTS)
    cut.cut(len(first))
    assert cut.draft() == fresh.draft()
    cut.extend(second)
    assert cut.draft() == Lookup(first + second, TEXTS).draft()


@given(runs, runs, runs, st.sampled_from([b"", b"a", b"c"]))
def test_turned_to_another_text_it_is_as_new(first, second, written, rest):
    lookup = Lookup(first, TEXTS)
    lookup.extend(written)
    for tokens in (second, first, second):
        lookup.turn(tokens)
        assert lookup.draft(rest) == Lookup(tokens, TEXTS).draft(rest)
