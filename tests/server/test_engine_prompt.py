import operator
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parrotlet_server.engine import Request
from parrotlet_server.engine.prompt import (
    BLOCK,
    HEALING_TOKENS,
    MOST_HEALED,
    SUFFIX_TOKENS,
    build_prompt,
)
from parrotlet_server.engine.states import common_length
from parrotlet_tokenizer import Header
from parrotlet_tokenizer.prompt import serving_head
from parrotlet_tokenizer.specials import (
    END_OF_TEXT_ID,
    FIM_MIDDLE_ID,
    FIM_SUFFIX_ID,
    QUALITY,
    SPECIAL_IDS,
)

from ..support.tiny_model import DOCUMENTS

CONTEXT = 512
TEXT = "".join(DOCUMENTS.values()) * 20


def suffix_of(prompt, tokenizer):
    """The suffix that a prompt holds."""
    if FIM_MIDDLE_ID not in prompt.ids:
        return ""
    start, end = prompt.ids.index(FIM_SUFFIX_ID), prompt.ids.index(FIM_MIDDLE_ID)
    return tokenizer.decode(prompt.ids[start + 1 : end])


def prefix_of(prompt, tokenizer):
    """The text before the cursor that a prompt holds, what is to be written anew included."""
    start = prompt.ids.index(FIM_MIDDLE_ID) + 1 if FIM_MIDDLE_ID in prompt.ids else 0
    return (tokenizer.decode_bytes(prompt.ids[start:]) + prompt.rest).decode()


def test_the_prompt_is_the_grammars(tokenizer):
    request = Request("def f(x):\n    ret", " \nclass A:\n    pass\n", path="a/b.py")
    prompt = build_prompt(tokenizer, request, CONTEXT)
    head = serving_head(tokenizer, Header(path="a/b.py"), "class A:\n    pass\n")
    assert prompt.ids == head + tokenizer.encode("def f(x):\n    ")
    assert prompt.rest == b"ret"


def test_the_quality_stands_first_where_the_model_knows_it(tokenizer):
    request = Request("x = 1", "\nclass A: ...\n", path="a.py")
    told = build_prompt(tokenizer, request, CONTEXT, quality=4)
    plain = build_prompt(tokenizer, request, CONTEXT)
    assert told.ids == [SPECIAL_IDS[QUALITY[4]], *plain.ids]


def test_without_text_below_it_is_the_plain_form(tokenizer):
    for suffix in ("", ")", ")\n", "\n \n\n\t\n"):
        prompt = build_prompt(tokenizer, Request("import ", suffix), CONTEXT)
        assert prompt.ids == tokenizer.encode("import")
        assert prompt.rest == b" "


def test_an_empty_file_has_a_prompt(tokenizer):
    prompt = build_prompt(tokenizer, Request("", ""), CONTEXT)
    assert (prompt.ids, prompt.rest) == ([END_OF_TEXT_ID], b"")


@given(
    st.text(max_size=300) | st.integers(0, len(TEXT)).map(lambda size: TEXT[:size]),
    st.text(max_size=300) | st.integers(0, len(TEXT)).map(lambda size: TEXT[size:]),
    st.none() | st.text(max_size=300),
    st.sampled_from([128, 256, 1024]),
    st.sampled_from([1, 96, 10_000]),
)
@settings(max_examples=80, deadline=None)
def test_every_request_fits_the_context(tokenizer, prefix, suffix, path, context, max_tokens):
    request = Request(prefix, suffix, path=path, max_tokens=max_tokens)
    prompt = build_prompt(tokenizer, request, context)
    assert prompt.ids
    assert len(prompt.ids) + prompt.limit + HEALING_TOKENS <= context
    assert 1 <= prompt.limit <= max_tokens
    assert len(prompt.rest) <= MOST_HEALED
    assert prefix.replace("\r\n", "\n").encode().endswith(prompt.rest)
    if not path:
        assert prefix.replace("\r\n", "\n").endswith(prefix_of(prompt, tokenizer))


def test_the_suffix_is_whole_lines_within_its_budget(tokenizer):
    prompt = build_prompt(tokenizer, Request("x = 1", "\n" + TEXT), 1024)
    suffix = suffix_of(prompt, tokenizer)
    assert "\n" + suffix in TEXT
    assert suffix.endswith("\n")
    assert SUFFIX_TOKENS // 2 < len(tokenizer.encode(suffix)) <= SUFFIX_TOKENS


def test_the_suffix_stays_as_the_cursor_moves_in_its_block(tokenizer):
    lines = TEXT[:6000].splitlines(keepends=True)
    suffixes = []
    for number in range(1, len(lines)):
        # at the end of each line in turn
        request = Request("".join(lines[:number])[:-1], "\n" + "".join(lines[number:]))
        text = suffix_of(build_prompt(tokenizer, request, 1024), tokenizer)
        starts = range(number, number + BLOCK)
        assert any("".join(lines[start:]).startswith(text) for start in starts)
        suffixes.append(text)
    assert sum(map(operator.ne, suffixes, suffixes[1:])) < len(suffixes) / 3


def test_one_endless_line_below_is_cut_inside(tokenizer):
    suffix = suffix_of(
        build_prompt(tokenizer, Request("x", "\n" + "abc, " * 10_000), 1024), tokenizer
    )
    assert ("abc, " * 10_000).startswith(suffix)
    assert 0 < len(tokenizer.encode(suffix)) <= SUFFIX_TOKENS


def test_a_long_text_is_cut_at_a_line_start_and_well_used(tokenizer):
    prompt = build_prompt(tokenizer, Request(TEXT, ""), CONTEXT)
    kept = prefix_of(prompt, tokenizer)
    assert TEXT.endswith("\n" + kept)
    assert len(prompt.ids) > CONTEXT // 4


def test_the_left_edge_moves_seldom_as_one_types(tokenizer):
    before: list[int] = []
    moves = 0
    for end in range(3000, 4500):
        prompt = build_prompt(tokenizer, Request(TEXT[:end], "\nclass A: ..."), CONTEXT)
        moves += common_length(before, prompt.ids) < len(before) // 2
        before = prompt.ids
    # once per grid step of as many characters as the context has tokens
    assert moves <= 1 + 1500 // CONTEXT + 1


def test_a_long_last_piece_is_only_taken_back_in_part(tokenizer):
    for text in ("x = 1" + "\n" * 500, "x" * 500, "y = " + " " * 300, "é" * 200):
        prompt = build_prompt(tokenizer, Request(text, ""), 1024)
        assert 0 < len(prompt.rest) <= MOST_HEALED
        assert prefix_of(prompt, tokenizer).encode().endswith(prompt.rest)
        assert text.endswith(prefix_of(prompt, tokenizer))


def test_windows_line_ends_and_lone_surrogates_do_no_harm(tokenizer):
    prompt = build_prompt(
        tokenizer, Request("a\r\nb\ud800\r\n  c", "\r\nd\r\n", path="\udcff\\x"), 512
    )
    start = prompt.ids.index(FIM_MIDDLE_ID) + 1
    assert tokenizer.decode(prompt.ids[start:]) + prompt.rest.decode() == "a\nb?\n  c"
    assert suffix_of(prompt, tokenizer) == "d\n"
    assert tokenizer.decode(prompt.ids[: prompt.ids.index(FIM_SUFFIX_ID)]) == "?/x\n"


@pytest.mark.parametrize("line", ["value = compute(value)\n", "x" * 9_999_999 + "\n"])
def test_the_size_of_the_file_does_not_matter(tokenizer, line):
    text = line * (10_000_000 // len(line))
    request = Request(text, text)
    build_prompt(tokenizer, request, 1024)
    start = time.perf_counter()
    for _ in range(5):
        build_prompt(tokenizer, request, 1024)
    assert (time.perf_counter() - start) / 5 < 0.1  # measured: 0.006 s; encoding it all takes 5 s
