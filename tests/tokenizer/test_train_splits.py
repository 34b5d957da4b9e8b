"""Where pieces end: each split keeps the tokenizer's promises, and says what it cannot read."""

from __future__ import annotations

import argparse
import inspect
import json
import keyword

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from parrotlet_tokenizer import CodeTokenizer, TokenizerError, cli
from parrotlet_tokenizer.corpus import corpus_texts, held_out_texts
from parrotlet_tokenizer.specials import SPECIAL_TOKENS
from parrotlet_tokenizer.train import SPLITS, train_tokenizer

LEARNT = [inspect.getsource(module) for module in (json, inspect)]


@pytest.fixture(scope="module")
def trained():
    return {split: train_tokenizer(LEARNT, 1200, split) for split in SPLITS}


words = st.sampled_from(["if ", "for ", "not", "in ", "None", "x", "self", "name", "é", "12", "3"])
blanks = st.sampled_from([" ", "  ", "\t", "\n", "\n    ", "\r\n", "\f", "\u00a0"])
signs = st.sampled_from(["'''", " = ", "==", "->", "):", "…", "<|endoftext|>", *"._([{)',=#:\\"])
code = st.lists(words | blanks | signs, max_size=14).map("".join)


@pytest.mark.parametrize("split", SPLITS)
@given(text=code | st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
@settings(max_examples=150, deadline=None)
def test_every_text_survives(trained, split, text):
    ids = trained[split].encode(text)
    assert trained[split].decode_bytes(ids) == text.encode()
    assert min(ids, default=len(SPECIAL_TOKENS)) >= len(SPECIAL_TOKENS)


@pytest.mark.parametrize("split", SPLITS)
@given(text=code, data=st.data())
@settings(max_examples=300, deadline=None)
def test_what_healing_keeps_stays_however_the_text_goes_on(trained, split, text, data):
    cut = data.draw(st.integers(0, len(text)))
    if text[cut - 1 : cut + 1] == "\r\n":
        cut += 1  # no cursor stands inside a line end
    kept = trained[split].encode_healed(text[:cut]).ids
    assert trained[split].encode(text)[: len(kept)] == kept


@pytest.mark.parametrize("split", SPLITS)
@given(
    text=code, edits=st.lists(st.tuples(st.integers(0, 80), st.integers(0, 4), code), max_size=5)
)
@settings(max_examples=300, deadline=None)
def test_healing_does_not_depend_on_the_text_before(trained, split, text, edits):
    """What two texts share is cut once."""
    core = trained[split]._core
    tokenizer = CodeTokenizer(core)
    text *= 3
    for at, removed, added in [(0, 0, ""), *edits]:
        text = text[:at] + added + text[at + removed :]
        assert tokenizer.encode_healed(text) == CodeTokenizer(core).encode_healed(text)


@pytest.mark.parametrize("split", SPLITS)
def test_other_libraries_read_it_the_same_way(trained, split, tmp_path):
    trained[split].save(tmp_path)
    text = f"def f(self, x):\n    return '{SPECIAL_TOKENS[0]}' not in x\n"
    expected = trained[split].encode(text)
    plain = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    auto = AutoTokenizer.from_pretrained(tmp_path)
    assert plain.encode(text).ids == expected
    assert auto(text)["input_ids"] == expected
    assert auto.decode(expected) == text


def test_each_split_makes_text_shorter_than_the_one_before(trained):
    unseen = inspect.getsource(argparse)
    tokens = [len(trained[split].encode(unseen)) for split in SPLITS]
    assert tokens == sorted(tokens, reverse=True)
    assert tokens[-1] < 0.98 * tokens[0]


@pytest.mark.parametrize(
    ("split", "text", "piece"),
    [
        ("signs", "f():\n    ", "\n    "),
        ("lines", "f():\n    ", "():\n    "),
        ("spaces", "x = ", " = "),
        ("spaces", "f(a, self", ", self"),
        ("keywords", "a is not No", " is not No"),
        ("keywords", "x\n    return va", "\n    return va"),
    ],
)
def test_pieces(trained, split, text, piece):
    assert trained[split].encode_healed(text).rest == piece


def test_an_unknown_split_is_refused():
    with pytest.raises(TokenizerError, match="no split 'words': take one of signs, lines"):
        train_tokenizer(LEARNT, 1200, "words")


@pytest.fixture
def corpus(tmp_path):
    def write(split, repositories, documents=8, group=2):
        table = pa.table(
            {
                "content": [
                    f"x_{r}_{d} = {d}\n" * 50 for r in repositories for d in range(documents)
                ],
                "repository": [r for r in repositories for _ in range(documents)],
            }
        )
        (tmp_path / "data").mkdir(exist_ok=True)
        file = tmp_path / "data" / f"{split}-00000.parquet"
        parquet.write_table(table, file, row_group_size=group, write_statistics=False)
        return tmp_path

    return write


def test_a_corpus_is_sampled_evenly(corpus):
    folder = corpus("train", ["a/a", "b/b", "c/c", "d/d"])
    everything = list(corpus_texts(folder, 10**9))
    assert len(everything) == 32
    size = sum(map(len, everything))
    half = list(corpus_texts(folder, size // 2))
    assert 0.4 * size < sum(map(len, half)) < 0.65 * size
    assert {text[2] for text in half} == set("abcd")
    assert half == list(corpus_texts(folder, size // 2))


def test_held_out_text_has_the_same_share_of_each_repository(corpus):
    folder = corpus("train", ["t/t"])
    corpus("holdout", ["a/a", "b/b", "c/c"])
    texts = held_out_texts(folder, 3_000)
    assert list(texts) == ["a/a", "b/b", "c/c"]
    assert all(800 <= sum(map(len, some)) <= 1_300 for some in texts.values())
    everything = held_out_texts(folder, 10**6)
    assert [len(some) for some in everything.values()] == [8, 8, 8]


def test_a_folder_of_files_serves_as_held_out_text(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "a.py").write_text("a = 1\n")
    (tmp_path / "b.py").write_text("b = 1\n")
    (tmp_path / "bad.py").write_bytes(b"\xff\xfe")
    assert held_out_texts(tmp_path, 100) == {".": ["b = 1\n"], "package": ["a = 1\n"]}
    with pytest.raises(TokenizerError, match="nor Python files"):
        held_out_texts(tmp_path / "absent", 100)


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:-40], lambda b: b"PAR1" + b[50:]])
def test_a_damaged_shard_is_named(corpus, damage):
    folder = corpus("train", ["a/a"])
    shard = folder / "data" / "train-00000.parquet"
    shard.write_bytes(damage(shard.read_bytes()))
    with pytest.raises(TokenizerError, match=r"train-00000.parquet is damaged") as caught:
        list(corpus_texts(folder, 10**6))
    assert "\n" not in str(caught.value)


def test_a_damaged_row_group_is_named(corpus):
    folder = corpus("train", ["a/a"])
    shard = folder / "data" / "train-00000.parquet"
    content = bytearray(shard.read_bytes())
    content[4:120] = bytes(116)  # the first pages; the footer stays whole
    shard.write_bytes(content)
    with pytest.raises(TokenizerError, match=r"train-00000.parquet is damaged"):
        list(corpus_texts(folder, 10**6))


def test_a_shard_of_something_else_is_named(tmp_path):
    (tmp_path / "data").mkdir()
    parquet.write_table(pa.table({"a": [1]}), tmp_path / "data" / "train-00000.parquet")
    with pytest.raises(TokenizerError, match="no column `content`"):
        list(corpus_texts(tmp_path, 100))


@pytest.fixture
def command(capsys):
    def run(*words):
        parser = argparse.ArgumentParser()
        cli.register(parser.add_subparsers())
        try:
            arguments = parser.parse_args(["tokenizer", *map(str, words)])
            code = arguments.run(arguments)
        except SystemExit as stop:
            code = stop.code
        output = capsys.readouterr()
        return code, output.out, output.err

    return run


@pytest.mark.parametrize("count", ["0", "-5", "many"])
def test_a_count_must_be_positive(command, corpus, tmp_path, count):
    folder = corpus("train", ["a/a"])
    words = ("train", "--corpus", folder, "--out", tmp_path / "o", "--max-bytes", count)
    code, _, error = command(*words)
    assert code == 2
    assert f"'{count}' is not a number from 1 up" in error
    with pytest.raises(TokenizerError, match="at least one byte"):
        list(corpus_texts(folder, 0))


def test_the_command_names_a_damaged_shard(command, corpus, tmp_path):
    folder = corpus("train", ["a/a"])
    (folder / "data" / "train-00000.parquet").write_bytes(b"PAR1 no")
    code, _, error = command("train", "--corpus", folder, "--out", tmp_path / "o")
    assert code == 1
    assert error.startswith("parrotlet: ")
    assert "is damaged" in error
    assert not (tmp_path / "o").exists()


def test_the_command_takes_a_split(command, tmp_path):
    file = tmp_path / "a.py"
    file.write_text(LEARNT[0])
    common = ("train", file, "--vocabulary-size", 600, "--out", tmp_path / "o", "--split")
    assert command(*common, "keywords")[0] == 0
    saved = json.loads((tmp_path / "o" / "tokenizer.json").read_text())
    assert saved["pre_tokenizer"]["pretokenizers"][0]["pattern"] == {"Regex": SPLITS["keywords"]}
    code, _, error = command(*common, "words")
    assert code == 1
    assert "no split 'words'" in error


def test_the_joined_keywords_are_keywords_that_a_word_may_follow():
    named = SPLITS["keywords"].split("(?:(?:")[1].split(")")[0].split("|")
    assert set(keyword.kwlist) - set(named) == {"break", "continue"}
    assert set(named) <= set(keyword.kwlist)
