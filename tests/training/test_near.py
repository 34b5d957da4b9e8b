"""Near-duplicate removal on real files with planted copies."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import sysconfig
import tracemalloc
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parrotlet_server.bundle.resolve import DEFAULT_MODEL
from parrotlet_training.benchmarks import codeparrot, pipeline
from parrotlet_training.benchmarks import corpus as corpus_benchmark
from parrotlet_training.benchmarks.crew import Crew
from parrotlet_training.benchmarks.errors import BenchmarkError
from parrotlet_training.benchmarks.pipeline import documents, repeated
from parrotlet_training.corpus.filters import first_reason
from parrotlet_training.corpus.near import (
    SIGNATURE_WIDTH,
    Signatures,
    SignaturesError,
    election,
    jaccard,
    name_key,
    near_duplicates,
    rank_documents,
    shingles,
    signature,
    signatures_of,
)
from parrotlet_training.corpus.near import duplicates as duplicates_module
from parrotlet_training.corpus.near.banding import bands_and_rows, candidate_probability
from parrotlet_training.corpus.near.components import Components
from parrotlet_training.corpus.near.shingles import BLOCK, shingles_of, token_hashes

TOKEN = re.compile(r"[A-Za-z0-9_\u0080-\U0010ffff]+|[^\s\x1c-\x1f]|[\x1c-\x1f]")


def grams(text: str) -> set[tuple[str, ...]]:
    """The 5-grams themselves, the plain way."""
    tokens = TOKEN.findall(text)
    width = min(5, len(tokens))
    return {tuple(tokens[i : i + width]) for i in range(len(tokens) - width + 1)} - {()}


def similarity(left: str, right: str) -> float:
    one, other = grams(left), grams(right)
    return len(one & other) / len(one | other) if one | other else 0.0


@cache
def _library() -> list[str]:
    root = Path(sysconfig.get_paths()["stdlib"])
    folders = ("", "asyncio", "concurrent/futures", "email", "http", "json", "logging")
    folders += ("multiprocessing", "unittest", "urllib", "xml/dom", "xml/sax", "wsgiref")
    files = [path for folder in folders for path in sorted((root / folder).glob("*.py"))]
    files = [path for path in files if 2_000 < path.stat().st_size < 40_000]
    return [path.read_text(encoding="utf-8") for path in files]


def library(count: int) -> list[str]:
    """Real files of the standard library."""
    assert len(_library()) >= count
    return _library()[:count]


def run(folder: Path, texts: list[str], ranks=None, **options):
    if ranks is None:
        ranks = np.arange(len(texts))
    with Signatures(folder / "signatures") as found:
        for text in texts:
            found.add(text)
        return near_duplicates(found, ranks, lambda n: [texts[i] for i in n], **options)


def rename(text: str, share: float, rng: random.Random) -> str:
    """Other names in some of the lines that use one of the commoner names."""
    lines = text.split("\n")
    for index, line in enumerate(lines):
        if rng.random() < share:
            lines[index] = re.sub(r"\b(self|name|value|data|path|i|x|key)\b", r"other_\1", line)
    return "\n".join(lines)


def comment(text: str, share: float, rng: random.Random) -> str:
    lines = text.split("\n")
    for index in range(len(lines)):
        if rng.random() < share:
            lines[index] += f"  # note {rng.randrange(100)}"
    return "\n".join(lines)


def append(text: str, share: float, rng: random.Random) -> str:
    extra = "\n".join(
        f"def added_{rng.randrange(10**6)}(a_{i}, b_{i}):\n    return a_{i} + b_{i} * {i}\n"
        for i in range(max(1, round(len(text) * share / 60)))
    )
    return f"{text}\n\n{extra}"


def test_planted_copies_are_found_and_others_kept(tmp_path):
    texts = library(160)
    rng = random.Random(1)
    planted: list[tuple[int, str]] = []
    for index in range(120):
        change = (rename, comment, append)[index % 3]
        share = rng.choice([0.02, 0.05, 0.1, 0.2, 0.4])
        planted.append((index, change(texts[index], share, rng)))
    everything = texts + [text for _, text in planted]
    report = run(tmp_path, everything)
    exact = [similarity(texts[original], text) for original, text in planted]
    dropped = report.dropped
    bands: dict[str, list[bool]] = {"0.7-0.8": [], "0.8-0.9": [], "0.9-1.0": []}
    for place, value in enumerate(exact):
        number = len(texts) + place
        if dropped[number]:
            assert value >= 0.7
            assert report.duplicate_of[number] == planted[place][0]
            assert report.similarity[number] == pytest.approx(value, abs=1e-6)
        if value >= 0.7:
            bands["0.7-0.8" if value < 0.8 else "0.8-0.9" if value < 0.9 else "0.9-1.0"].append(
                bool(dropped[number])
            )
    print({name: (sum(found), len(found)) for name, found in bands.items()})
    assert all(len(found) >= 8 for found in bands.values())
    assert sum(1 for value in exact if value < 0.7) >= 8
    assert sum(bands["0.7-0.8"]) >= 0.85 * len(bands["0.7-0.8"])
    assert all(bands["0.8-0.9"])
    assert all(bands["0.9-1.0"])
    # real files that share a licence or an idiom stay; what does go is an exact near-copy
    originals = np.flatnonzero(dropped[: len(texts)])
    for number in originals:
        assert similarity(texts[number], everything[report.duplicate_of[number]]) >= 0.7
    assert len(originals) <= 2
    assert report.verified == dropped.sum()
    assert report.candidates == report.verified + report.false_candidates


def small_texts():
    names = st.sampled_from(["alpha", "beta", "gamma", *"()=+12:.,\né"])
    return st.lists(names, max_size=60).map(" ".join)


@settings(max_examples=50, deadline=None)
@given(small_texts(), small_texts())
def test_exact_jaccard_is_that_of_the_plain_sets(left, right):
    assert jaccard(shingles(left), shingles(right)) == similarity(left, right)
    both = left + " " + right
    assert jaccard(shingles(left), shingles(both)) == similarity(left, both)


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=80))
def test_tokens_are_those_of_the_plain_split(text):
    plain = re.findall(r"[A-Za-z0-9_\u0080-\U0010ffff]+|[^ \t\n\r\v\f]", text)
    hashes = token_hashes(text)
    assert len(hashes) == len(plain)
    assert len(set(hashes.tolist())) == len(set(plain))


@settings(max_examples=6, deadline=None)
@given(st.lists(small_texts(), min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_no_verdict_disagrees_with_brute_force(tmp_path_factory, texts, rng):
    """Every dropped document has a kept, better copy; few kept ones are copies of each other."""
    texts = texts + [text + " tail" for text in texts]
    ranks = list(range(len(texts)))
    rng.shuffle(ranks)
    report = run(tmp_path_factory.mktemp("brute"), texts, np.array(ranks))
    for number, kept in enumerate(report.duplicate_of):
        if kept >= 0:
            assert not report.dropped[kept]
            assert ranks[kept] < ranks[number]
            assert similarity(texts[number], texts[kept]) >= 0.7
    left = np.flatnonzero(~report.dropped)
    # nearly equal texts share a bucket for certain, bar an accident of one in thousands
    for one, other in combinations(left, 2):
        assert similarity(texts[one], texts[other]) < 0.95


def test_white_space_and_block_bounds_do_not_count():
    text = "\n".join(library(30))
    assert len(text.encode()) > 2 * BLOCK
    indented = "\n\n".join("    " + line for line in text.split("\n"))
    assert np.array_equal(shingles(text), shingles(indented))
    assert np.array_equal(token_hashes(text), token_hashes("\n" * 999 + text))
    long_line = "x = '" + "word " * BLOCK + "'"
    assert len(token_hashes(f"a\n{long_line}\nb")) == len(TOKEN.findall(long_line)) + 2
    assert len(token_hashes("y" * (3 * BLOCK))) == 1


def test_short_empty_and_identical_files(tmp_path):
    texts = ["", "", "  \n\t\n", "x", "x", "y", "a = 1", "a  =  1", "a = 2", "\ud800"]
    report = run(tmp_path, texts)
    # without a token nothing is alike; under five tokens only the same tokens are
    assert report.duplicate_of.tolist() == [-1, -1, -1, -1, 3, -1, -1, 6, -1, -1]
    assert report.similarity[[4, 7]].tolist() == [1.0, 1.0]
    assert not len(shingles(""))
    assert jaccard(shingles(""), shingles(" ")) == 0.0
    assert signature("").shape == (SIGNATURE_WIDTH,)
    with Signatures(tmp_path / "none") as none:
        empty = near_duplicates(none, np.empty(0, np.int64), lambda n: [])
    assert (empty.verified, empty.candidates, empty.clusters) == (0, 0, 0)


def test_signatures_are_the_same_in_every_process_and_batch():
    texts = library(12)
    rows = signatures_of(texts)
    assert np.array_equal(rows, np.stack([signature(text) for text in texts]))
    script = (
        "import sys, hashlib; from parrotlet_training.corpus.near import signatures_of\n"
        "print(hashlib.sha256(signatures_of(sys.stdin.read().split('\\0')).tobytes()).hexdigest())"
    )
    digests = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", script],
            input="\0".join(texts),
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout)
    assert len(digests) == 1


def test_estimates_are_unbiased():
    """The signature agrees with exact similarity within what 128 minima allow."""
    errors = []
    rng = random.Random(5)
    for text in library(40):
        other = rename(text, rng.random(), rng)
        agreement = (signature(text)[:-1] == signature(other)[:-1]).mean()
        errors.append(agreement - similarity(text, other))
    assert abs(np.mean(errors)) < 0.03
    assert np.std(errors) < 0.06


def clones(rng: random.Random) -> list[str]:
    texts = library(12)
    return texts + [rename(text, 0.03 * copy, rng) for text in texts for copy in range(1, 5)]


def test_the_outcome_depends_on_ranks_and_not_on_numbers(tmp_path):
    rng = random.Random(2)
    texts = clones(rng)
    ranks = np.array(rng.sample(range(len(texts)), len(texts)))
    first = run(tmp_path / "first", texts, ranks)
    assert first.verified > 24
    again = run(tmp_path / "again", texts, ranks)
    assert np.array_equal(first.duplicate_of, again.duplicate_of)
    order = np.array(rng.sample(range(len(texts)), len(texts)))
    moved = run(tmp_path / "moved", [texts[i] for i in order], ranks[order])
    back = {int(order[n]): int(order[k]) for n, k in enumerate(moved.duplicate_of) if k >= 0}
    assert back == {n: int(k) for n, k in enumerate(first.duplicate_of) if k >= 0}
    assert moved.candidates == first.candidates


def test_chunks_and_bucket_sizes_do_not_change_the_outcome(tmp_path, monkeypatch):
    """Components that span many chunks (kept shingles on disk), and buckets taken as large."""
    texts = clones(random.Random(3))
    plain = run(tmp_path / "plain", texts)
    asked: list[int] = []

    def read(numbers):
        assert (np.diff(numbers) > 0).all()
        asked.extend(numbers.tolist())
        return (texts[number] for number in numbers)

    monkeypatch.setattr(duplicates_module, "_CHUNK", 1)
    monkeypatch.setattr(duplicates_module, "_SMALL", 1)
    with Signatures(tmp_path / "cut") as found:
        found.append_array(signatures_of(texts))
        cut = near_duplicates(found, np.arange(len(texts)), read)
    assert np.array_equal(plain.duplicate_of, cut.duplicate_of)
    assert len(asked) == len(set(asked))


def test_protected_documents_win_and_stay(tmp_path):
    texts = library(30)
    copies = [comment(text, 0.02, random.Random(4)) for text in texts[:10]]
    twins = [texts[20], texts[20] + "\n# end\n"]
    everything = texts + copies + twins
    protected = np.zeros(len(everything), np.bool_)
    protected[30:] = True
    ranks = np.arange(len(everything))  # the protected would lose
    report = run(tmp_path, everything, ranks, protected=protected)
    assert report.duplicate_of[:10].tolist() == list(range(30, 40))
    assert not report.dropped[30:].any()
    assert report.duplicate_of[20] in (40, 41)


def test_a_large_cluster_costs_one_comparison_a_document(tmp_path):
    header = "\n".join(library(1)[0].split("\n")[:60])
    texts = [f"{header}\nnumber = {index}\n" for index in range(600)]
    report = run(tmp_path, texts)
    assert report.verified == 599
    assert report.candidates == 599
    assert set(report.duplicate_of.tolist()) == {-1, 0}


def test_many_that_are_alike_but_no_copies_are_bounded(tmp_path, monkeypatch):
    """Half of each text is a template: they share buckets, and none is a copy."""
    monkeypatch.setattr(election, "_CHECKS", 3)
    template = library(1)[0].split()[:300]
    texts = []
    for index in range(150):
        own = [f"own_{index}_{place}" for place in range(110)]
        texts.append(" ".join(template + own))
    assert 0.5 < similarity(texts[0], texts[1]) < 0.7
    report = run(tmp_path, texts)
    assert report.verified == 0
    assert 0 < report.candidates <= 3 * len(texts)


def test_memory_is_that_of_signatures_not_of_texts(tmp_path, monkeypatch):
    """Of twenty megabytes of text, memory holds a chunk."""
    monkeypatch.setattr(duplicates_module, "_CHUNK", 1 << 17)
    base = "\n".join(library(8))[:100_000]
    count = 200

    def text(number: int) -> str:
        return base.replace("self", f"name_{number // 2}") + f"\n# {number}\n"

    tracemalloc.start()
    with Signatures(tmp_path / "s", batch=64) as found:
        for number in range(count):
            found.add(text(number))
        report = near_duplicates(
            found, np.arange(count), lambda numbers: (text(number) for number in numbers)
        )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.verified >= count // 2
    assert (tmp_path / "s" / "signatures.u32").stat().st_size == count * SIGNATURE_WIDTH * 4
    assert peak < 6_000_000 < count * len(base) / 3


def test_signature_files_grow_and_survive_an_interruption(tmp_path):
    texts = library(6)
    rows = signatures_of(texts)
    with Signatures(tmp_path) as found:
        assert [found.add(text) for text in texts[:2]] == [0, 1]
        assert found.append_array(rows[2:4]) == range(2, 4)
        assert np.array_equal(found.rows(), rows[:4])
    with (tmp_path / "signatures.u32").open("ab") as file:
        file.write(b"half a row")
    with Signatures(tmp_path) as found:
        assert len(found) == 4
        found.append_array(rows[4:])
        assert np.array_equal(found.rows(), rows)
    with Signatures(tmp_path, keep=3) as found:
        assert found.append_array(rows[3:]) == range(3, 6)
        assert np.array_equal(found.rows(), rows)
        with pytest.raises(ValueError, match="uint32 of shape"):
            found.append_array(rows[:, :5])
        with pytest.raises(ValueError, match="as many ranks"):
            near_duplicates(found, np.arange(3), lambda n: [])
        with pytest.raises(ValueError, match="threshold"):
            near_duplicates(found, np.arange(6), lambda n: [], threshold=70)
    with pytest.raises(SignaturesError, match="6 signatures, not 7"):
        Signatures(tmp_path, keep=7)
    (tmp_path / "signatures.json").write_text('{"format": 0}')
    with pytest.raises(SignaturesError, match="remove it"):
        Signatures(tmp_path)


def test_bands_follow_the_curve():
    bands, rows = bands_and_rows(0.7)
    assert bands * rows <= 128
    low, at, high = candidate_probability(np.array([0.3, 0.7, 0.85]), bands, rows)
    assert low < 0.03
    assert at > 0.9
    assert high > 0.999
    # an even weight gives the usual choice for 128 minima
    assert bands_and_rows(0.7, 128, 0.5) == (14, 9)
    assert bands_and_rows(0.95)[1] > rows


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 60).flatmap(
        lambda n: st.tuples(
            st.just(n),
            st.lists(st.lists(st.tuples(*[st.integers(0, n - 1)] * 2), max_size=20), max_size=4),
        )
    )
)
def test_components_are_those_of_the_plain_search(case):
    count, batches = case
    components = Components(count)
    plain = list(range(count))
    for batch in batches:
        edges = np.array(batch, np.int64).reshape(-1, 2)
        components.join(edges[:, 0], edges[:, 1])
        for one, other in batch:
            low, high = sorted((plain[one], plain[other]))
            plain = [low if label == high else label for label in plain]
    assert components.labels.tolist() == plain


def test_a_long_chain_is_one_component():
    count = 20_000
    chain = np.arange(count - 1)
    components = Components(count)
    components.join(chain, chain + 1)
    assert not components.labels.any()


def test_the_best_copy_is_kept():
    paths = ("x.py", "y.py", "z.py", "w.py", "v.py")
    names = np.array([name_key("a/b", path) for path in paths], np.uint64)
    lengths = np.array([10, 10, 90, 10, 10])
    quality = np.array([1, 1, 1, 4, -1], np.int8)
    preferred = np.array([False, True, False, False, True])
    ranks = rank_documents(names, lengths, quality, preferred)
    assert ranks.tolist() == [3, 1, 2, 0, 4]
    tied = rank_documents(names, np.full(5, 7))
    assert np.array_equal(np.argsort(tied), np.argsort(names))
    assert name_key("a", "b/c") != name_key("a/b", "c")


def test_the_baseline_of_the_benchmark_drops_what_codeparrot_does(tmp_path):
    """Its filters, exact copies and near-copies by words, on texts made for each."""
    body = "\n".join(f"def f{i}(a):\n    b{i} = a + {i}\n    return b{i}" for i in range(40))
    texts = [
        body,
        body + "\n\n",  # an exact copy, white space at the ends aside
        body + "\nc = 1\n",  # a near-copy
        "# Auto-generated by a tool\n" + body.replace("b", "d"),
        body.replace("b", "e") + "\n# " + "x" * 1001,
        body.replace("b", "g").replace("=", "+"),  # no assignment
        body.replace("b", "#" * 300),
        "".join(f"def {word}(): x = {word}\n" for word in re.findall(r"\w+", library(1)[0])[:90]),
    ]
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text(codeparrot.train_bpe(library(3), 500), encoding="utf-8")
    with Crew(1) as crew:
        kept, stages = codeparrot.preprocess(texts, tokenizer, crew)
    assert kept == [0, 7]
    assert list(stages)[-1] == "near-copies"
    assert all(stage.wall >= 0 for stage in stages.values())
    assert codeparrot.extremes([body, body + "\nc", texts[7]]) == [0, 2]
    assert codeparrot.minhash("a few words only") is None


def test_the_benchmark_reads_folders_and_multiplies_them(tmp_path):
    with pytest.raises(BenchmarkError, match="neither a corpus nor Python"):
        list(documents(tmp_path))
    for name, text in zip("ab", library(2), strict=True):
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    found = list(repeated(tmp_path, 5))
    assert [name for name, _ in found] == ["a.py", "b.py", "1/a.py", "1/b.py", "2/a.py"]
    assert found[0][1] == library(1)[0]
    assert similarity(found[0][1], found[2][1]) < 0.3


@settings(max_examples=30, deadline=None)
@given(st.lists(small_texts() | st.just("word " * 40), max_size=8))
def test_shingles_of_texts_together_are_those_of_each(texts):
    """However they share blocks."""
    each = [shingles(text) for text in texts]
    for block in (16, 100, 1 << 16):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys.modules[shingles_of.__module__], "BLOCK", block)
            together = list(shingles_of(iter(texts)))
        assert len(together) == len(each)
        assert all(map(np.array_equal, together, each))


def test_both_sides_of_the_benchmark_take_the_same_texts(tmp_path):
    """Ours, in batches, keeps what a build with CodeParrot's filters keeps."""
    texts = library(40)
    found = [(f"{number}.py", text) for number, text in enumerate(texts)]
    found += [("copy.py", texts[0].replace("\n", "\n\n")), ("near.py", texts[1] + "\nx = 1\n")]
    filters = corpus_benchmark.codeparrots_filters()
    with Crew(2) as crew:
        kept, stages = corpus_benchmark.ours(found, DEFAULT_MODEL, crew, tmp_path)
    passed = [n for n, (name, text) in enumerate(found) if not first_reason(filters, text, name)]
    assert set(kept) <= set(passed)
    assert {0, 40} & set(passed) != {0, 40} or len({0, 40} & set(kept)) == 1
    assert {1, 41} & set(passed) != {1, 41} or len({1, 41} & set(kept)) == 1
    names = {"filters", "characters per token", "exact copies", "signatures", "near-copies"}
    assert set(stages) == names
    assert len(kept) >= len(passed) - 4


def test_a_whole_build_is_measured(tmp_path):
    for number, text in enumerate(library(6)):
        (tmp_path / f"{number}.py").write_text(text, encoding="utf-8")
    measured = pipeline.measure(tmp_path, 9, 1)
    assert measured.documents == 9
    assert measured.text > 9 * 1000
    assert measured.seconds > 0
    slowest = pipeline.stages(list(documents(tmp_path)))
    assert [cost.seconds for cost in slowest] == sorted((c.seconds for c in slowest), reverse=True)
    assert {cost.name for cost in slowest} > {"quality", "redaction"}
