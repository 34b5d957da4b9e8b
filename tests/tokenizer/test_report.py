"""The report's figures, against what one counts by hand; the peers; the sweep."""

from __future__ import annotations

import argparse
import base64
import inspect
import io
import json
import os
import shutil
import tarfile
from html.parser import HTMLParser

import pytest

from parrotlet_tokenizer import TokenizerError, cli
from parrotlet_tokenizer.report import build_report, page, sweep, text
from parrotlet_tokenizer.report.measures import coverage, entries, measure
from parrotlet_tokenizer.report.noise import NOISE, case_changed, misspelt, two_spaces, unspaced
from parrotlet_tokenizer.report.peers import PACKAGE, PeersError, Subject, load_peers, own
from parrotlet_tokenizer.train import train_tokenizer

SOURCES = [inspect.getsource(json), inspect.getsource(inspect)]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(SOURCES, 700)


@pytest.fixture
def folder(tmp_path):
    for name, content in (("one", inspect.getsource(shutil)), ("two", inspect.getsource(base64))):
        (tmp_path / "code" / name).mkdir(parents=True)
        (tmp_path / "code" / name / "a.py").write_text(content[:6_000])
    return tmp_path / "code"


def subject(*tokens):
    """A tokenizer that takes the longest of `tokens` each time."""
    table = [b"", *(token.encode() for token in tokens)]

    def encode(content):
        ids, rest = [], content.encode()
        while rest:
            ids.append(max((i for i in range(1, len(table)) if rest.startswith(table[i])),
                           key=lambda i: len(table[i])))  # fmt: skip
            rest = rest[len(table[ids[-1]]) :]
        return ids

    return Subject("by hand", encode, table)


def test_compression_by_hand():
    # ab cd | def gh: the second token of the first word reaches into the second word
    hand = subject("a", "b cd", "de", "f", " ", "gh", "zz")
    figures, counts = measure(hand, {"r/r": ["ab cd", "def gh"], "s/s": ["gh"]})
    assert counts.tolist() == [0, 1, 1, 1, 1, 1, 2, 0]
    assert (figures.bytes, figures.tokens, figures.entries) == (13, 7, 7)
    assert figures.bytes_per_token == pytest.approx(13 / 7)
    assert figures.by_repository == {"r/r": pytest.approx(11 / 6), "s/s": 2.0}
    # identifiers: ab (2 tokens), cd (1), def (2), gh (1), gh (1)
    assert figures.fertility == pytest.approx(7 / 5)
    assert figures.continued == pytest.approx(2 / 5)
    assert figures.across_words == pytest.approx(1 / 7)
    assert figures.p95_length == 4
    assert (figures.unused, figures.rare) == (1, 6)


def test_letters_of_all_scripts_make_one_identifier():
    hand = subject("größe", "é", " ", "1", "x")
    figures, _ = measure(hand, {"r": ["größe éx 1x"]})
    assert figures.fertility == pytest.approx(3 / 2)  # 1x is no identifier


def test_a_tokenizer_that_loses_text_is_refused():
    broken = Subject("broken", lambda content: [1], [b"", b"a"])
    with pytest.raises(ValueError, match="broken does not give back a text of r/r"):
        measure(broken, {"r/r": ["ab"]})


def test_coverage_by_hand():
    letters = [chr(code) for code in range(32, 127)]
    known = coverage(subject(*letters, "return", " return", " len", "os"))
    assert (known["keywords"].alone, known["keywords"].after_space) == (1, 1)
    assert (known["builtins"].alone, known["builtins"].after_space) == (0, 1)
    assert (known["modules"].alone, known["modules"].after_space) == (1, 0)
    assert "return" not in known["keywords"].missing
    assert "while" in known["keywords"].missing


def test_entries_worth_a_look():
    hand = subject("a", "b cd", "de", "f", " ", "gh", "zz")
    _, counts = measure(hand, {"r": ["ab cd", "gh gh"]})
    looked = entries(hand, counts, 2)
    assert looked.first == ["b cd", "de"]
    assert looked.last == ["gh", "zz"]
    assert looked.longest == ["b cd", "de"]
    assert looked.most_used == [("gh", 2), ("b cd", 1)]
    assert looked.across_words == [("b cd", 1)]


class TestNoise:
    CODE = "def total(values):\n    for value in values:\n        total += value, 1\n" * 200

    @pytest.mark.parametrize("kind", NOISE)
    def test_it_is_the_same_each_time(self, kind):
        assert NOISE[kind](self.CODE) == NOISE[kind](self.CODE) != self.CODE

    @pytest.mark.parametrize("change", [misspelt, case_changed])
    def test_a_tenth_of_the_words_changes_and_nothing_else(self, change):
        before, after = self.CODE.split(), change(self.CODE).split()
        assert len(before) == len(after)
        changed = sum(a != b for a, b in zip(before, after, strict=True))
        assert 0.03 < changed / len(before) < 0.15

    def test_indentation_and_spaces(self):
        assert two_spaces("if x:\n    a\n        b\n") == "if x:\n  a\n    b\n"
        assert unspaced("x = a + b, c\n    y += 1") == "x=a+b,c\n    y+=1"


def test_a_report_of_a_folder(tokenizer, folder):
    other = train_tokenizer(SOURCES, 500)
    other.save(folder.parent / "smaller")
    report = build_report(tokenizer, "mine", folder, [str(folder.parent / "smaller")])
    mine, smaller = report.compression
    files = [(folder / name / "a.py").read_text() for name in ("one", "two")]
    tokens = sum(len(tokenizer.encode(content)) for content in files)
    size = sum(len(content.encode()) for content in files)
    assert mine.bytes_per_token == pytest.approx(size / tokens)
    assert mine.entries == 700 - 32
    ratio = mine.bytes_per_token / smaller.bytes_per_token
    assert report.ratios == {smaller.name: pytest.approx(ratio)}
    assert ratio > 1
    assert report.noise["mine"]["typos"] > 1
    assert report.encode_speed["mine"] > 0
    assert report.train_speed is not None
    assert report.train_speed > 0
    assert report.notes == []
    assert json.loads(report.json())["compression"][0]["tokens"] == tokens
    shown = text(report)
    assert f"mine: {size / tokens:.3f} bytes per token on {size:,} bytes of code" in shown


class _Checker(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attributes]

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_needs_no_other_file_and_shows_names_as_text(tokenizer, folder):
    report = build_report(tokenizer, "<b>&mine", folder, [], train=False)
    checker = _Checker()
    checker.feed(page(report))
    assert not {"b", "script", "link", "img"} & set(checker.tags)
    assert not {"src", "href"} & set(checker.attributes)
    assert "svg" in checker.tags
    assert "<b>&mine" in "".join(checker.text)
    assert f"{report.compression[0].bytes_per_token:.3f}" in "".join(checker.text)


@pytest.fixture
def archive(tmp_path):
    """A cache that holds the package, with a vocabulary of single bytes and `` the``."""
    tokens = [*(bytes([b]) for b in range(256)), b" t", b"he", b" the"]
    lines = [
        " ".join(["!", str(first), *(base64.b64encode(t).decode() for t in tokens[first:stop])])
        for first, stop in ((0, 200), (200, len(tokens)))
    ]
    content = {
        "pat_str": r" ?\p{L}+|\s+|[^\s\p{L}]+",
        "special_tokens": {"<|endoftext|>": len(tokens)},
        "bpe_ranks": "\n".join(lines),
    }
    data = json.dumps(content).encode()
    file = tmp_path / "cache" / f"{PACKAGE.replace('@', '-')}.tgz"
    file.parent.mkdir()
    with tarfile.open(file, "w:gz") as tar:
        member = tarfile.TarInfo("package/encoders/gpt2.json")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    return file


def test_peers_are_read_from_the_package(archive):
    (gpt2,) = load_peers(["gpt2"], archive.parent)
    assert gpt2.name == "GPT-2"
    assert gpt2.entries == 259
    assert [gpt2.token_bytes[i] for i in gpt2.encode("in the x")] == [
        b"i", b"n", b" the", b" ", b"x"
    ]  # fmt: skip
    assert b"".join(gpt2.token_bytes[i] for i in gpt2.encode("<|endoftext|> é")) == (
        "<|endoftext|> é".encode()
    )


def test_a_damaged_package_is_named(archive):
    with pytest.raises(PeersError, match="is damaged: remove it"):
        load_peers(["cl100k_base"], archive.parent)
    archive.write_bytes(archive.read_bytes()[:50])
    with pytest.raises(PeersError, match=r"\.tgz is damaged: remove it"):
        load_peers(["gpt2"], archive.parent)


def test_without_npm_the_report_goes_on(tokenizer, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    report = build_report(tokenizer, "mine", folder, ["gpt2", "o200k_base"], train=False)
    assert [c.name for c in report.compression] == ["mine"]
    assert report.notes == [
        "not compared with gpt2, o200k_base: npm is not installed: it fetches their vocabularies"
    ]
    assert report.notes[0] in text(report)


def test_without_network_the_reason_is_one_line(tmp_path, monkeypatch):
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text("#!/bin/sh\necho 'npm error network request failed' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(PeersError, match=r"could not fetch tiktoken@\S+ \(npm error network"):
        load_peers(["gpt2"], tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_sweep_measures_each_size(tmp_path, folder):
    from parrotlet_tokenizer.corpus import held_out_texts

    held_out = held_out_texts(folder, 10_000)
    found = list(sweep(lambda: iter(SOURCES), held_out, [400, 800], tmp_path / "out", 64))
    assert [size.entries for size in found] == [400, 800]
    assert found[0].bytes_per_token < found[1].bytes_per_token
    assert found[1].embedding_parameters == 800 * 64
    written = json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert [size["bytes_per_token"] for size in written["sizes"]] == [
        size.bytes_per_token for size in found
    ]
    assert (tmp_path / "out" / "800" / "tokenizer.json").exists()


def test_a_sweep_keeps_what_it_has_when_a_size_fails(tmp_path, folder):
    from parrotlet_tokenizer.corpus import held_out_texts

    sizes = sweep(
        lambda: ["x = 1\n" * 9, *SOURCES[:1]], held_out_texts(folder, 9_000), [300, 60_000],
        tmp_path / "out", 64,
    )  # fmt: skip
    with pytest.raises(TokenizerError, match="gives only"):
        list(sizes)
    assert len(json.loads((tmp_path / "out" / "sweep.json").read_text())["sizes"]) == 1


def test_the_command_writes_both_files(tokenizer, folder, tmp_path, capsys):
    tokenizer.save(tmp_path / "mine")
    parser = argparse.ArgumentParser()
    cli.register(parser.add_subparsers())
    words = ["tokenizer", "report", str(tmp_path / "mine"), str(folder), "--against"]
    arguments = parser.parse_args([*words, "--out", str(tmp_path / "out")])
    assert arguments.run(arguments) == 0
    assert "Names that are one token" in capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["report.html", "report.json"]
    arguments = parser.parse_args([*words[:2], str(tmp_path / "absent"), *words[3:]])
    assert arguments.run(arguments) == 1
    assert "cannot read the tokenizer" in capsys.readouterr().err


def test_own_vocabularies_leave_specials_out(tokenizer):
    assert own(tokenizer, "mine").entries == tokenizer.vocabulary_size - 32
