"""The report page and the dataset card, on corpora built from real files."""

from __future__ import annotations

import json
import re
import sys
import sysconfig
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import datasets
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from parrotlet_training.corpus.card import size_category, write_card
from parrotlet_training.corpus.document import Document
from parrotlet_training.corpus.report.features import inspect_text
from parrotlet_training.corpus.report.fields import fields_of, is_test
from parrotlet_training.corpus.report.findings import find, percent
from parrotlet_training.corpus.report.funnel import OTHER, funnel
from parrotlet_training.corpus.report.language import LITTLE, UNSURE, language_of
from parrotlet_training.corpus.report.manifest import CorpusError, CorpusManifest, read_manifest
from parrotlet_training.corpus.report.survey import survey_corpus
from parrotlet_training.corpus.report.write import write_report
from parrotlet_training.corpus.shards import ShardWriter

STDLIB = Path(sysconfig.get_path("stdlib"))
SPLITS = {
    "train": [
        ("someone/tools", "MIT", ("ast", "bisect", "heapq", "shlex")),
        ("someone/<web>&co", "Apache-2.0", ("smtplib", "socketserver")),
        ("other/thing", "", ("sched",)),
    ],
    "validation": [("third/check", "BSD-3-Clause", ("textwrap", "queue"))],
}
EXTRA = {
    "near_duplicates": {"candidates": 9, "verified": 4, "dropped": 3},
    "redacted": {"e-mail address": 12, "private key": 1},
    "quality": {"0": 1, "3": 7, "unknown": 1},
    "decontaminated": {"HumanEval": 2},
}


def write_corpus(folder, extra=None):
    """A corpus of modules of the standard library, with a manifest of the format that is read."""
    manifest = {
        "format": 1,
        "tool": "parrotlet 0",
        "options": {"min_bytes": 64, "filters": {"a": {}, "b": {}}},
        "files_seen": 40,
        "documents": {},
        "bytes": {},
        "left_out": {"too small": 20, "duplicate": 4, "a new reason": 2},
        "skipped_sources": {"gone/away": "licence not permissive: GPL-3.0-only"},
        "sources": [],
        "shards": [],
        **(extra or {}),
    }
    for split, sources in SPLITS.items():
        count = size = 0
        with ShardWriter(folder, split) as writer:
            for repository, licence, names in sources:
                documents = [
                    Document(
                        (STDLIB / f"{name}.py").read_text(),
                        f"tests/test_{name}.py" if name == "queue" else f"src/{name}.py",
                        repository,
                        "c0ffee" * 6,
                        licence,
                        "git",
                    )
                    for name in names
                ]
                for document in documents:
                    writer.add(document)
                own = sum(len(document.content.encode()) for document in documents)
                manifest["sources"].append(
                    {
                        "repository": repository,
                        "commit": "c0ffee" * 6,
                        "licence": licence,
                        "source": "git",
                        "split": split,
                        "documents": len(documents),
                        "bytes": own,
                    }
                )
                count, size = count + len(documents), size + own
        manifest["documents"][split], manifest["bytes"][split] = count, size
        manifest["shards"] += writer.shards
    (folder / "corpus.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpora") / "small", EXTRA)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """As an older build wrote it."""
    return write_corpus(tmp_path_factory.mktemp("corpora") / "plain")


@pytest.fixture(scope="module")
def page(corpus, tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "report.html"
    write_report(corpus, file)
    return file.read_text()


class Page(HTMLParser):
    """Checks that elements close in order; collects tags, attributes and text."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.attributes, self.words = [], Counter(), [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen[tag] += 1
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_survey_counts_what_is_there(corpus):
    survey = survey_corpus(corpus, read_manifest(corpus), sample=100)
    texts = {
        (repository, licence, name): (STDLIB / f"{name}.py").read_text()
        for sources in SPLITS.values()
        for repository, licence, names in sources
        for name in names
    }
    assert survey.documents == {"train": 7, "validation": 2}
    assert survey.total_bytes == sum(len(text.encode()) for text in texts.values())
    by_repository = Counter()
    for (repository, _, _), text in texts.items():
        by_repository[repository] += len(text.encode())
    assert survey.repositories == by_repository
    assert survey.licence_documents == {"MIT": 4, "Apache-2.0": 2, "BSD-3-Clause": 2, "": 1}
    assert (survey.tests, survey.sampled, survey.parsed) == (1, 9, 9)
    assert survey.languages["English"] >= 8
    lines = [line for text in texts.values() for line in text.split("\n")]
    full = Counter(len(line) for line in lines if line.strip())
    assert survey.line_lengths == full
    sizes = sorted(len(text.encode()) for text in texts.values())
    assert survey.size_quantile(0.5) == pytest.approx(sizes[4], rel=0.2)


def test_a_sample_is_drawn_by_seed(corpus):
    manifest = read_manifest(corpus)
    first, again, other = (
        survey_corpus(corpus, manifest, sample=3, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again
    assert first.sampled == other.sampled == len(first.excerpts) == 3
    assert first.excerpts != other.excerpts
    assert first.repositories == other.repositories


def test_the_page_stands_alone_and_is_well_formed(page):
    seen = Page(page)
    assert seen.seen["svg"] >= 11
    assert not {"script", "img", "link", "iframe", "object"} & set(seen.seen)
    for tag, name, value in seen.attributes:
        if name in ("src", "href", "xlink:href"):
            assert value.startswith("#"), (tag, name, value)
    assert not re.search(r"url\((?!#)|@import|@font-face", page)
    anchors = [value for _, name, value in seen.attributes if name == "href" and value[0] == "#"]
    ids = [value for _, name, value in seen.attributes if name == "id"]
    assert {anchor[1:] for anchor in anchors} <= set(ids)
    for _, name, value in seen.attributes:
        assert name != "aria-label" or value
    assert len(page) < 500_000
    assert str(Path.home()) not in page


def test_the_page_says_what_the_manifest_says(page):
    words = " ".join(Page(page).words)
    for expected in (
        "someone/<web>&co",
        "too small",
        "a new reason",
        "e-mail address",
        "HumanEval",
        "near-duplicates dropped",
        "level 3",
        "gone/away",
        "GPL-3.0-only",
        "c0ffeec0ffee",
        "filters (2)",
    ):
        assert expected in words
    assert "not looked for" not in words


def test_colours_come_from_the_page(page):
    inside = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert "var(--bar)" in inside
    assert not re.search(r"(?:fill|stroke): ?#[0-9a-f]{6}", inside)
    assert "prefers-color-scheme: dark" in page


def test_the_same_corpus_gives_the_same_bytes(corpus, tmp_path):
    first = write_report(corpus, tmp_path / "a.html", sample=4, seed=3)
    write_report(corpus, tmp_path / "b.html", sample=4, seed=3)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert first.sampled == 4
    write_report(corpus, tmp_path / "b.html", sample=4, seed=4)
    assert (tmp_path / "a.html").read_bytes() != (tmp_path / "b.html").read_bytes()
    assert {file.name for file in tmp_path.iterdir()} == {"a.html", "b.html"}


def test_an_older_corpus_has_a_page_and_a_card_too(plain):
    report = write_report(plain)
    assert report.file == plain / "report.html"
    words = " ".join(Page(report.file.read_text()).words)
    assert "Near-duplicates were not looked for" in words
    assert "Quality levels" not in words
    assert any(line.startswith("Near-duplicates may remain") for line in report.findings)
    assert "No secrets or addresses were replaced" in write_card(plain).read_text()


def test_what_is_no_corpus_is_said(corpus, tmp_path):
    with pytest.raises(CorpusError, match=r"holds no corpus\.json"):
        write_report(tmp_path)
    with pytest.raises(CorpusError, match="give 1 or more"):
        write_report(corpus, tmp_path / "x.html", sample=0)
    with pytest.raises(CorpusError, match="is a folder"):
        write_report(corpus, tmp_path)
    (tmp_path / "corpus.json").write_text("{")
    with pytest.raises(CorpusError, match="cannot be read"):
        write_report(tmp_path)
    (tmp_path / "corpus.json").write_text('{"files_seen": 3}')
    with pytest.raises(CorpusError, match="not the manifest of a corpus") as caught:
        write_report(tmp_path)
    assert "\n" not in str(caught.value)
    broken = write_corpus(tmp_path / "broken")
    (broken / "data" / "train-00000.parquet").write_bytes(b"PAR1")
    with pytest.raises(CorpusError, match="cannot be read"):
        write_report(broken)
    (broken / "data" / "train-00000.parquet").unlink()
    with pytest.raises(CorpusError, match="lacks its shard"):
        write_report(broken)
    assert not (broken / "report.html").exists()


def test_findings_say_the_figures(corpus):
    manifest = read_manifest(corpus)
    survey = survey_corpus(corpus, manifest)
    found = {finding.title: finding.text for finding in find(manifest, survey)}
    assert "All text comes from 4 repositories" in found["Few repositories"]
    assert "11\u00a0% of the documents name none" in found["Licences"]
    assert "11\u00a0% of the documents" in found["Tests"]
    assert "3 near-duplicates" in found["Duplicates"]
    assert "third/check" in found["Validation is narrow"]
    assert "games (0\u00a0%)" in found["Under-represented fields"]


COUNTS = st.dictionaries(st.text(min_size=1, max_size=9), st.integers(0, 99), max_size=6)


@given(COUNTS, st.integers(0, 99), st.integers(0, 99), st.integers(0, 9), st.integers(0, 9))
def test_the_funnel_ends_at_what_was_kept(left_out, kept, unknown, near, tasks):
    manifest = CorpusManifest(
        tool="",
        options={},
        files_seen=kept + unknown + sum(left_out.values()),
        documents={"train": kept},
        bytes={"train": 0},
        left_out=left_out,
        skipped_sources={},
        sources=[],
        shards=[],
        near_duplicates={"dropped": near},
        decontaminated={"task": tasks},
    )
    steps = funnel(manifest)
    left = manifest.files_seen
    for step in steps:
        left -= step.dropped
        assert step.left == left
        assert step.reason == OTHER or step.dropped >= 0
    assert left == kept
    assert {step.reason for step in steps} >= set(left_out)


@settings(deadline=None)
@given(st.text())
def test_any_text_has_features(text):
    features = inspect_text(text)
    assert len(features.line_lengths) == sum(1 for line in text.split("\n") if line.strip())
    assert features.parses or not features.imports


def test_features_of_a_text():
    features = inspect_text(
        '"""Notes on how a thing is done in here."""\n'
        "# Copyright 2020 by somebody\n\n"
        "import os.path, numpy as np\nfrom . import near\nfrom torch.nn import Module\n\n"
        "text = '''\n# inside of a string, no comment at all\n'''\n"
        "# what follows is explained for readers\n"
        "def f(x: int) -> str:\n"
        '    """Says hello to those who are there.\n\n    >>> f(1) or something else\n    """\n'
        "    return f'{x}' if (y := x) else print(y)\n"
    )
    assert features.imports == {"os", "numpy", "torch"}
    assert features.syntax >= {"type hints", "f-strings", "print calls", "docstrings"}
    assert "assignment expressions" in features.syntax
    assert "async" not in features.syntax
    assert features.prose.split("\n") == [
        "Notes on how a thing is done in here.",
        "Says hello to those who are there.",
        "what follows is explained for readers",
    ]
    assert inspect_text("print 'hello'\n").python2
    assert not inspect_text("def (\n").python2
    assert not inspect_text("x = " + "(" * 5000 + ")" * 5000).parses


@pytest.mark.parametrize(
    ("prose", "language"),
    [
        ("Return the index of the first element that compares equal to the value.", "English"),
        ("Gibt den Index des ersten Elements zurück, das gleich dem Wert ist.", "German"),
        ("Devuelve el índice del primer elemento que es igual al valor dado.", "Spanish"),
        ("Renvoie la liste des utilisateurs qui sont connectés au serveur.", "French"),
        ("Retorna a lista de usuários cadastrados no banco de dados do sistema.", "Portuguese"),
        ("Получить список всех пользователей, которые сейчас находятся в сети.", "Russian"),
        ("获取所有用户的列表并且返回给调用者使用", "Chinese"),
        ("ユーザーの一覧を取得して呼び出し元に返す", "Japanese"),
        ("사용자의 목록을 가져와서 호출한 곳으로 돌려준다", "Korean"),
        ("todo", LITTLE),
        ("", LITTLE),
        ("xq zv kj qp wv xz jq kv zx vq pj xk wz qv jx kz pv xw zq vj " * 2, UNSURE),
    ],
)
def test_languages_are_told_apart(prose, language):
    assert language_of(prose) == language


def test_fields_and_tests_by_imports_and_paths():
    assert fields_of("a/b", "src/x.py", frozenset({"django"})) == {"web"}
    assert fields_of("pallets/flask", "src/x.py", frozenset()) == {"web"}
    assert fields_of("a/b", "x.py", frozenset()) == set()
    assert fields_of("a/b", "tests/x.py", frozenset({"numpy", "torch"})) == {
        "tests",
        "scientific",
        "machine learning",
    }
    assert fields_of("a/b", "tutorial/x.py", frozenset()) == {"education and examples"}
    for path in ("tests/a.py", "a/test/b.py", "a/test_b.py", "a/b_test.py", "conftest.py"):
        assert is_test(path)
    for path in ("a/latest.py", "contest/b.py", "a/testify.py", "attest/b.py"):
        assert not is_test(path)


def test_the_card_is_one_that_the_hub_and_datasets_read(corpus):
    file = write_card(corpus)
    text = file.read_text()
    _, front, body = text.split("---\n", 2)
    values = yaml.safe_load(front)
    assert values["license"] == ["apache-2.0", "bsd-3-clause", "mit", "other"]
    assert values["language"] == ["code"]
    assert values["size_categories"] == ["n<1K"]
    assert values["task_categories"] == ["text-generation"]
    for words in ("someone/tools", "12", "HumanEval", "Bias and gaps", "bibtex", "exclusion"):
        assert words in body
    write_card(corpus)
    assert file.read_text() == text
    loaded = datasets.load_dataset(str(corpus), cache_dir=str(corpus.parent / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 7, "validation": 2}


def test_a_card_needs_no_plots(corpus):
    """Publishing works where matplotlib and Pygments are not installed."""
    import subprocess

    program = (
        "import sys\nfor name in ('matplotlib', 'pygments'): sys.modules[name] = None\n"
        "from pathlib import Path\nfrom parrotlet_training.corpus.card import write_card\n"
        "print(write_card(Path(sys.argv[1])))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(corpus)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("documents", "category"),
    [
        (0, "n<1K"),
        (999, "n<1K"),
        (1000, "1K<n<10K"),
        (68_826, "10K<n<100K"),
        (10**6, "1M<n<10M"),
        (2 * 10**7, "10M<n<100M"),
        (10**13, "n>1T"),
    ],
)
def test_size_categories_of_the_hub(documents, category):
    assert size_category(documents) == category


@given(st.floats(0, 1))
def test_percent_is_short(share):
    assert re.fullmatch(r"(?:less than )?\d{1,3}(?:\.\d)?\u00a0%", percent(share))
