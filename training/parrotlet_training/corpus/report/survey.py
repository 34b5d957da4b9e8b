"""One pass over the shards: cheap counts of every document, a close look at a sample."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from ..shards import shard_files
from .features import inspect_text
from .fields import fields_of, is_test
from .language import language_of
from .manifest import CorpusError, CorpusManifest

DEFAULT_SAMPLE = 2_000
"""Documents looked at closely: a share is then right to 2.2 points, 19 times out of 20."""

SIZE_STEPS = 4
"""Bins of the size histogram per doubling."""


@dataclass(frozen=True)
class Excerpt:
    """A document picked to be shown."""

    repository: str
    path: str
    licence: str
    text: str


@dataclass
class Survey:
    """What a corpus holds.

    Attributes:
        documents: by split.
        bytes: of text, by split.
        sizes: documents by ``floor(SIZE_STEPS * log2(bytes))``.
        repositories: bytes by repository.
        licences: bytes by SPDX expression, "" for unknown.
        licence_documents: documents by SPDX expression.
        kinds: documents by kind of source.
        quality: documents by level, "unknown" where none is given; empty for an older corpus.
        tests: documents whose path says that they are tests.
        test_bytes: their bytes.
        sampled: documents looked at closely; all that follows is about these.
        parsed: those that this Python reads.
        python2: those that it does not, for they are Python 2.
        imports: documents by top-level module that they import.
        fields: documents by field.
        no_field: documents in none.
        syntax: documents by construct in use.
        languages: documents by language of comments and docstrings.
        line_lengths: lines by length in characters, blank ones left out.
        excerpts: picked to be shown.
    """

    documents: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    sizes: Counter[int] = field(default_factory=Counter)
    repositories: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    licence_documents: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    quality: Counter[str] = field(default_factory=Counter)
    tests: int = 0
    test_bytes: int = 0
    sampled: int = 0
    parsed: int = 0
    python2: int = 0
    imports: Counter[str] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)
    no_field: int = 0
    syntax: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    line_lengths: Counter[int] = field(default_factory=Counter)
    excerpts: list[Excerpt] = field(default_factory=list)

    @property
    def total_documents(self) -> int:
        """In all splits."""
        return sum(self.documents.values())

    @property
    def total_bytes(self) -> int:
        """Of text, in all splits."""
        return sum(self.bytes.values())

    def size_quantile(self, share: float) -> int:
        """Bytes under which `share` of the documents stay, right to a bin of the histogram."""
        wanted = share * sum(self.sizes.values())
        seen = 0
        for step in sorted(self.sizes):
            seen += self.sizes[step]
            if seen >= wanted:
                return round(2 ** ((step + 0.5) / SIZE_STEPS))
        return 0


def survey_corpus(
    corpus: Path,
    manifest: CorpusManifest,
    sample: int = DEFAULT_SAMPLE,
    seed: int = 0,
    excerpts: int = 6,
    progress: bool = False,
) -> Survey:
    """Reads the corpus once, a row group at a time; the same seed gives the same survey.

    Memory holds one row group, the counts (which grow with the number of repositories) and the
    places of the sample.

    Args:
        corpus: its folder.
        manifest: its manifest, which names the splits.
        sample: documents to look at closely, over all splits; all if there are fewer.
        seed: of the sample.
        excerpts: documents of the sample to show.
        progress: whether to show a bar on standard error.

    Raises:
        CorpusError: if a shard is missing or cannot be read.
    """
    from tqdm import tqdm

    files = _files(corpus, manifest)
    try:
        total = sum(parquet.ParquetFile(file).metadata.num_rows for _, file in files)
        chosen = _choose(total, sample, seed)
        shown = frozenset(
            random.Random(f"excerpts {seed}").sample(chosen, min(excerpts, len(chosen)))
        )
        survey = Survey()
        rest = iter(chosen)
        wanted = next(rest, -1)
        number = 0
        with tqdm(
            total=total, unit=" documents", desc="report", disable=None if progress else True
        ) as bar:
            for split, file in files:
                for rows in _row_groups(file):
                    _count(survey, split, rows)
                    while number <= wanted < number + rows.num_rows:
                        row = rows.slice(wanted - number, 1).to_pylist()[0]
                        _look(survey, row)
                        if wanted in shown:
                            survey.excerpts.append(
                                Excerpt(
                                    row["repository"], row["path"], row["licence"], row["content"]
                                )
                            )
                        wanted = next(rest, -1)
                    number += rows.num_rows
                    bar.update(rows.num_rows)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise CorpusError(f"a shard of {corpus} cannot be read: {error}") from error
    return survey


def _files(corpus: Path, manifest: CorpusManifest) -> list[tuple[str, Path]]:
    for shard in manifest.shards:
        if not (corpus / str(shard["file"])).is_file():
            raise CorpusError(f"{corpus} lacks its shard {shard['file']}: build or fetch it again")
    return [(split, file) for split in manifest.documents for file in shard_files(corpus, split)]


def _choose(total: int, sample: int, seed: int) -> list[int]:
    """Numbers of rows, ascending, each as likely as any other."""
    return sorted(random.Random(f"sample {seed}").sample(range(total), min(sample, total)))


def _row_groups(file: Path) -> Iterator[pa.Table]:
    reader = parquet.ParquetFile(file)
    for group in range(reader.num_row_groups):
        yield reader.read_row_group(group)


def _count(survey: Survey, split: str, rows: pa.Table) -> None:
    """Counts of every document; text is measured where it lies, not made into strings."""
    lengths: NDArray[np.int64] = (
        compute.binary_length(rows["content"]).to_numpy().astype(np.int64, copy=False)
    )
    survey.documents[split] += rows.num_rows
    survey.bytes[split] += int(lengths.sum())
    steps = np.floor(SIZE_STEPS * np.log2(np.maximum(lengths, 1))).astype(int)
    for step, count in zip(*np.unique(steps, return_counts=True), strict=True):
        survey.sizes[int(step)] += int(count)
    names = rows.column_names
    columns = (
        rows["repository"].to_pylist(),
        rows["licence"].to_pylist(),
        rows["path"].to_pylist(),
    )
    for size, repository, licence, path in zip(lengths.tolist(), *columns, strict=True):
        survey.repositories[repository or ""] += size
        survey.licences[licence or ""] += size
        survey.licence_documents[licence or ""] += 1
        if is_test(path or ""):
            survey.tests += 1
            survey.test_bytes += size
    survey.kinds.update(kind or "" for kind in rows["source"].to_pylist())
    if "quality" in names:
        levels = rows["quality"].to_pylist()
        survey.quality.update("unknown" if level in (None, "") else str(level) for level in levels)


def _look(survey: Survey, row: dict[str, Any]) -> None:
    """What takes time: parsing a text and reading its prose."""
    features = inspect_text(row["content"])
    survey.sampled += 1
    survey.parsed += features.parses
    survey.python2 += features.python2
    survey.imports.update(features.imports)
    survey.syntax.update(features.syntax)
    fields = fields_of(row["repository"], row["path"], features.imports)
    survey.fields.update(fields)
    survey.no_field += not fields
    if features.parses:
        survey.languages[language_of(features.prose)] += 1
    survey.line_lengths.update(features.line_lengths)


def margin(share: float, sampled: int) -> float:
    """Half of the 95 % interval around a `share` found in `sampled` documents."""
    return 1.96 * math.sqrt(max(share * (1 - share), 0.0) / max(sampled, 1))
