"""Bias and gaps of a corpus, said in words, each from its data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .fields import FIELD_NAMES
from .manifest import CorpusManifest
from .survey import Survey, margin

LARGEST = 10
"""Repositories that are summed up as the largest."""

HEAVY = 0.20
"""A field in which more of the documents lie is called over-represented."""

THIN = 0.03
"""A field in which fewer lie is called under-represented."""


@dataclass(frozen=True)
class Finding:
    """Something that a user of the corpus, or of a model trained on it, should know.

    Attributes:
        title: in a few words.
        text: plain sentences with the figures.
    """

    title: str
    text: str


def find(manifest: CorpusManifest, survey: Survey) -> list[Finding]:
    """What is over- and under-represented; the weightiest first."""
    if not survey.total_documents:
        return [Finding("Empty", "The corpus holds no document.")]
    found = [_concentration(survey), _tests(survey), *_fields(survey), _languages(survey)]
    found += [_syntax(survey), _licences(survey), *_duplicates(manifest), _validation(manifest)]
    return [finding for finding in found if finding is not None]


def method(survey: Survey) -> str:
    """How the shares were found, and how far they may be off."""
    if survey.sampled >= survey.total_documents:
        looked = f"All {survey.sampled:,} documents were looked at."
    else:
        points = 100 * margin(0.5, survey.sampled)
        looked = (
            f"Sizes, licences, repositories and tests are counted over all "
            f"{survey.total_documents:,} documents; imports, fields, syntax, languages and line "
            f"lengths over {survey.sampled:,} drawn at random, so that such a share is off by at "
            f"most {points:.1f} points 19 times out of 20."
        )
    return (
        f"{looked} A field is told by imports, by the names of the repository and of its outer "
        "folders, so a file can belong to several, and one with neither to none. "
        f"Over-represented means in over {percent(HEAVY)} of the documents, under-represented in "
        f"under {percent(THIN)}: a rule of thumb, as nobody knows the shares in all Python."
    )


def percent(share: float) -> str:
    """A share in words: one digit after the point below 10 %; it does not break over a line."""
    if not share:
        return "0\u00a0%"
    if share < 0.001:
        return "less than 0.1\u00a0%"
    return f"{100 * share:.1f}\u00a0%" if share < 0.0995 else f"{100 * share:.0f}\u00a0%"


def _concentration(survey: Survey) -> Finding:
    repositories = survey.repositories
    total = max(survey.total_bytes, 1)
    top = repositories.most_common(LARGEST)
    if len(repositories) <= LARGEST:
        names = _list(f"{name} ({percent(size / total)})" for name, size in top)
        return Finding(
            "Few repositories",
            f"All text comes from {_count(len(repositories), 'repository', 'repositories')}: "
            f"{names}. A model will take their habits for those of Python.",
        )
    share = sum(size for _, size in top) / total
    first, first_size = top[0]
    names = _list(f"{name} ({percent(size / total)})" for name, size in top)
    judgement = (
        "Their style, names and libraries outweigh all others'."
        if share > 0.25
        else "No single project sets the style."
    )
    return Finding(
        f"The ten largest repositories hold {percent(share)} of the text",
        f"{names}, out of {len(repositories):,}. {judgement} The largest alone, {first}, is "
        f"{percent(first_size / total)}.",
    )


def _tests(survey: Survey) -> Finding:
    share = survey.tests / survey.total_documents
    weight = survey.test_bytes / max(survey.total_bytes, 1)
    if share > 0.3:
        title, words = "Many tests", "A model sees assertions and fixtures more often than a user."
    elif share < 0.05:
        title, words = "Few tests", "A model will know little of how tests are written."
    else:
        title, words = "Tests", "That is within what projects usually hold."
    return Finding(
        title,
        f"{percent(share)} of the documents and {percent(weight)} of the text are tests by their "
        f"path. {words}",
    )


def _fields(survey: Survey) -> list[Finding]:
    if not survey.sampled:
        return []
    shares = {name: survey.fields[name] / survey.sampled for name in FIELD_NAMES}
    ordered = sorted(shares, key=lambda name: (-shares[name], name))
    heavy = [name for name in ordered if shares[name] > HEAVY]
    thin = [name for name in reversed(ordered) if shares[name] < THIN]
    found = []
    if heavy:
        found.append(
            Finding(
                "Over-represented fields",
                f"{_list(f'{name} ({percent(shares[name])})' for name in heavy)}.",
            )
        )
    else:
        first = ordered[0]
        found.append(
            Finding(
                "No field prevails",
                f"The most frequent, {first}, shows in {percent(shares[first])} of the documents.",
            )
        )
    if thin:
        found.append(
            Finding(
                "Under-represented fields",
                f"{_list(f'{name} ({percent(shares[name])})' for name in thin)}. "
                "Suggestions there will be weaker; add repositories of these fields, or train on "
                "your own.",
            )
        )
    found.append(
        Finding(
            "No field told",
            f"{percent(survey.no_field / survey.sampled)} of the documents import nothing that "
            "speaks for a field.",
        )
    )
    return found


def _languages(survey: Survey) -> Finding | None:
    from .language import LITTLE, UNSURE

    told = {n: c for n, c in survey.languages.items() if n not in (LITTLE, UNSURE)}
    total = sum(told.values())
    if not total:
        return None
    english = told.get("English", 0) / total
    others = sorted((n for n in told if n != "English"), key=lambda n: (-told[n], n))[:5]
    rest = (
        f"The rest: {_list(f'{name} ({percent(told[name] / total)})' for name in others)}."
        if others
        else "No other language was found."
    )
    title = "Prose is in English" if english > 0.9 else "Prose is in several languages"
    return Finding(
        title,
        f"Of {total:,} documents whose comments and docstrings are long enough to tell, "
        f"{percent(english)} are in English. {rest}"
        + (" Whoever comments in another language is served worse." if english > 0.9 else ""),
    )


def _syntax(survey: Survey) -> Finding | None:
    if not survey.parsed:
        return None

    def share(name: str) -> str:
        return percent(survey.syntax[name] / survey.parsed)

    failed = survey.sampled - survey.parsed
    old = f"{percent(failed / survey.sampled)} of the documents are not read by this Python" + (
        f", {percent(survey.python2 / survey.sampled)} because they are Python 2."
        if failed
        else "."
    )
    return Finding(
        "Age and style of the syntax",
        f"{old} Of those that are, {share('type hints')} use type hints, {share('f-strings')} "
        f"f-strings (3.6), {share('async')} async (3.5), {share('assignment expressions')} "
        f"assignment expressions (3.8), {share('match statements')} match statements (3.10); "
        f"{share('docstrings')} hold docstrings and {share('print calls')} call print.",
    )


def _licences(survey: Survey) -> Finding:
    total = survey.total_documents
    unknown = survey.licence_documents[""] / total
    name, documents = max(
        survey.licence_documents.items(), key=lambda item: (item[1], item[0]), default=("", 0)
    )
    words = (
        "Each document names its licence."
        if not unknown
        else f"{percent(unknown)} of the documents name none: check them before you publish."
    )
    return Finding(
        "Licences",
        f"{len([key for key in survey.licence_documents if key]):,} licence expressions; the most "
        f"frequent is {name or 'unknown'} ({percent(documents / total)} of the documents). {words}",
    )


def _duplicates(manifest: CorpusManifest) -> list[Finding]:
    exact = manifest.left_out.get("duplicate", 0)
    near = manifest.near_duplicates.get("dropped")
    seen = max(manifest.files_seen, 1)
    if near is None:
        return [
            Finding(
                "Near-duplicates may remain",
                f"{exact:,} exact duplicates ({percent(exact / seen)} of the files) were dropped; "
                "near-duplicates were not looked for, so forks and copies with small changes "
                "weigh more than once.",
            )
        ]
    return [
        Finding(
            "Duplicates",
            f"{exact:,} exact ({percent(exact / seen)} of the files) and {near:,} near-duplicates "
            f"({percent(near / seen)}) were dropped.",
        )
    ]


def _validation(manifest: CorpusManifest) -> Finding | None:
    if "train" not in manifest.documents:
        return None
    names = {s.repository for s in manifest.sources if s.split == "validation" and s.documents}
    if not names:
        return Finding(
            "No validation", "No repository fell to validation, so a run cannot see overfitting."
        )
    if len(names) >= 20:
        return None
    return Finding(
        "Validation is narrow",
        f"It rests on {_count(len(names), 'source', 'sources')}: {_list(sorted(names))}. Its loss "
        "says little about Python at large.",
    )


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _list(items: Iterable[str]) -> str:
    words = list(items)
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else "".join(words)
