"""Drafts cost time, never the text; several suggestions share one state."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parrotlet_server.backends.onnx import OnnxBackend
from parrotlet_server.bundle import open_bundle
from parrotlet_server.bundle.export import export_checkpoint
from parrotlet_server.engine import Engine, Request
from parrotlet_server.engine import engine as engine_module
from parrotlet_server.engine.decode import CHUNK
from parrotlet_server.engine.engine import suggestion_of
from parrotlet_server.engine.lookup import LONG_DRAFT

from ..support.tiny_model import DOCUMENTS, tiny_checkpoint


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    """With and without drafts, at 32 bits: there, passes of several rows change no bit that shows.

    Both share the backend, and each has states of its own.
    """
    folder = tmp_path_factory.mktemp("exact") / "bundle"
    bundle = export_checkpoint(tiny_checkpoint(), folder, bits=32)
    backend = OnnxBackend(bundle.model_file, threads=1)
    return tuple(
        Engine(backend, bundle.tokenizer, bundle, speculate=speculate)
        for speculate in (True, False)
    )


def requests(path, step, **options):
    text = DOCUMENTS[path]
    for at in range(2, len(text), step):
        yield Request(text[:at], text[text.find("\n", at) :], path=path, document=path, **options)


@pytest.mark.parametrize("path", DOCUMENTS)
@pytest.mark.parametrize("multiline", ["auto", "never"])
def test_the_text_is_that_of_plain_decoding_in_fewer_passes(engines, path, multiline):
    drafting, plain = engines
    passes = tokens = 0
    for request in requests(path, 7, multiline=multiline):
        ours, theirs = drafting.complete(request), plain.complete(request)
        assert _close(ours, theirs) or (ours.suggestion, theirs.suggestion) == (None, None)
        assert ours.reason == theirs.reason
        assert ours.generated_tokens == theirs.generated_tokens
        assert ours.evaluated_tokens <= ours.prompt_tokens
        assert theirs.drafted_tokens == theirs.accepted_tokens == 0
        assert ours.passes + ours.accepted_tokens == theirs.passes
        passes += ours.passes
        tokens += ours.generated_tokens
    assert passes < tokens


def _close(ours, theirs):
    one, two = ours.suggestion, theirs.suggestion
    return (
        one is not None
        and two is not None
        and (one.text, one.overwrite) == (two.text, two.overwrite)
        and abs(one.score - two.score) < 1e-3
    )


PIECES = ("ab", "ab(", "x = 1\n", "    ", "é", "日", "\n", "def f(ab):\n", "ab.cd", '"', ")")


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join), st.sampled_from([1, 5, 60]))
@settings(max_examples=60, deadline=None)
def test_with_random_weights_too(random_pair, prefix, tokens):
    """Repetitive text has drafts everywhere, and a random model refuses nearly all of them."""
    drafting, plain = random_pair
    request = Request(prefix, "", max_tokens=tokens)
    ours, theirs = drafting.complete(request), plain.complete(request)
    assert _close(ours, theirs) or (ours.suggestion, theirs.suggestion) == (None, None)
    assert ours.reason == theirs.reason


@pytest.fixture(scope="module")
def random_pair(random_checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("random") / "bundle"
    bundle = export_checkpoint(random_checkpoint, folder, bits=32)
    backend = OnnxBackend(bundle.model_file, threads=1)
    return tuple(
        Engine(backend, bundle.tokenizer, bundle, speculate=speculate)
        for speculate in (True, False)
    )


@pytest.fixture(scope="module")
def rounded(random_checkpoint, tmp_path_factory):
    """A bundle of random weights with 8 bits, whose logits lie so close that any rounding shows."""
    return export_checkpoint(random_checkpoint, tmp_path_factory.mktemp("rounded") / "bundle")


@pytest.fixture(scope="module", params=[(64, 4), (64, 2), (64, 1)])
def rounded_backend(request, make_checkpoint, tmp_path_factory):
    """Heads of 16, 32 and 64."""
    width, heads = request.param
    folder = tmp_path_factory.mktemp("heads")
    made = make_checkpoint(folder / "checkpoint", width=width, heads=heads)
    return OnnxBackend(export_checkpoint(made, folder / "bundle").model_file, threads=1)


@given(st.integers(0, 2**32), st.integers(1, 240), st.data())
@settings(max_examples=25, deadline=None)
def test_each_row_is_the_same_to_the_bit_whatever_it_is_read_with(
    rounded_backend, seed, size, data
):
    """A prompt token by token, in pieces with drafts behind them, or again from somewhere in it."""
    backend = rounded_backend
    tokens = np.random.default_rng(seed).integers(32, 400, size).tolist()
    state = backend.new_state()
    rows = [backend.evaluate(state, at, tokens[at : at + 1]).copy() for at in range(size)]
    whole = np.stack(rows)
    state, at = backend.new_state(), 0
    while at < size:
        piece = data.draw(st.integers(1, min(size - at, CHUNK + LONG_DRAFT)))
        rows = backend.evaluate_rows(state, at, tokens[at : at + piece], piece)
        assert (rows == whole[at : at + piece]).all()
        at += piece
        assert state.tokens == tokens[:at]
    again = data.draw(st.integers(0, size - 1))
    assert (backend.evaluate(state, again, tokens[again : again + 1]) == whole[again]).all()
    assert state.tokens == tokens[: again + 1]


def test_drafts_do_not_change_a_bit_at_8_bits(rounded):
    """Texts, scores and reasons, one request after the other with what they leave in the states."""
    backend = OnnxBackend(rounded.model_file, threads=2)
    drafting, plain = (
        Engine(backend, rounded.tokenizer, rounded, speculate=speculate)
        for speculate in (True, False)
    )
    accepted = 0
    for path in DOCUMENTS:
        for request in requests(path, 23, max_tokens=20, multiline="always"):
            ours, theirs = drafting.complete(request), plain.complete(request)
            accepted += ours.accepted_tokens
            assert ours.suggestion == theirs.suggestion
            assert ours.reason == theirs.reason
    assert accepted


def test_to_the_end_of_the_context(make_checkpoint, tmp_path):
    """Where the answer fills the context, no draft goes beyond it."""
    checkpoint = make_checkpoint(tmp_path / "checkpoint", context_length=128)
    bundle = export_checkpoint(checkpoint, tmp_path / "bundle", bits=32)
    backend = OnnxBackend(bundle.model_file, threads=1)
    drafting, plain = (
        Engine(backend, open_bundle(tmp_path / "bundle").tokenizer, speculate=speculate)
        for speculate in (True, False)
    )
    text = "ab cd ef\n" * 60
    for size in range(200, 230):
        request = Request("if ab:\n" + text[:size], "", max_tokens=1000)
        ours, theirs = drafting.complete(request), plain.complete(request)
        assert (ours.reason, ours.generated_tokens) == (theirs.reason, theirs.generated_tokens)


@pytest.mark.parametrize("asked", range(1, 12, 2))
def test_cancelled_at_any_question_the_state_stays_sound(engines, asked):
    drafting, plain = engines
    request = next(
        r for r in requests("inventory.py", 1) if r.prefix.endswith("self.items[name] = ")
    )
    count = 0

    def cancelled():
        nonlocal count
        count += 1
        return count >= asked

    assert drafting.complete(request, cancelled).reason == "cancelled"
    assert _close(drafting.complete(request), plain.complete(request))


class TestSeveral:
    def ask(self, engine, before, candidates=3, **options):
        text = DOCUMENTS["inventory.py"]
        at = text.index(before) + len(before)
        return engine.complete(
            Request(text[:at], text[text.find("\n", at) :], candidates=candidates, **options)
        )

    @pytest.mark.parametrize("before", ["    def ", "        self.", "        del sel", "class "])
    def test_they_are_other_texts_and_none_shadows_the_first(self, engines, before):
        for engine in engines:
            one = self.ask(engine, before, candidates=1)
            several = self.ask(engine, before)
            texts = [s.text for s in (several.suggestion, *several.others)]
            assert several.suggestion.text == one.suggestion.text
            assert 1 <= len(texts) == len(set(texts)) <= 3
            assert one.others == ()
            scores = [suggestion.score for suggestion in several.others]
            assert scores == sorted(scores, reverse=True)

    def test_no_text_comes_twice(self, engines, monkeypatch):
        """Not even before the filters, so that no try is spent on it."""
        found = []

        def keep(place, decoded, known=()):
            found.append((decoded.reason, decoded.text))
            return suggestion_of(place, decoded, known)

        monkeypatch.setattr(engine_module, "suggestion_of", keep)
        tried = 0
        for request in requests("inventory.py", 23, candidates=3):
            found.clear()
            engines[0].complete(request)
            texts = [text for _, text in found]
            assert len(texts) == len(set(texts))
            tried += len(texts)
        assert tried > 40

    def test_an_unsure_model_has_three(self, random_pair):
        for engine in random_pair:
            found = engine.complete(Request("x = ", "", max_tokens=5, candidates=3))
            assert len(found.others) == 2

    def test_the_number_is_kept_within_bounds(self, random_pair):
        request = Request("x = ", "", max_tokens=5, candidates=99)
        assert len(random_pair[0].complete(request).others) == 2
        request = Request("x = ", "", max_tokens=5, candidates=-1)
        assert random_pair[0].complete(request).others == ()

    def test_each_goes_on_as_if_its_beginning_had_been_typed(self, engines):
        """What follows the first word of another suggestion is the model's own choice."""
        plain = engines[1]
        found = plain.complete(Request("x = ", "", candidates=3, multiline="never"))
        assert found.others
        for other in found.others:
            word = re.match(r"\w+|.", other.text)[0]
            typed = Request(f"x = {word}", "", multiline="never")
            again = plain.complete(typed).suggestion
            assert again is None or other.text == word + again.text

    def test_afterwards_the_state_serves_the_next_key(self, engines):
        engine, plain = engines
        self.ask(engine, "        del sel", document="d")
        after = self.ask(engine, "        del self.i", candidates=1, document="d")
        assert after.evaluated_tokens < after.prompt_tokens / 2
        expected = self.ask(plain, "        del self.i", candidates=1)
        assert after.suggestion.text == expected.suggestion.text

    @pytest.mark.parametrize("asked", [3, 8, 12, 20])
    def test_cancelled_among_others_there_is_nothing(self, random_pair, asked):
        engine = random_pair[0]
        answers = iter([False] * (asked - 1))
        request = Request("x = ", "", max_tokens=30, candidates=3)
        assert engine.complete(request, lambda: next(answers, True)).reason == "cancelled"
        ours, theirs = engine.complete(request), random_pair[1].complete(request)
        assert [o.text for o in ours.others] == [o.text for o in theirs.others]


class TestInThePlaceOfWhatIsNotShown:
    """The likeliest answer may be none to show: then the next one is, if it is likely enough."""

    PLACES = ("x = ", "for x in ", "def f(", "return ", "    self.", "if a ==", "import ", "y = [")

    @pytest.fixture
    def dropped(self, random_pair, monkeypatch):
        """Requests whose first answer is not worth showing, and what comes of them so far."""
        monkeypatch.setattr(engine_module, "LIKELY", 2.0)
        found = {}
        for before in self.PLACES:
            request = Request(before, "", max_tokens=12, multiline="never")
            completion = random_pair[0].complete(request)
            if completion.dropped and completion.reason != "empty":
                assert completion.suggestion is None
                assert completion.dropped == (completion.reason,)
                found[request] = completion
        assert found
        return found

    def test_another_is_shown(self, random_pair, dropped, monkeypatch):
        monkeypatch.setattr(engine_module, "LIKELY", 0.0)
        shown = 0
        for request, before in dropped.items():
            ours, theirs = (engine.complete(request) for engine in random_pair)
            assert _close(ours, theirs) or (ours.suggestion, theirs.suggestion) == (None, None)
            assert ours.dropped[0] == before.dropped[0]
            assert len(ours.dropped) <= 1 + engine_module.MORE_TRIED
            if ours.suggestion is not None:
                assert ours.reason in ("end_of_line", "end_of_text", "length")
                shown += 1
            else:
                assert ours.reason == before.reason
        assert shown

    def test_unlikely_ones_are_not_even_written(self, random_pair, dropped, monkeypatch):
        monkeypatch.setattr(engine_module, "LIKELY", 0.5)  # none is that likely with random weights
        for request, before in dropped.items():
            again = random_pair[0].complete(request)
            assert again.generated_tokens == before.generated_tokens
            assert again.dropped == before.dropped

    def test_a_line_that_is_whole_stays_as_it_is(self, engines, monkeypatch):
        monkeypatch.setattr(engine_module, "LIKELY", 0.0)
        text = DOCUMENTS["shapes.py"]
        at = text.index("):\n") + 2
        request = Request(text[:at], text[at:], path="shapes.py", multiline="never")
        completion = engines[0].complete(request)
        assert (completion.suggestion, completion.dropped) == (None, ("empty",))
