"""Data sets of the Hub, and folders in its layout: what training reads of them, what it refuses."""

from __future__ import annotations

import gzip
import inspect
import json
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from parrotlet_training.corpus.holdout import is_held_out
from parrotlet_training.data import DataError, HubOptions, TrainingData, text_rows
from parrotlet_training.data.hub import HubUnits
from parrotlet_training.data.pretokenize import pretokenize
from parrotlet_training.fim import FimOptions
from parrotlet_training.recipe import DataOptions, ModelOptions, Recipe, RunOptions

from ..support.data_hub import COMMIT, DataHub

PLAIN = FimOptions(rate=0.0, path_share=0.0, quality_share=0.0)
HELD = next(n for n in map("someone/p{}".format, range(1000)) if is_held_out(n))
FREE = next(n for n in map("someone/p{}".format, range(1000)) if not is_held_out(n))
SPLITS = HubOptions(text="code", train="train[:80%]", validation="train[80%:]")


def functions():
    """Real Python, in pieces."""
    return [f"def {part}" for part in inspect.getsource(json.decoder).split("\ndef ")] + [
        f"def {part}" for part in inspect.getsource(subprocess).split("\n    def ")
    ]


@pytest.fixture(autouse=True)
def small_units(monkeypatch):
    monkeypatch.setattr("parrotlet_training.data.hub.ROW_GROUP_BYTES", 4096)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))


@pytest.fixture
def rows():
    return [
        {"code": text, "path": f"m{i}.py", "quality": i % 7 - 1, "repo_name": FREE}
        for i, text in enumerate(functions())
    ]


def json_lines(folder, rows, name="train.jsonl"):
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    data = gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()
    (folder / name).write_bytes(data)
    return folder


def parquet_file(folder, rows, name="data/train-00000-of-00001.parquet", **options):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(rows), file, **options)
    return folder


def texts(units):
    return [text for unit in range(len(units)) for text in units.read(unit)]


def test_json_lines_and_parquet_give_the_same_units(tmp_path, rows):
    """One huge row group, as other makers write them, is no other than many lines."""
    rows = [*rows, *({**row, "code": row["code"] * 9} for row in rows[:3])]
    first = HubUnits(str(json_lines(tmp_path / "a", rows)), "train", SPLITS)
    second = HubUnits(str(parquet_file(tmp_path / "b", rows)), "train", SPLITS)
    packed = HubUnits(str(json_lines(tmp_path / "c", rows, "train.json.gz")), "train", SPLITS)
    count = round(len(rows) * 0.8)
    assert abs(len(texts(first)) - count) <= 1
    for number, text in enumerate(texts(first)):
        level = rows[number]["quality"]
        assert text == (
            rows[number]["code"],
            rows[number]["path"],
            level if 0 <= level <= 4 else None,
        )
    assert len(first) > 4
    assert len(first) == len(second) == len(packed)
    for unit in range(len(first)):
        assert first.read(unit) == second.read(unit) == packed.read(unit)
        sizes = [len(text.content.encode()) for text in first.read(unit)]
        assert sum(sizes[:-1]) < 4096 + 4096
    assert first.fingerprint == second.fingerprint == packed.fingerprint
    rest = HubUnits(str(tmp_path / "a"), "validation", SPLITS)
    assert [t.content for t in texts(first) + texts(rest)] == [row["code"] for row in rows]
    assert rest.fingerprint != first.fingerprint


def test_a_part_of_the_files_can_be_taken(tmp_path, rows):
    folder = parquet_file(tmp_path / "a", rows)
    parquet_file(folder, rows[:5], "more/train-00000-of-00001.parquet")
    options = HubOptions(text="code", files="data/*.parquet")
    assert len(texts(HubUnits(str(folder), "train", options))) == len(rows)


def test_rows_without_text_are_left_out_and_told(tmp_path, rows):
    holes = [{"code": None, "path": "x.py"}, {"path": "y.py"}, {"code": "", "path": "z.py"}]
    mixed = [row for pair in zip(rows, holes * 100, strict=False) for row in pair]
    units = HubUnits(str(json_lines(tmp_path / "a", mixed)), "train", HubOptions(text="code"))
    assert [t.content for t in texts(units)] == [row["code"] for row in rows]
    assert any(f"{len(rows)} of {2 * len(rows)} rows" in line for line in units.warnings)
    assert units.facts["documents"] == {"train": len(rows)}


def test_a_change_of_the_text_changes_the_fingerprint(tmp_path, rows):
    options = HubOptions(text="code")
    before = HubUnits(str(json_lines(tmp_path / "a", rows)), "train", options).fingerprint
    rows[-1] = {**rows[-1], "code": rows[-1]["code"] + "#"}
    after = HubUnits(str(json_lines(tmp_path / "b", rows)), "train", options).fingerprint
    other = HubUnits(str(tmp_path / "a"), "train", HubOptions(text="path")).fingerprint
    assert len({before, after, other}) == 3


def test_held_out_repositories_stay_out_of_training_alone(tmp_path, rows):
    rows = [{**row, "repo_name": HELD if i % 3 else FREE} for i, row in enumerate(rows)]
    folder = str(json_lines(tmp_path / "a", rows))
    free = [row["code"] for row in rows if row["repo_name"] == FREE]
    units = HubUnits(folder, "train", HubOptions(text="code"))
    assert [t.content for t in texts(units)] == free
    named = [{"code": r["code"], "home": r["repo_name"]} for r in rows]
    other = str(json_lines(tmp_path / "b", named))
    units = HubUnits(other, "train", HubOptions(text="code", repository="home"))
    assert [t.content for t in texts(units)] == free
    unknown = HubUnits(other, "train", HubOptions(text="code"))
    assert any("held-out" in line for line in unknown.warnings)
    validation = HubUnits(folder, "validation", HubOptions(text="code", validation="train[:100%]"))
    assert len(texts(validation)) == len(rows)


def test_training_from_a_folder_resumes_and_caches_as_from_a_corpus(
    tmp_path, rows, tokenizer_folder, tokenizer
):
    folder = str(json_lines(tmp_path / "a", rows))
    options = DataOptions(folder, str(tokenizer_folder), streams=2, window=2, hub=SPLITS)
    data = TrainingData.open(options, tokenizer, 64, 3)
    with data.loader() as loader:
        head = [loader.next_rows(1) for _ in range(5)]
        state = loader.state()
        tail = [loader.next_rows(1) for _ in range(5)]
    with TrainingData.open(options, tokenizer, 64, 3).loader() as again:
        again.restore(state)
        np.testing.assert_array_equal([again.next_rows(1) for _ in range(5)], tail)
    recipe = Recipe("hub", options, ModelOptions(1, 32, 2, 64), run=RunOptions(seed=3))
    cache = pretokenize(recipe, tmp_path / "cache", part_units=3).cache
    cached = TrainingData.open(
        DataOptions(str(cache.folder), str(tokenizer_folder), streams=2, window=2), tokenizer, 64, 3
    )
    with cached.loader() as loader:
        np.testing.assert_array_equal([loader.next_rows(1) for _ in range(10)], head + tail)
    expected = list(text_rows(folder, "validation", tokenizer, 64, 2000, SPLITS))
    assert len(expected) > 3
    np.testing.assert_array_equal(list(data.validation_rows(2000)), expected)
    np.testing.assert_array_equal(list(cached.validation_rows(2000)), expected)
    assert cached.facts["dataset"] == "a"


def test_what_cannot_be_read_is_told_in_one_line(tmp_path, rows):
    def refused(match, folder, split="train", **options):
        with pytest.raises(DataError, match=match) as caught:
            HubUnits(str(folder), split, HubOptions(**{"text": "code", **options}))
        assert "\n" not in str(caught.value)

    lines = json_lines(tmp_path / "a", rows)
    refused(r"no column content; it has code, path.*data\.hub\.text", lines, text="content")
    refused(r"no column level.*data\.hub\.quality", lines, quality="level")
    refused(r"no validation split.*data\.hub\.validation", lines, "validation")
    refused("holds int64, not text", lines, text="quality")
    refused("holds no text in code", json_lines(tmp_path / "n", [{"code": "", "b": "x"}] * 3))
    (tmp_path / "empty").mkdir()
    refused("holds no shards", tmp_path / "empty")
    short = parquet_file(tmp_path / "b", rows)
    parquet_file(short, rows, "data/train-00001-of-00002.parquet")
    file = short / "data" / "train-00001-of-00002.parquet"
    file.write_bytes(file.read_bytes()[:-30])
    refused("cannot be read: .*train-00001-of-00002.parquet", short)
    bad = json_lines(tmp_path / "c", rows)
    (bad / "train.jsonl").write_bytes((bad / "train.jsonl").read_bytes() + b'{"code": "x\n')
    refused(r"cannot be read: .*train\.jsonl", bad)
    refused("of the form hub:OWNER/NAME@REVISION", "hub:someone/code")


def test_too_few_units_are_told(tmp_path, rows, tokenizer_folder, tokenizer):
    folder = str(json_lines(tmp_path / "a", rows))
    options = DataOptions(folder, str(tokenizer_folder), streams=5000, hub=SPLITS)
    with pytest.raises(DataError, match=r"set data\.streams to at most"):
        TrainingData.open(options, tokenizer, 64, 3).loader()


PROGRAM = """
import sys
from parrotlet_training.data import DataError, HubOptions
from parrotlet_training.data.hub import HubUnits
try:
    units = HubUnits(sys.argv[1], "train", HubOptions(text="code"))
    print(units.fingerprint, len(units), sum(len(units.read(i)) for i in range(len(units))))
except DataError as error:
    sys.exit(f"parrotlet: {error}")
"""


def test_a_data_set_comes_from_the_hub_once_and_then_from_the_disk(tmp_path, rows):
    folder = parquet_file(tmp_path / "served", rows)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1",
    }

    def read(name, hub, **changes):
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, name],
            env=environment | {"HF_ENDPOINT": hub.address} | changes,
            capture_output=True,
            text=True,
            timeout=300,
        )

    with DataHub("someone/code", folder) as hub:
        found = read(f"hub:someone/code@{COMMIT}", hub)
        assert found.returncode == 0, found.stderr
        assert int(found.stdout.split()[-1]) == len(rows)
        assert any(path.startswith("GET") and path.endswith(".parquet") for path in hub.paths)
        absent = read("hub:someone/else@main", hub)
        assert absent.returncode == 1
        assert absent.stderr.splitlines()[-1].startswith("parrotlet: cannot open hub:someone/else")
    offline = read(f"hub:someone/code@{COMMIT}", hub, HF_HUB_OFFLINE="1")
    assert offline.stdout == found.stdout, offline.stderr
