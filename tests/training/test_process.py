"""The pass over single files: batches, workers, and sources that break off."""

from __future__ import annotations

import hashlib
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parrotlet_training.corpus import process as process_module
from parrotlet_training.corpus.build import build_corpus
from parrotlet_training.corpus.document import RawFile
from parrotlet_training.corpus.filters import default_filters
from parrotlet_training.corpus.near import signature
from parrotlet_training.corpus.process import Processing, digest_of, process, process_all
from parrotlet_training.corpus.recipe import CorpusRecipe
from parrotlet_training.corpus.sources import SourceError

LIBRARY = Path(sysconfig.get_path("stdlib"))
RECIPE = CorpusRecipe(validation_share=0.0, near_dedup=False, quality=False)


def library(count):
    files = sorted(LIBRARY.glob("[a-d]*.py"))[:count]
    return [RawFile(file.read_bytes(), file.name) for file in files]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_white_space_does_not_count(text):
    assert digest_of(text) == hashlib.sha256("".join(text.split()).encode()).digest()
    assert digest_of(f" {text}\n\t\f\x1c") == digest_of(text)


def test_files_together_have_the_outcomes_of_files_alone():
    files = [*library(12), RawFile(b"\0" * 99, "nul.py"), RawFile(b"x", "small.py")]
    files.insert(3, RawFile(b"", "far.py", "too large"))
    options = Processing(
        filters=default_filters(), licences=None, redact=True, quality=True, signature=True
    )
    for raw, outcome in zip(files, process_all(files, options), strict=True):
        alone = process(raw, options)
        assert outcome.reason == alone.reason
        assert (outcome.text, outcome.digest) == (alone.text, alone.digest)
        assert (outcome.quality, outcome.redacted) == (alone.quality, alone.redacted)
        if outcome.reason is None:
            assert np.array_equal(outcome.signature, signature(outcome.text))
        else:
            assert outcome.signature is None


@dataclass
class Many:
    """Files of several repositories, some of them not wanted; it may break off."""

    contents: list[tuple[str, str]]
    ends_with: BaseException | None = None
    kind: str = "bigquery"
    repository: str = "export"
    commit: str = ""
    licence: str = ""
    own: bool = False
    many: bool = True
    warnings: list[str] = field(default_factory=list)

    def files(self, max_bytes):
        yield RawFile(b"", "export-000.json.gz", "truncated shard")
        for number, (repository, text) in enumerate(self.contents):
            yield RawFile(text.encode(), f"{number}.py", None, repository, "MIT")
        if self.ends_with is not None:
            raise self.ends_with


def contents(count):
    """Of which every third repository is held out and every seventh file does not parse."""
    names = ("some/kit", "some/lib", "psf/black")
    return [
        (names[i % 3], f"def area_{i}(width):\n    return width * {i}{' +' * (i % 7 == 0)}\n" * 2)
        for i in range(count)
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_source_that_breaks_off_gives_all_that_came_before(tmp_path, workers):
    """Whatever the number of workers, and no path of this machine stands in the manifest."""
    error = SourceError(f"{tmp_path}/export/a.json.gz breaks off: see https://host/a/b")
    source = Many(contents(150), error)
    manifest = build_corpus([source], tmp_path / "out", RECIPE, progress=False, workers=workers)
    assert manifest.files_seen == 100
    assert manifest.left_out["held out for evaluation"] == 50
    assert manifest.left_out["truncated shard"] == 1
    assert manifest.left_out["not python 3"] == sum(i % 7 == 0 and i % 3 < 2 for i in range(150))
    assert manifest.skipped_sources == {"export": "a.json.gz breaks off: see https://host/a/b"}


@pytest.mark.parametrize("stop", [90, 128, 149])
def test_what_is_passed_over_is_counted_once(tmp_path, monkeypatch, stop):
    """Also where a build was interrupted between two files of a source."""
    monkeypatch.setattr("parrotlet_training.corpus.collect.COMMIT_FILES", 7)
    monkeypatch.setattr(process_module, "BATCH", 5)
    every = contents(150)
    whole = build_corpus([Many(every)], tmp_path / "whole", RECIPE, progress=False)
    with pytest.raises(KeyboardInterrupt):
        build_corpus(
            [Many(every[:stop], KeyboardInterrupt())], tmp_path / "out", RECIPE, progress=False
        )
    again = build_corpus([Many(every)], tmp_path / "out", RECIPE, progress=False)
    assert again.to_json() == whole.to_json()
