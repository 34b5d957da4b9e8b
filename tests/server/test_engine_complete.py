"""The whole engine, with a model that knows the files of `tiny_model` by heart, and random ones."""

import statistics
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parrotlet_server.backends.onnx import OnnxBackend
from parrotlet_server.bundle import BundleError, open_bundle
from parrotlet_server.bundle.export import export_checkpoint
from parrotlet_server.engine import Completion, Engine, Request
from parrotlet_server.engine.decode import CHUNK
from parrotlet_server.engine.prompt import build_prompt
from parrotlet_server.engine.vocabulary import Vocabulary
from parrotlet_tokenizer.specials import END_OF_TEXT_ID, SPECIAL_TOKENS

from ..support.tiny_model import DOCUMENTS


def cursor(path, before, **options):
    """The request at the end of `before` in a document, the rest of the line not yet written."""
    text = DOCUMENTS[path]
    at = text.index(before) + len(before)
    return Request(text[:at], text[text.find("\n", at) :], path=path, document=path, **options)


def text_of(completion: Completion):
    return completion.suggestion.text if completion.suggestion else None


class TestWhatIsSuggested:
    @pytest.mark.parametrize("path", DOCUMENTS)
    def test_from_every_place_the_line_is_completed_as_the_model_knows_it(self, engine, path):
        text = DOCUMENTS[path]
        wrong = []
        for at in range(3, len(text), 3):
            end = text.find("\n", at)
            expected = text[at:end].rstrip() or None
            request = Request(text[:at], text[end:], path=path, document=path, multiline="never")
            if text_of(engine.complete(request)) != expected:
                wrong.append(at)
        assert len(wrong) <= len(text) // 150, [text[:at].rpartition("\n")[2] for at in wrong]

    def test_a_cursor_inside_a_word(self, engine):
        completion = engine.complete(cursor("shapes.py", "def circle_ar"))
        assert text_of(completion) == "ea(radius):"
        assert completion.reason == "end_of_line"

    def test_a_line_begins_where_the_user_has_put_it(self, engine):
        """Further out than the model would, where it knows the line of the block by heart."""
        moved = 0
        for path, text in DOCUMENTS.items():
            lines = text.splitlines(keepends=True)
            for number, line in enumerate(lines):
                before, after = "".join(lines[:number]), "".join(lines[number + 1 :])
                if not line.startswith("        ") or before.endswith(("(\n", ":\n", ",\n")):
                    continue
                moved += 1
                for candidates in (1, 3):
                    request = Request(before + "    ", "\n" + after, path, candidates=candidates)
                    done = engine.complete(request)
                    for one in (done.suggestion, *done.others):
                        assert one is None or not one.text.startswith((" ", "\t"))
        assert moved

    @pytest.mark.parametrize(
        ("before", "expected"),
        [
            ("def circle_area(radius):\n    ", "return math.pi * radius ** 2"),
            ("def circle_area(radius):\n", "    return math.pi * radius ** 2"),
            ("def circle_area(radius):", "\n    return math.pi * radius ** 2"),
        ],
    )
    def test_a_block_is_filled(self, engine, before, expected):
        text = DOCUMENTS["shapes.py"]
        at = text.index(before) + len(before)
        below = text.index("\n\n\ndef triangle_area")
        request = Request(text[:at], text[below:], path="shapes.py")
        assert text_of(engine.complete(request)) == expected

    def test_a_block_of_several_lines_is_filled_and_ends(self, engine):
        text = DOCUMENTS["numbers.py"]
        at = text.index("    while second:")
        completion = engine.complete(Request(text[:at] + "    ", "", path="numbers.py"))
        assert text_of(completion) == text[at + 4 :].rstrip()
        assert completion.reason == "end_of_text"

    def test_tabs_indent_a_block(self, engine):
        text = DOCUMENTS["tabs.py"]
        at = text.index("\t\tif not self.values")
        below = text.index("\n\tdef size")
        completion = engine.complete(Request(text[:at] + "\t\t", text[below:], path="tabs.py"))
        assert text_of(completion) == text[at + 2 : below].rstrip()

    def test_never_means_one_line(self, engine):
        text = DOCUMENTS["numbers.py"]
        at = text.index("while second:")
        request = Request(text[:at], "", path="numbers.py", multiline="never")
        assert text_of(engine.complete(request)) == "while second:"

    def test_after_a_statement_one_line_is_suggested(self, engine):
        text = DOCUMENTS["numbers.py"]
        at = text.index("return first")
        completion = engine.complete(Request(text[:at], "", path="numbers.py"))
        assert text_of(completion) == "return first"

    def test_closers_right_of_the_cursor_are_replaced(self, engine):
        text = DOCUMENTS["inventory.py"]
        at = text.index("name)\n        del")
        request = Request(text[:at], ")" + text[text.index("\n", at) :], path="inventory.py")
        suggestion = engine.complete(request).suggestion
        assert (suggestion.text, suggestion.overwrite) == ("name)", 1)
        at = text.index('total", inventory')
        request = Request(text[:at], '")\n', path="inventory.py")
        suggestion = engine.complete(request).suggestion
        assert (suggestion.text, suggestion.overwrite) == ('total", inventory.total())', 2)

    def test_the_score_is_a_mean_log_probability(self, engine):
        sure = engine.complete(cursor("shapes.py", "def circle_ar")).suggestion
        assert -0.1 < sure.score <= 0
        unsure = engine.complete(Request("zebra = quick ", "", multiline="never")).suggestion
        assert unsure is None or unsure.score < sure.score

    @pytest.mark.parametrize("tail", ["x", " + 1", "  # note"])
    def test_before_other_text_nothing_is_suggested(self, engine, tail):
        completion = engine.complete(Request("def f(", tail))
        assert completion == Completion(None, "skipped:text right of the cursor")

    def test_the_next_line_is_not_suggested_again(self, engine):
        text = DOCUMENTS["shapes.py"]
        at = text.index("    half = base / 2")
        request = Request(text[:at], "\n" + text[at:], path="shapes.py")
        completion = engine.complete(
            Request(text[:at] + "    ha", "\n" + text[at:], path="shapes.py")
        )
        assert completion.suggestion is None
        assert completion.reason == "duplicate"
        assert "half" not in (text_of(engine.complete(request)) or "")

    def test_few_tokens_end_early(self, engine):
        completion = engine.complete(cursor("shapes.py", "    if width < ", max_tokens=2))
        assert completion.reason == "length"
        assert DOCUMENTS["shapes.py"].count("    if width < " + text_of(completion)) == 1

    def test_windows_line_ends_are_understood(self, engine):
        text = DOCUMENTS["shapes.py"].replace("\n", "\r\n")
        at = text.index("circle_ar") + 9
        end = text.index("\r\n", at)
        completion = engine.complete(Request(text[:at], text[end:], path="shapes.py"))
        assert text_of(completion) == "ea(radius):"

    def test_an_empty_file_is_no_error(self, engine):
        completion = engine.complete(Request("", ""))
        assert completion.prompt_tokens == 1
        assert completion.generated_tokens > 0


class TestHealing:
    PIECES = ("conn", "é", "日本", "😀", "\n    ", "\n\n\t", "((", " == ", '"""', "0x1F", "  ")

    @given(
        st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=12).map("".join),
        st.sampled_from(["auto", "never"]),
    )
    @settings(max_examples=60, deadline=None)
    def test_a_suggestion_continues_what_stands_before_the_cursor(
        self, random_engine, prefix, multiline
    ):
        """With random weights all ways through the vocabulary are taken."""
        request = Request(prefix, "", multiline=multiline, max_tokens=8)
        ids: list[int] = []  # of the answer that is shown, which is the last one
        original = random_engine._decoder.several

        def recorded(*arguments):
            for decoded in original(*arguments):
                ids[:] = decoded.tokens
                assert not any(index < len(SPECIAL_TOKENS) for index in ids)
                yield decoded

        random_engine._decoder.several = recorded
        try:
            completion = random_engine.complete(request)
        finally:
            del random_engine._decoder.several
        assert completion.reason != "cancelled"
        text = text_of(completion)
        if text is not None:
            # what the model wrote begins with the piece before the cursor and goes on with the text
            rest = build_prompt(random_engine.tokenizer, request, 256).rest
            assert prefix.replace("\r\n", "\n").encode().endswith(rest)
            written = random_engine.tokenizer.decode_bytes(ids)
            # save for blanks, since its lines are indented as the text is
            assert b"".join(written.split()).startswith(b"".join((rest + text.encode()).split()))
            assert text.strip()
            assert "\ufffd" not in text

    @given(st.text(min_size=1, max_size=6).map(str.encode))
    @settings(max_examples=100, deadline=None)
    def test_tokens_that_may_continue_a_text(self, tokenizer, text):
        vocabulary = Vocabulary(tokenizer)
        expected = {
            index
            for index, token in enumerate(tokenizer.token_bytes)
            if token and (token.startswith(text) or text.startswith(token))
        }
        found = vocabulary.continuing(text).tolist()
        assert set(found) == expected
        assert len(found) == len(expected)

    def test_surplus_ids_and_specials_are_never_chosen(self, tokenizer):
        logits = np.zeros(tokenizer.vocabulary_size + 10, np.float32)
        Vocabulary(tokenizer).ban_specials(logits)
        possible = np.flatnonzero(np.isfinite(logits)).tolist()
        assert possible == [END_OF_TEXT_ID, *range(len(SPECIAL_TOKENS), tokenizer.vocabulary_size)]


class TestReuse:
    def test_typing_through_a_line_evaluates_a_token_or_two_per_character(self, bundle):
        engine = Engine.load(str(bundle), threads=1)
        text = DOCUMENTS["inventory.py"]
        start = text.index("        self.items[name] = ")
        end = text.index("\n", start)
        counts = []
        for at in range(start, end + 1):
            completion = engine.complete(
                Request(text[:at], text[end:], path="inventory.py", document="d")
            )
            counts.append(completion.evaluated_tokens)
        assert counts[0] > 40  # the first one reads everything
        assert statistics.median(counts[1:]) <= 3
        assert max(counts[1:]) <= 5

    def test_going_back_and_forth_between_files_reads_neither_again(self, bundle):
        engine = Engine.load(str(bundle), threads=1)
        requests = [
            cursor("shapes.py", "    half = ba"),
            cursor("inventory.py", "        del self"),
            cursor("tabs.py", "\t\treturn le"),
        ]
        first = [engine.complete(request) for request in requests]
        again = [engine.complete(request) for request in requests]
        assert all(completion.evaluated_tokens > 20 for completion in first)
        assert [completion.evaluated_tokens for completion in again] == [1, 1, 1]
        assert [text_of(c) for c in again] == [text_of(c) for c in first]

    def test_a_kept_state_suggests_what_a_fresh_one_does(self, bundle):
        text = DOCUMENTS["reader.py"]
        places = [*range(40, 300, 13), *range(300, 40, -19)]
        kept = Engine.load(str(bundle), threads=1)
        for at in places:
            request = Request(text[:at], text[text.find("\n", at) :], document="d")
            ours = kept.complete(request)
            fresh = Engine(kept.backend, kept.tokenizer)
            assert text_of(ours) == text_of(fresh.complete(request))


class TestCancelling:
    def test_a_cancelled_request_costs_nothing(self, engine):
        completion = engine.complete(cursor("shapes.py", "    half = "), lambda: True)
        assert (completion.suggestion, completion.reason) == (None, "cancelled")
        assert completion.evaluated_tokens == 0

    @pytest.mark.parametrize("asked", range(1, 12))
    def test_at_each_question_the_answer_is_heard_and_the_state_stays_sound(self, bundle, asked):
        engine = Engine.load(str(bundle), threads=1)
        request = cursor("inventory.py", "        self.items[name] = ")
        count = 0

        def cancelled():
            nonlocal count
            count += 1
            return count >= asked

        completion = engine.complete(request, cancelled)
        assert completion.reason == "cancelled"
        assert count == asked
        assert text_of(engine.complete(request)) == "self.items.get(name, 0) + count"

    @pytest.mark.parametrize("asked", [2, 3, 5])
    def test_a_long_prompt_is_read_in_short_pieces_with_a_question_before_each(
        self, make_checkpoint, tmp_path, asked
    ):
        checkpoint = make_checkpoint(tmp_path / "checkpoint", context_length=1024)
        export_checkpoint(checkpoint, tmp_path / "bundle")
        engine = Engine.load(str(tmp_path / "bundle"), threads=1)
        answers = iter([False] * (asked - 1))
        text = "".join(DOCUMENTS.values()) * 3
        request = Request(text, "", recall=False)  # which asks too, for each piece of the text
        completion = engine.complete(request, lambda: next(answers, True))
        assert completion.reason == "cancelled"
        assert completion.prompt_tokens > 500
        assert completion.evaluated_tokens == CHUNK * (asked - 2)  # the first one: before all work
        assert CHUNK <= 128

    def test_requests_at_once_take_turns(self, engine):
        text = DOCUMENTS["inventory.py"]
        places = [at for at in range(60, 500, 20) if text[at] != "\n"]
        requests = [
            Request(text[:at], text[text.find("\n", at) :], path="inventory.py", document="d")
            for at in places
        ]
        alone = [text_of(engine.complete(request)) for request in requests]
        with ThreadPoolExecutor(6) as pool:
            together = list(pool.map(engine.complete, requests))
        assert [text_of(completion) for completion in together] == alone


class TestLoading:
    def test_a_bundle_and_a_checkpoint_can_be_loaded(
        self, random_bundle, random_checkpoint, tmp_path, monkeypatch
    ):
        monkeypatch.setenv("PARROTLET_CACHE", str(tmp_path))
        request = Request("import ", "", max_tokens=4)
        first = Engine.load(str(random_bundle))
        second = Engine.load(str(random_checkpoint))
        assert first.bundle.folder == random_bundle
        assert tmp_path in second.bundle.folder.parents
        assert text_of(first.complete(request)) == text_of(second.complete(request))

    def test_what_does_not_fit_together_is_refused(self, bundle, make_checkpoint, tmp_path):
        from parrotlet_tokenizer.train import train_tokenizer

        backend = OnnxBackend(bundle / "model.onnx", 1)
        larger = train_tokenizer([*DOCUMENTS.values(), "other words altogether"], 660)
        with pytest.raises(BundleError, match="do not belong together"):
            Engine(backend, larger)
        short = make_checkpoint(tmp_path / "short", context_length=64)
        export_checkpoint(short, tmp_path / "bundle")
        with pytest.raises(BundleError, match="context is 64 tokens"):
            Engine.load(str(tmp_path / "bundle"))

    def test_a_model_with_more_entries_than_the_tokenizer_works(self, make_checkpoint, tmp_path):
        padded = make_checkpoint(tmp_path / "padded", vocabulary_size=704)
        export_checkpoint(padded, tmp_path / "bundle")
        engine = Engine(
            OnnxBackend(tmp_path / "bundle/model.onnx", 1),
            open_bundle(tmp_path / "bundle").tokenizer,
        )
        for prefix in ("import ", "def f(", "x"):
            assert engine.complete(Request(prefix, "")).reason != "cancelled"
