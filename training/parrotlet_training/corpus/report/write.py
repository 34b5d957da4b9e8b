"""`parrotlet corpus report`: from a corpus to its page."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from .manifest import CorpusError, read_manifest

REPORT_FILE = "report.html"
NEEDED = ("matplotlib", "py3langid", "pygments")
"""What the report needs beyond the rest of the corpus tools."""


@dataclass(frozen=True)
class Report:
    """A page that was written.

    Attributes:
        file: where it lies.
        sampled: documents that were looked at closely.
        findings: bias and gaps, ``title: text``.
    """

    file: Path
    sampled: int
    findings: list[str]


def write_report(
    corpus: Path,
    out: Path | None = None,
    sample: int | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Report:
    """Writes the page about a corpus; the same corpus, sample and seed give the same bytes.

    Args:
        corpus: its folder.
        out: the file to write, replaced if it is there; ``report.html`` in the corpus if None.
        sample: documents to look at closely; `survey.DEFAULT_SAMPLE` if None.
        seed: of the sample and of the excerpts.
        progress: whether to show a bar on standard error.

    Raises:
        CorpusError: if the corpus cannot be read, or `sample` is not positive.
        OSError: if the page cannot be written.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise CorpusError(
            f"the report needs {', '.join(missing)}: "
            'install them with pip install "parrotlet[train]"'
        )
    if sample is not None and sample < 1:
        raise CorpusError(f"a sample of {sample} documents says nothing: give 1 or more")
    from .findings import find
    from .page import render
    from .survey import DEFAULT_SAMPLE, survey_corpus

    manifest = read_manifest(corpus)
    file = out or corpus / REPORT_FILE
    if file.is_dir():
        raise CorpusError(f"{file} is a folder: name a file to write the report to")
    survey = survey_corpus(corpus, manifest, sample or DEFAULT_SAMPLE, seed, progress=progress)
    page = render(corpus.resolve().name, manifest, survey, seed)
    write_whole(file, page.encode("utf-8", "backslashreplace"))
    found = [f"{finding.title}: {finding.text}" for finding in find(manifest, survey)]
    return Report(file, survey.sampled, found)


def write_whole(file: Path, content: bytes) -> None:
    """Writes `file` aside and renames it, so that it is whole or as it was."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        aside.write_bytes(content)
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)
