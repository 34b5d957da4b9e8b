"""The prompt grammar: what training writes is what serving asks with."""

from __future__ import annotations

import inspect
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parrotlet_tokenizer import Header, prompt
from parrotlet_tokenizer.specials import (
    END_OF_TEXT_ID,
    FILE_ID,
    FIM_MIDDLE_ID,
    FIM_PREFIX_ID,
    FIM_SUFFIX_ID,
    REPOSITORY_ID,
    SPECIAL_IDS,
)
from parrotlet_tokenizer.train import train_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([inspect.getsource(json), inspect.getsource(inspect)], 800)


FULL = Header(quality=4, repository="o/n", related=(("b.py", "B = 1\n"),), path="a.py")


def test_header_parts_stand_in_order(tokenizer):
    ids = FULL.encode(tokenizer)
    assert ids[0] == SPECIAL_IDS["<|quality_4|>"]
    assert ids[1] == REPOSITORY_ID
    marks = [i for i, token in enumerate(ids) if token == FILE_ID]
    assert len(marks) == 2
    assert tokenizer.decode(ids[2 : marks[0]]) == "o/n"
    assert tokenizer.decode(ids[marks[0] + 1 : marks[1]]) == "b.py\nB = 1\n"
    assert tokenizer.decode(ids[marks[1] + 1 :]) == "a.py\n"


def test_an_empty_header_is_nothing(tokenizer):
    assert Header().encode(tokenizer) == []


texts = st.text(st.sampled_from("ab \n():def"), max_size=12)


@given(texts, texts, texts.filter(bool))
def test_a_serving_prompt_is_the_start_of_its_training_sequence(tokenizer, prefix, middle, suffix):
    trained = prompt.spm(tokenizer, FULL, prefix, middle, suffix)
    head = prompt.serving_head(tokenizer, FULL, suffix)
    assert trained[: len(head)] == head
    assert tokenizer.decode(trained[len(head) :]) == prefix + middle
    assert trained[-1] == END_OF_TEXT_ID


def test_spm_and_psm_hold_the_same_text(tokenizer):
    spm = prompt.spm(tokenizer, Header(), "pre", "mid", "suf")
    psm = prompt.psm(tokenizer, Header(), "pre", "mid", "suf")
    assert spm[:2] == [FIM_PREFIX_ID, FIM_SUFFIX_ID]
    assert psm[0] == FIM_PREFIX_ID
    suffix_at, middle_at = psm.index(FIM_SUFFIX_ID), psm.index(FIM_MIDDLE_ID)
    assert tokenizer.decode(psm[1:suffix_at]) == "pre"
    assert tokenizer.decode(psm[suffix_at:middle_at]) == "suf"
    assert tokenizer.decode(psm[middle_at:]) == "mid"


def test_nothing_behind_the_cursor_is_the_plain_form(tokenizer):
    head = prompt.serving_head(tokenizer, Header(path="a.py"), "")
    trained = prompt.plain(tokenizer, Header(path="a.py"), "x = 1\n")
    assert trained[: len(head)] == head
