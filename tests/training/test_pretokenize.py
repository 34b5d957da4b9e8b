"""The cache: the very rows that streaming gives, whole or absent, damage and staleness told."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from parrotlet_server.cli import main
from parrotlet_training.data import DataError, TrainingData, text_rows
from parrotlet_training.data.cache import MANIFEST, Origin, write_manifest, write_part
from parrotlet_training.data.cached import Cache
from parrotlet_training.data.pretokenize import pretokenize, work_folder
from parrotlet_training.fim import FimOptions
from parrotlet_training.recipe import DataOptions, ModelOptions, Recipe, RunOptions

DRAWS = 2


@pytest.fixture(scope="module")
def recipe(corpus, tokenizer_folder):
    data = DataOptions(str(corpus), str(tokenizer_folder), streams=2, window=3)
    return Recipe("tiny", data, ModelOptions(1, 32, 2, 64), run=RunOptions(seed=7))


@pytest.fixture(scope="module")
def cache(recipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("pretokenised") / "cache"
    done = pretokenize(recipe, out, DRAWS, workers=2, part_units=3)
    assert done.made >= 3
    return out


def opened(recipe, tokenizer, **changes):
    data = replace(recipe.data, **changes)
    return TrainingData.open(data, tokenizer, recipe.model.context, recipe.run.seed)


def rows_before(loader, epoch):
    """Rows of a loader until one of its streams enters `epoch`, and the state after them."""
    rows = []
    while True:
        state = loader.state()
        more = loader.next_rows(1)
        if max(state["epoch"] for state in loader.state()) >= epoch:
            return np.concatenate(rows), state
        rows.append(more)


def copied(cache, folder):
    folder.mkdir()
    for file in cache.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.mark.parametrize(("streams", "window"), [(2, 3), (1, 5), (4, 1)])
def test_the_first_epochs_are_those_of_streaming(recipe, tokenizer, cache, streams, window):
    """Whatever the number of streams and the window, which the cache does not know."""
    changes = {"streams": streams, "window": window}
    with (
        opened(recipe, tokenizer, **changes).loader() as streamed,
        opened(recipe, tokenizer, cache=str(cache), **changes).loader() as cached,
    ):
        expected, state = rows_before(streamed, DRAWS)
        assert len(expected) > 500
        rows, cached_state = rows_before(cached, DRAWS)
        np.testing.assert_array_equal(rows, expected)
        assert cached_state == state


def test_later_epochs_read_the_draws_in_turn(cache):
    sequences = Cache(cache).train

    def drawn(epoch):
        window = sequences.window(range(len(sequences)), epoch)
        return [ids.tolist() for ids in window.ids(range(len(window)))]

    assert drawn(0) != drawn(1)
    assert drawn(2) == drawn(0)
    assert drawn(3) == drawn(1)


def test_a_cache_alone_is_enough(recipe, tokenizer, cache, corpus):
    """As on a machine that has no corpus; validation rows and facts come with it."""
    text = opened(recipe, tokenizer)
    alone = opened(recipe, tokenizer, corpus=str(cache))
    expected = list(text.validation_rows(3000))
    np.testing.assert_array_equal(list(alone.validation_rows(3000)), expected)
    assert alone.facts == text.facts
    assert alone.rated
    assert alone.fingerprint == opened(recipe, tokenizer, cache=str(cache)).fingerprint
    with alone.loader() as loader:
        assert loader.next_rows(2).shape == (4, 65)


def test_tokens_take_two_bytes_where_the_vocabulary_fits(cache):
    manifest = json.loads((cache / MANIFEST).read_text())
    assert manifest["origin"]["vocabulary"] < 1 << 16
    total = sum(part["tokens"] for part in manifest["parts"]["train"])
    files = cache.glob("train-*.tokens.npy")
    assert 2 * total < sum(file.stat().st_size for file in files) < 2 * total + 5000


@pytest.mark.parametrize("stop", [0, 1, 5])
def test_a_resume_from_the_cache_is_exact_on_any_number_of_ranks(recipe, tokenizer, cache, stop):
    data = opened(recipe, tokenizer, corpus=str(cache))
    with data.loader() as reference:
        for _ in range(stop):
            reference.next_rows(1)
        state = json.loads(json.dumps(reference.state()))
        expected = [reference.next_rows(1) for _ in range(4)]
    ranks = [data.loader(rank, 2) for rank in range(2)]
    for rank in ranks:
        rank.restore(state)
    for rows in expected:
        np.testing.assert_array_equal(np.concatenate([r.next_rows(1) for r in ranks]), rows)
    for rank in ranks:
        rank.close()


def test_made_again_it_is_verified_and_left(recipe, cache):
    before = {file: file.stat().st_mtime_ns for file in cache.iterdir()}
    assert pretokenize(recipe, cache, DRAWS).made == 0
    assert {file: file.stat().st_mtime_ns for file in cache.iterdir()} == before
    assert not any("part.json" in file.name or "plan" in file.name for file in before)
    with pytest.raises(DataError, match="holds a cache of another"):
        pretokenize(recipe, cache, DRAWS + 1)


def test_any_number_of_processes_makes_the_same_files(recipe, cache, tmp_path):
    pretokenize(recipe, tmp_path / "one", DRAWS, workers=1, part_units=3)
    for file in cache.iterdir():
        assert (tmp_path / "one" / file.name).read_bytes() == file.read_bytes()


def test_killed_it_goes_on_where_it_was(recipe, cache, tmp_path):
    """A whole process group dies in the middle; the next run writes what is missing alone."""
    out = tmp_path / "cache"
    program = (
        "import pickle, sys; from pathlib import Path\n"
        "from parrotlet_training.data.pretokenize import pretokenize\n"
        "if __name__ == '__main__':\n"
        "    recipe = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
        f"    pretokenize(recipe, Path(sys.argv[2]), {DRAWS}, 1, 1)\n"
    )
    words = [sys.executable, "-c", program, pickle.dumps(recipe).hex(), str(out)]
    process = subprocess.Popen(words, start_new_session=True, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list(work_folder(out).glob("*.part.json"))) < 2:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    finished = len(list(work_folder(out).glob("*.part.json")))
    (work_folder(out) / "train-00000.tokens.npy").write_bytes(b"cut short")
    done = pretokenize(recipe, out, DRAWS, 1, 1)
    units = len(done.cache.train) + len(done.cache.validation)
    assert done.made == units - finished + 1
    done.cache.verify()
    assert not work_folder(out).exists()


@pytest.mark.parametrize(
    ("name", "when"),
    [
        ("train-00000.tokens.npy", "read"),
        ("train-00001.lengths.npy", "read"),
        ("train-00000.units.npy", "opened"),
        ("cache.json", "opened"),
    ],
)
def test_a_flipped_byte_is_refused(recipe, tokenizer, cache, tmp_path, name, when):
    folder = copied(cache, tmp_path / "cache")
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 0x80  # in JSON, no UTF-8 any more
    (folder / name).write_bytes(content)
    if when == "opened":
        with pytest.raises(DataError, match=f"is damaged .{name}"):
            opened(recipe, tokenizer, corpus=str(folder))
        return
    with pytest.raises(DataError, match=f"is damaged .{name}"):
        Cache(folder).verify()
    with (
        opened(recipe, tokenizer, corpus=str(folder)).loader() as loader,
        pytest.raises(DataError, match="is damaged") as caught,
    ):
        rows_before(loader, DRAWS + 1)
    assert "\n" not in str(caught.value)


def test_a_missing_or_short_file_is_refused(recipe, tokenizer, cache, tmp_path):
    folder = copied(cache, tmp_path / "cache")
    file = folder / "train-00001.tokens.npy"
    file.write_bytes(file.read_bytes()[:-2])
    with pytest.raises(DataError, match=r"is damaged .train-00001\.tokens\.npy"):
        opened(recipe, tokenizer, cache=str(folder))
    file.unlink()
    with pytest.raises(DataError, match=r"is damaged .train-00001\.tokens\.npy"):
        opened(recipe, tokenizer, cache=str(folder))


def test_a_stale_cache_is_refused(recipe, tokenizer, cache, corpus, tmp_path):
    def refused(match, options=recipe.data, context=64, words=tokenizer):
        with pytest.raises(DataError, match=match) as caught:
            TrainingData.open(replace(options, cache=str(cache)), words, context, 7)
        assert "\n" not in str(caught.value)

    refused("context 64, not 32", context=32)
    refused("fill-in-the-middle", replace(recipe.data, fim=FimOptions(rate=0.1)))
    from parrotlet_tokenizer.train import train_tokenizer

    refused("another tokenizer", words=train_tokenizer(["def f(x):\n    return x\n"] * 50, 290))
    other = tmp_path / "corpus"
    (other / "data").mkdir(parents=True)
    for file in (corpus / "data").iterdir():
        (other / "data" / file.name).symlink_to(file)
    manifest = json.loads((corpus / "corpus.json").read_text())
    (other / "corpus.json").write_text(json.dumps(manifest | {"tool": "another build"}))
    refused("another corpus", replace(recipe.data, corpus=str(other)))
    newer = copied(cache, tmp_path / "newer")
    content = json.loads((newer / MANIFEST).read_text())
    (newer / MANIFEST).write_text(json.dumps(content | {"format": 99}))
    with pytest.raises(DataError, match="of format 99"):
        Cache(newer)


def test_a_changed_manifest_is_refused(cache, tmp_path):
    folder = copied(cache, tmp_path / "cache")
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace('"draws": 2', '"draws": 3'))
    with pytest.raises(DataError, match=r"is damaged .cache\.json"):
        Cache(folder)


def test_parts_without_text_are_no_trouble(tmp_path):
    """Of held-out repositories alone, for instance."""
    origin = Origin("", "", "", 600, 64, 1, 1, FimOptions())
    ids = np.array([5, 6, 7], np.int32)
    parts = [
        write_part(tmp_path, "train-00000", origin.token, [[[], []]]),
        write_part(tmp_path, "train-00001", origin.token, [[[], [ids]]]),
    ]
    nothing = write_part(tmp_path, "validation-00000", origin.token, [[[]]], [])
    write_manifest(tmp_path, origin, {}, False, {"train": parts, "validation": [nothing]})
    cache = Cache(tmp_path)
    window = cache.train.window([0, 3, 1, 2], 5)
    assert [ids.tolist() for ids in window.ids(range(len(window)))] == [[5, 6, 7]]
    assert cache.validation.sizes(0) == []
    assert cache.validation.ids(0, 9) == []


def test_the_command(recipe_file, tmp_path, capsys):
    out = tmp_path / "cache"
    words = [str(recipe_file), "--out", str(out), "--draws", "2", "--workers", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "parrotlet_server", "pretokenize", *words],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert "2 drawn" in done.stdout
    assert main(["pretokenize", *words]) == 0
    assert "nothing to do" in capsys.readouterr().out
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    for changes, message in (
        (["--out", str(tmp_path / "full")], "holds something else"),
        (["--set", f"data.corpus={out}", "--out", str(tmp_path / "x")], "pretokenised already"),
        (["--set", "data.corpus=nowhere"], "there is no corpus nowhere"),
    ):
        assert main(["pretokenize", *words, *changes]) == 1
        error = capsys.readouterr().err
        assert error.startswith("parrotlet: ")
        assert message in error
        assert error.count("\n") == 1


def test_the_corpus_of_a_cache_has_to_be_there_or_be_the_cache(recipe, tokenizer, cache):
    with pytest.raises(
        DataError, match=r"there is no corpus nowhere: .*; to train .* set data\.corpus to"
    ):
        opened(recipe, tokenizer, corpus="nowhere", cache=str(cache))
    with pytest.raises(DataError, match="name the corpus itself"):
        list(text_rows(cache, "validation", tokenizer, 64, 1000))
