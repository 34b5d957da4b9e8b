"""The card of a corpus: ``README.md`` as the Hugging Face Hub reads and shows it."""

from __future__ import annotations

import re
from pathlib import Path

from .report.findings import find, method, percent
from .report.funnel import OTHER, funnel
from .report.manifest import CorpusManifest, option_words, read_manifest
from .report.survey import Survey, survey_corpus
from .report.write import write_whole

CARD_FILE = "README.md"
CARD_SAMPLE = 500
"""Documents looked at closely for a card; a report looks at more."""

MAX_SOURCES = 200
"""Rows of the table of sources; the manifest holds them all."""

_SPLITS = ("train", "validation")
_HUB_LICENCES = frozenset(
    {"apache-2.0", "bsd-2-clause", "bsd-3-clause", "bsl-1.0", "cc0-1.0", "isc", "mit"}
    | {"unlicense", "zlib"}
)
"""SPDX identifiers, in lower case, that the Hub knows too."""


def write_card(corpus: Path, sample: int = CARD_SAMPLE, seed: int = 0) -> Path:
    """Writes the card into the corpus, replacing an older one; the same corpus, the same bytes.

    Args:
        corpus: its folder.
        sample: documents to look at closely, for what is said about bias.
        seed: of the sample.

    Raises:
        CorpusError: if the corpus cannot be read.
        OSError: if the card cannot be written.
    """
    manifest = read_manifest(corpus)
    survey = survey_corpus(corpus, manifest, sample, seed, excerpts=0)
    file = corpus / CARD_FILE
    write_whole(file, card(corpus.resolve().name, manifest, survey).encode("utf-8"))
    return file


def card(name: str, manifest: CorpusManifest, survey: Survey) -> str:
    """The text of the card.

    Args:
        name: of the corpus, in the title.
        manifest: what its build says of it.
        survey: what looking at it says.
    """
    parts = [
        f"---\n{_front_matter(name, manifest, survey)}---\n",
        f"# {name}: Python for code completion\n",
        _introduction(manifest, survey),
        "## How it was made\n",
        _recipe(manifest),
        "## Fields of a document\n",
        _FIELDS,
        "## Sources and licences\n",
        _sources(manifest, survey),
        "## Bias and gaps\n",
        "\n".join(f"- **{finding.title}.** {finding.text}" for finding in find(manifest, survey))
        + f"\n\n{method(survey)}\n",
        "## Personal data and opting out\n",
        _personal(manifest),
        "## Intended use\n",
        _USE,
        "## How to cite\n",
        _cite(name, manifest),
    ]
    return "\n".join(parts)


def _front_matter(name: str, manifest: CorpusManifest, survey: Survey) -> str:
    from huggingface_hub import DatasetCardData

    splits = [split for split in (*_SPLITS, "holdout") if manifest.documents.get(split)]
    data = DatasetCardData(
        language=["code"],
        license=_hub_licences(survey),
        pretty_name=name,
        size_categories=[size_category(survey.total_documents)],
        task_categories=["text-generation"],
        tags=["code", "python", "parrotlet"],
        configs=[
            {
                "config_name": "default",
                "data_files": [
                    {"split": split, "path": f"data/{split}-*.parquet"} for split in splits
                ],
            }
        ],
    )
    return f"{data.to_yaml()}\n"


def size_category(documents: int) -> str:
    """The Hub's name for a number of rows."""
    limits = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")
    lower = ""
    for place, limit in enumerate(limits):
        if documents < 1000 * 10**place:
            return f"{lower}<n<{limit}" if lower else f"n<{limit}"
        lower = limit
    return f"n>{lower}"


def _hub_licences(survey: Survey) -> list[str]:
    found = set()
    for expression in survey.licence_documents:
        for name in re.findall(r"[\w.+-]+", expression) or ["other"]:
            if name not in ("AND", "OR", "WITH"):
                found.add(name.lower() if name.lower() in _HUB_LICENCES else "other")
    return sorted(found)


def _introduction(manifest: CorpusManifest, survey: Survey) -> str:
    rows = "\n".join(
        f"| {split} | {documents:,} | {survey.bytes[split] / 1e6:,.1f} |"
        for split, documents in survey.documents.items()
    )
    return (
        f"{survey.total_documents:,} Python files ({survey.total_bytes / 1e6:,.1f} MB of text) "
        f"from {len(survey.repositories):,} repositories, to train a language model that completes "
        f"code. Built by {manifest.tool}.\n\n"
        f"| split | documents | text (MB) |\n|---|---:|---:|\n{rows}\n"
    )


def _recipe(manifest: CorpusManifest) -> str:
    seen = max(manifest.files_seen, 1)
    steps = [
        f"| {step.reason} | {step.dropped:,} | {percent(step.dropped / seen)} |"
        for step in funnel(manifest)
        if step.reason != OTHER
    ]
    lines = [
        f"Files are read from their sources as they stand at one commit or version, decoded as "
        f"their coding line says, and filtered. Of {manifest.files_seen:,} files seen, "
        f"{manifest.kept:,} ({percent(manifest.kept / seen)}) were kept:\n",
        "| left out because | files | share |\n|---|---:|---:|\n" + "\n".join(steps) + "\n",
    ]
    near = manifest.near_duplicates
    if near:
        counts = ", ".join(f"{near[key]:,} {key}" for key in sorted(near))
        lines.append(f"Near-duplicates, by MinHash and then by comparing texts: {counts}.\n")
    if manifest.decontaminated:
        counts = ", ".join(f"{key} {n:,}" for key, n in sorted(manifest.decontaminated.items()))
        lines.append(f"Files that hold a task of an evaluation set were dropped: {counts}.\n")
    if manifest.quality:
        counts = ", ".join(f"{key}: {n:,}" for key, n in sorted(manifest.quality.items()))
        lines.append(f"Quality levels (4 is the highest): {counts}.\n")
    options = option_words(manifest.options)
    lines.append(
        "Training and validation are split by repository. One repository in twenty, told by a hash "
        "of its name, is held out for evaluation and is not in here. Documents are shuffled over "
        "all shards. The same recipe gives the same bytes; `corpus.json` holds every source with "
        f"its commit, the counts and the SHA-256 of each shard. Options: {options or 'defaults'}.\n"
    )
    return "\n".join(lines)


_FIELDS = """\
| field | holds |
|---|---|
| `content` | the text of the file, lines ended by line feeds |
| `path` | inside its repository |
| `repository` | `owner/name` where known |
| `commit` | of the repository, or the version of a distribution |
| `licence` | SPDX expression; empty where unknown |
| `source` | the kind of source it was read from |
"""


def _sources(manifest: CorpusManifest, survey: Survey) -> str:
    total = max(survey.total_bytes, 1)
    licences = "\n".join(
        f"| {_cell(name) or 'unknown'} | {survey.licence_documents[name]:,} "
        f"| {percent(amount / total)} |"
        for name, amount in survey.licences.most_common(30)
    )
    used = sorted(
        (source for source in manifest.sources if source.documents),
        key=lambda source: (-source.bytes, source.repository, source.commit),
    )
    rows = "\n".join(
        f"| {_cell(source.repository)} | {_cell(source.commit)[:12]} "
        f"| {_cell(source.licence) or 'unknown'} | {source.split} | {source.documents:,} |"
        for source in used[:MAX_SOURCES]
    )
    more = (
        f"\nThe {MAX_SOURCES} largest of {len(used):,}; all are in `corpus.json`.\n"
        if len(used) > MAX_SOURCES
        else ""
    )
    return (
        "Each document is under the licence of its own repository, named in its `licence` field; "
        "the notices that these licences ask for stand in the repositories named here, at the "
        "commits named here.\n\n"
        f"| licence | documents | share of the text |\n|---|---:|---:|\n{licences}\n\n"
        f"| source | commit or version | licence | split | documents |\n|---|---|---|---|---:|\n"
        f"{rows}\n{more}"
    )


def _cell(text: str) -> str:
    """`text` as it may stand in a cell of a table."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def _personal(manifest: CorpusManifest) -> str:
    if manifest.redacted:
        counts = ", ".join(f"{key} {n:,}" for key, n in sorted(manifest.redacted.items()))
        words = (
            f"Secrets, e-mail and IP addresses that were found were replaced by tokens: {counts}. "
            "No detector finds all; "
        )
    else:
        words = "No secrets or addresses were replaced in this build; "
    return (
        f"{words}names of authors in comments and notices are kept, as licences ask for them. Do "
        "not use the text to identify or contact people.\n\n"
        "Whoever wants their code left out can ask the publisher of this dataset, who names the "
        "repository in the exclusion list of the recipe and builds anew; "
        "each document's `repository` and `path` tell whether it is in here.\n"
    )


_USE = """\
Training and evaluating models that complete Python. A model trained on it may repeat passages of
its sources, with their mistakes and outdated practice: review what it writes as you would review
a stranger's code.
"""


def _cite(name: str, manifest: CorpusManifest) -> str:
    key = re.sub(r"\W+", "-", name).strip("-").lower() or "corpus"
    title = re.sub(r"[{}\\]", "", name)
    digest = str(manifest.shards[0].get("sha256", ""))[:12] if manifest.shards else ""
    first = f"first shard SHA-256 {digest}" if digest else "see corpus.json"
    return (
        "Name the dataset, its revision on the Hub, and the repositories that it was made from.\n\n"
        f"```bibtex\n@misc{{{key},\n  title = {{{title}: Python for code completion}},\n"
        f"  note = {{Dataset, built by {manifest.tool}; {first}}}\n}}\n```\n"
    )
