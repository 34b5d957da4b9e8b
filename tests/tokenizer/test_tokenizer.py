"""The byte-level BPE: lossless, split as Python is, special tokens out of reach of text."""

from __future__ import annotations

import argparse
import inspect
import json
import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from parrotlet_tokenizer import CodeTokenizer, TokenizerError
from parrotlet_tokenizer.specials import SPECIAL_TOKENS
from parrotlet_tokenizer.train import train_tokenizer

SOURCES = [json, inspect, argparse, typing]


@pytest.fixture(scope="session")
def tokenizer() -> CodeTokenizer:
    return train_tokenizer([inspect.getsource(module) for module in SOURCES], 1500)


odd_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.lists(
    st.sampled_from(
        [
            *SPECIAL_TOKENS[:8],
            "\r\n",
            "\r",
            "\n    ",
            "\t",
            "\f",
            "\u2028",
            "é",
            "e\u0301",
            "👩‍👩‍👧",
            "𝔘",
        ]
        + ["\x00", "\ufeff", "\u00a0", "def", " self", "._x", "123456", "'''", "\\", "٣", "ﬁ", " "]
    )
).map("".join)


@given(odd_text)
@settings(max_examples=400, deadline=None)
def test_every_text_survives(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    for _ in range(2):  # the caller may change what it is given
        again = tokenizer.encode_again(text)
        assert again == ids
        again.clear()
    assert tokenizer.decode_bytes(ids) == text.encode()
    assert min(ids, default=len(SPECIAL_TOKENS)) >= len(SPECIAL_TOKENS)


@given(odd_text)
@settings(max_examples=200, deadline=None)
def test_healing_splits_off_the_last_piece(tokenizer, text):
    healed = tokenizer.encode_healed(text)
    assert tokenizer.decode(healed.ids) + healed.rest == text
    assert bool(healed.rest) == bool(text)


def test_healing_keeps_words_whole(tokenizer):
    assert tokenizer.encode_healed("x = self.nam").rest == ".nam"
    assert tokenizer.encode_healed("x = y\n    ").rest == "\n    "
    assert tokenizer.encode_healed("def f():\n    ").rest == "():\n    "
    assert tokenizer.encode_healed("range(").rest == "("


def test_newline_and_indentation_are_one_piece(tokenizer):
    pieces = [tokenizer.decode([i]) for i in tokenizer.encode("if x:\n        return x\n        y")]
    assert ":\n        " in pieces
    assert "\n        " in pieces


@pytest.mark.parametrize("special", SPECIAL_TOKENS[:7])
def test_spelt_specials_are_text_everywhere(tokenizer, tmp_path, special):
    tokenizer.save(tmp_path)
    text = f"x = '{special}'"
    plain = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    auto = AutoTokenizer.from_pretrained(tmp_path)
    expected = tokenizer.encode(text)
    assert min(expected) >= len(SPECIAL_TOKENS)
    assert plain.encode(text).ids == expected
    assert auto(text)["input_ids"] == expected
    assert auto.decode(expected) == text


def test_auto_tokenizer_knows_the_end(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    auto = AutoTokenizer.from_pretrained(tmp_path)
    assert auto.eos_token_id == 0
    assert len(auto) == tokenizer.vocabulary_size == 1500


def test_vocabulary_holds_the_specials_inside_its_size(tokenizer):
    assert tokenizer.vocabulary_size == 1500
    assert [tokenizer.token_bytes[i] for i in range(len(SPECIAL_TOKENS))] == [b""] * len(
        SPECIAL_TOKENS
    )
    assert {bytes([b]) for b in range(256)} <= set(tokenizer.token_bytes)


def test_training_twice_gives_the_same_bytes(tokenizer):
    again = train_tokenizer([inspect.getsource(module) for module in SOURCES], 1500)
    assert again.json == tokenizer.json


def test_lone_surrogate_is_refused_clearly(tokenizer):
    with pytest.raises(ValueError, match="lone surrogate at character 1"):
        tokenizer.encode("a\ud800")


def test_too_little_text_is_refused():
    with pytest.raises(TokenizerError, match="give more text"):
        train_tokenizer(["x = 1\n"], 16_384)


@pytest.mark.parametrize(
    "content", ["", "{}", "not json", '{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}']
)
def test_broken_files_are_refused_clearly(tmp_path, content):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(TokenizerError, match=r"not a readable tokenizer|was not made by"):
        CodeTokenizer.load(tmp_path)


def test_missing_file_is_refused_clearly(tmp_path):
    with pytest.raises(TokenizerError, match="cannot read the tokenizer"):
        CodeTokenizer.load(tmp_path / "absent")


def test_foreign_vocabulary_is_refused(tmp_path, tokenizer):
    content = json.loads(tokenizer.json)
    content["model"]["vocab"]["<|endoftext|>"], content["model"]["vocab"]["<|fim_prefix|>"] = 1, 0
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(TokenizerError, match="does not hold"):
        CodeTokenizer.load(tmp_path)
