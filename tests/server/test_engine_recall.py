"""N-grams of the user's own files beside the model: what is counted, and how it is mixed in."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parrotlet_server.engine import Engine, Request, never
from parrotlet_server.engine.filters.names import PENALTY
from parrotlet_server.engine.prompt import build_prompt
from parrotlet_server.engine.recall import (
    LONGEST,
    LONGEST_PIECE,
    Mixture,
    Ngrams,
    Paragraphs,
    pieces,
)
from parrotlet_server.engine.recall.mixture import DIVERSITY, DOUBT, OTHERS, OWN
from parrotlet_server.engine.recall.ngrams import MOST_LOOKED_AT, ORDERS, Run

VOCABULARY = 9
ids = st.sampled_from([1] * 20 + [*range(2, VOCABULARY)])  # so that long histories recur
texts = st.lists(ids, max_size=40)
histories = st.lists(ids, min_size=LONGEST, max_size=LONGEST + 2)


def array(tokens):
    return np.array(tokens, np.uint16)


def counted(text, history, order):
    """What followed the end of `history`, by going through all of `text`."""
    wanted = history[-order:]
    return Counter(text[at] for at in range(order, len(text)) if text[at - order : at] == wanted)


@given(st.lists(texts, max_size=4), histories, st.integers(1, LONGEST), st.integers(0, 3))
def test_an_index_finds_what_going_through_the_texts_finds(files, history, order, without):
    ngrams = Ngrams(enumerate(map(array, files)))
    assert len(ngrams) == sum(max(0, len(text) - 1) for text in files)
    expected = sum((counted(text, history, order) for text in files), Counter())
    assert one(ngrams.following(history, [order])) == expected
    others = [text for number, text in enumerate(files) if number != without]
    expected = sum((counted(text, history, order) for text in others), Counter())
    assert one(ngrams.following(history, [order], without)) == expected


def one(found):
    """What followed, where one order was asked for and all places were looked at."""
    assert len(found) <= 1
    assert all(each == 1 for _, each in found)
    return Counter(token for tokens, _ in found for token in tokens.tolist())


@given(texts, histories)
def test_an_index_stops_at_the_first_order_that_nothing_followed(text, history):
    ngrams = Ngrams([(0, array(text))])
    found = ngrams.following(history, ORDERS)
    for order, (tokens, _) in zip(ORDERS, found, strict=False):
        assert Counter(tokens.tolist()) == counted(text, history, order)
    for order in ORDERS[len(found) :]:
        assert not counted(text, history, order)
    assert len(ngrams.following(history[-2:], ORDERS)) == min(2, len(found))


@given(texts, texts, histories)
def test_a_run_finds_the_same_and_nothing_across_its_gap(before, after, history):
    run = Run(array([*before, 0, *after, 0]))
    found = run.following(history)
    for place, order in enumerate(ORDERS):
        expected = counted(before, history, order) + counted(after, history, order)
        got = found[place].tolist() if place < len(found) else []
        assert Counter(got) == expected


def test_of_many_places_some_are_looked_at_for_all():
    many = array([1, 2] * (3 * MOST_LOOKED_AT))
    ((found, places),) = Ngrams([(0, many)]).following([1], [1])
    assert len(found) <= MOST_LOOKED_AT
    assert len(found) * places == pytest.approx(3 * MOST_LOOKED_AT, rel=0.01)
    assert set(found.tolist()) == {2}


@given(st.lists(texts, max_size=3), texts, histories, st.integers(0, 2**32 - 1))
def test_a_mixture_is_the_formula_of_its_source(files, own, history, seed):
    logits = np.random.default_rng(seed).normal(size=VOCABULARY).astype(np.float32)
    expected = np.exp(logits.astype(float) - logits.max())
    expected /= expected.sum()
    perplexity = np.exp(-(expected * np.log(expected)).sum())
    found = []
    for order in ORDERS:
        if order in OTHERS:
            others = sum((counted(text, history, order) for text in files), Counter())
            found.append((others, OTHERS[order]))
        found.append((counted(own, history, order), OWN[order]))
    for counts, weight in found:
        if not counts:
            continue
        prior = weight * len(counts) ** DIVERSITY / perplexity**DOUBT
        expected *= prior / (counts.total() + prior)
        for token, count in counts.items():
            expected[token] += count / (counts.total() + prior)
    Mixture(array([*own, 0]), Ngrams(enumerate(map(array, files)))).mix(logits, history)
    np.testing.assert_allclose(np.exp(logits.astype(float)), expected, rtol=1e-4)
    assert np.exp(logits.astype(float)).sum() == pytest.approx(1, abs=1e-4)


LONG = "value = [\n" + "    1234,\n" * 3_000 + "]\n"


@given(st.text('ab(): \n\t"#é', max_size=80), st.integers(0, 30), st.integers(1, 9_000))
def test_pieces_lose_nothing_and_are_short(text, lines, width):
    whole = text + LONG[: 10 * lines] + "x" * width + text
    cut = list(pieces(whole))
    assert "".join(cut) == whole
    assert max(map(len, cut)) <= LONGEST_PIECE


def test_a_key_changes_one_piece():
    for text in (LONG, PHRASE * 200, ("a = 1\n" * 30 + "\n") * 40):
        at = len(text) // 2
        before, after = list(pieces(text)), list(pieces(text[:at] + "x" + text[at:]))
        assert len(before) == len(after)
        assert sum(one != other for one, other in zip(before, after, strict=True)) == 1


def test_tokens_are_those_of_the_text_with_a_gap_after_each(tokenizer):
    found = Paragraphs(tokenizer).run((PHRASE * 3, "", LONG), never)
    assert found is not None
    gaps = np.flatnonzero(found == 0).tolist()
    assert len(gaps) == 3
    assert tokenizer.decode(found[: gaps[0]].tolist()) == PHRASE * 3
    assert gaps[1] == gaps[0] + 1
    assert tokenizer.decode(found[gaps[1] + 1 : gaps[2]].tolist()) == LONG


def test_it_stops_when_it_is_told_to(tokenizer):
    asked = iter([False, False, True])
    assert Paragraphs(tokenizer).run((LONG,), lambda: next(asked)) is None


def ngrams_of(engine, *files):
    return Ngrams(
        (number, array(engine.tokenizer.encode(text))) for number, text in enumerate(files)
    )


PHRASE = "def grind(beans):\n    return quern_of(maize, coarse=False)\n"
ASKED = "import os\n\n\ndef brew(beans):\n    ground = quern_of("
CONTINUED = "maize, coarse=False)"


def text_of(engine, **options):
    suggestion = engine.complete(Request(ASKED, "", path="a.py", **options)).suggestion
    return suggestion.text if suggestion else ""


def test_a_phrase_of_another_file_is_taken_up(engine):
    assert text_of(engine) != CONTINUED
    assert text_of(engine, ngrams=ngrams_of(engine, "x = 1\n", PHRASE * 9)) == CONTINUED


def test_the_file_itself_does_not_count_among_the_others(engine):
    known = ngrams_of(engine, "x = 1\n", PHRASE * 9)
    assert text_of(engine, ngrams=known, file_number=1) == text_of(engine)
    assert text_of(engine, ngrams=known, file_number=0) == CONTINUED


def test_a_phrase_of_the_file_itself_is_taken_up(engine):
    far = "\n\n" + "# filler that the prompt has no room for\n" * 200 + "\n\n"
    for prefix, suffix in ((PHRASE * 9 + far + ASKED, ""), (ASKED, "\n" + far + PHRASE * 9)):
        plain = engine.complete(Request(prefix, suffix, recall=False)).suggestion
        known = engine.complete(Request(prefix, suffix)).suggestion
        assert known is not None
        assert known.text == CONTINUED
        assert plain is None or plain.text != CONTINUED


def test_the_rest_of_the_cursors_own_line_does_not_count(engine):
    prompt = build_prompt(engine.tokenizer, Request(ASKED, ""), engine.backend.context_length)
    mixed = []
    for suffix in ("", "maize, coarse=False)", "maize, coarse=False)\n"):
        mixture = engine.mixture(Request(ASKED, suffix), prompt)
        logits = np.zeros(engine.backend.vocabulary_size, np.float32)
        mixture.mix(logits, [*prompt.ids, *engine.tokenizer.encode("quern_of(")])
        mixed.append(logits)
    np.testing.assert_allclose(mixed[1], mixed[0])
    np.testing.assert_allclose(mixed[2], mixed[0])


def test_a_request_is_the_same_with_other_ngrams(engine):
    one, other = (Request("a", "", ngrams=ngrams_of(engine, text)) for text in ("a b", "c d"))
    assert one == other
    assert hash(one) == hash(other)


@given(cut=st.integers(0, len(PHRASE) * 3), plain=st.booleans())
def test_a_kept_state_and_drafts_change_nothing(engine, bundle, cut, plain):
    text = (PHRASE * 9)[:cut]
    known = ngrams_of(engine, PHRASE)
    fresh = Engine(engine.backend, engine.tokenizer, engine.bundle, speculate=not plain)
    request = Request(text, "", ngrams=known)
    kept, other = (one.complete(request).suggestion for one in (engine, fresh))
    assert (kept is None) == (other is None)
    if kept is not None and other is not None:
        assert (kept.text, kept.overwrite) == (other.text, other.overwrite)
        assert kept.score == pytest.approx(other.score, abs=1e-3)


def test_a_name_of_the_workspace_is_none_that_the_model_made_up(engine):
    tokens = array(engine.tokenizer.encode(PHRASE * 9))
    plain, told = (
        engine.complete(Request(ASKED, "", ngrams=Ngrams([(0, tokens)], names))).suggestion
        for names in ((), {"maize", "coarse"})
    )
    assert plain is not None
    assert told is not None
    assert plain.text == told.text == CONTINUED
    assert told.score == pytest.approx(plain.score + PENALTY, abs=1e-3)
