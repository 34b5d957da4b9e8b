"""The report as one HTML page that asks for nothing from outside."""

from __future__ import annotations

import html
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pygments import format as format_tokens
from pygments.formatters import HtmlFormatter
from pygments.lexers.python import PythonLexer
from pygments.token import _TokenType

from .features import SYNTAX
from .fields import FIELD_NAMES
from .findings import find, method, percent
from .funnel import OTHER, funnel
from .language import LITTLE, UNSURE
from .manifest import CorpusManifest, SourceEntry, option_words
from .plots import bars, histogram
from .style import STYLE
from .survey import SIZE_STEPS, Excerpt, Survey

MAX_SOURCES = 1_000
"""Rows of the table of sources; the manifest holds them all."""

TOP = 20
"""Bars in a list of the most frequent."""

EXCERPT_LINES = 32
MAX_LINE = 160
"""Columns of the plot of line lengths; longer lines stand in its last bar."""


@dataclass(frozen=True)
class _Section:
    anchor: str
    title: str
    body: str


def render(name: str, manifest: CorpusManifest, survey: Survey, seed: int) -> str:
    """The page.

    Args:
        name: of the corpus, in the title.
        manifest: what its build says of it.
        survey: what looking at it says.
        seed: of the excerpts.
    """
    sections = [
        section
        for section in (
            _findings(manifest, survey),
            _funnel(manifest),
            _duplicates(manifest),
            _redacted(manifest),
            _quality(manifest, survey),
            _sizes(survey),
            _line_lengths(survey),
            _repositories(survey),
            _licences(survey),
            _fields(survey),
            _imports(survey),
            _syntax(survey),
            _languages(survey),
            _excerpts(survey, seed),
            _sources(manifest),
            _skipped(manifest),
        )
        if section is not None
    ]
    contents = "\n".join(
        f'<li><a href="#{section.anchor}">{_e(section.title)}</a></li>' for section in sections
    )
    body = "\n".join(
        f'<section id="{section.anchor}">\n<h2>{_e(section.title)}</h2>\n{section.body}\n</section>'
        for section in sections
    )
    title = f"Corpus {name}"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>{_e(title)}</title>
<style>
{STYLE}
{_code_style()}
</style>
</head>
<body>
<nav aria-label="Contents"><p>{_e(title)}</p>
<ol>
{contents}
</ol></nav>
<main>
<header>
<h1>{_e(title)}</h1>
<p class="quiet">Built by {_e(manifest.tool)}.</p>
{_tiles(manifest, survey)}
</header>
{body}
</main>
</body>
</html>
"""


def _tiles(manifest: CorpusManifest, survey: Survey) -> str:
    kept = manifest.kept / max(manifest.files_seen, 1)
    tiles = [
        (f"{survey.total_documents:,}", "documents"),
        (size(survey.total_bytes), "of text"),
        (f"{len(survey.repositories):,}", "repositories"),
        (percent(kept), "of the files seen were kept"),
    ]
    for split, documents in survey.documents.items():
        if len(survey.documents) > 1:
            tiles.append((f"{documents:,}", f"documents in {split}"))
    items = "".join(f"<div><dt>{_e(what)}</dt><dd>{_e(value)}</dd></div>" for value, what in tiles)
    return f'<dl class="tiles">{items}</dl>'


def _findings(manifest: CorpusManifest, survey: Survey) -> _Section:
    items = "\n".join(
        f"<dt>{_e(finding.title)}</dt><dd>{_e(finding.text)}</dd>"
        for finding in find(manifest, survey)
    )
    body = f'<dl class="findings">\n{items}\n</dl>\n<p class="quiet">{_e(method(survey))}</p>'
    return _Section("bias", "Bias and gaps", body)


def _funnel(manifest: CorpusManifest) -> _Section:
    steps = funnel(manifest)
    items: list[tuple[str, float]] = [("files seen", manifest.files_seen)]
    items += [(f"after: {step.reason}", step.left) for step in steps if step.reason != OTHER]
    items.append(("kept", manifest.kept))
    plot = bars(
        items, "Files that remain after each filter", "files", percent_of=manifest.files_seen or 1
    )
    rows = [
        (step.reason, f"{step.dropped:,}", percent(step.dropped / max(manifest.files_seen, 1)))
        for step in steps
    ]
    options = option_words(manifest.options)
    table = _table(("left out because", "files", "share"), rows, numbers=(1, 2))
    words = f'<p class="quiet">Options of the build: {_e(options)}.</p>' if options else ""
    return _Section("filters", "Filters: from files seen to documents kept", plot + table + words)


def _duplicates(manifest: CorpusManifest) -> _Section | None:
    items = [("exact duplicates dropped", manifest.left_out.get("duplicate", 0))]
    names = {
        "candidates": "near-duplicate candidates",
        "verified": "verified by comparing texts",
        "dropped": "near-duplicates dropped",
    }
    items += [
        (words, manifest.near_duplicates[key])
        for key, words in names.items()
        if key in manifest.near_duplicates
    ]
    items += [(f"of {task}", count) for task, count in sorted(manifest.decontaminated.items())]
    plot = bars(items, "Duplicates found", "files")
    words = []
    if not manifest.near_duplicates:
        words.append("Near-duplicates were not looked for in this build.")
    if manifest.decontaminated:
        words.append("“of …” are files dropped since they hold a task of an evaluation set.")
    note = f'<p class="quiet">{_e(" ".join(words))}</p>' if words else ""
    return _Section("duplicates", "Duplicates and evaluation sets", plot + note)


def _redacted(manifest: CorpusManifest) -> _Section:
    if not manifest.redacted:
        body = "<p>Secrets and personal data were not looked for, or none was found.</p>"
        return _Section("secrets", "Secrets and personal data", body)
    items = _top(Counter(manifest.redacted), TOP)
    plot = bars(items, "Secrets and personal data replaced, by kind", "places replaced")
    return _Section("secrets", "Secrets and personal data replaced", plot)


def _quality(manifest: CorpusManifest, survey: Survey) -> _Section | None:
    counts = manifest.quality or dict(survey.quality)
    if not set(counts) - {"unknown"}:
        return None
    items = [(f"level {name}" if name.isdigit() else name, counts[name]) for name in sorted(counts)]
    plot = bars(items, "Documents by quality level", "documents", sum(counts.values()))
    note = '<p class="quiet">The level is given to the model as a token; 4 is the highest.</p>'
    return _Section("quality", "Quality levels", plot + note)


def _sizes(survey: Survey) -> _Section | None:
    if not survey.sizes:
        return None
    steps = range(min(survey.sizes), max(survey.sizes) + 1)
    median = survey.size_quantile(0.5)
    plot = histogram(
        [2 ** (step / SIZE_STEPS) for step in (*steps, steps[-1] + 1)],
        [survey.sizes[step] for step in steps],
        "Documents by size",
        "size of a document (bytes in UTF-8, logarithmic)",
        "documents",
        logarithmic=True,
        marks=[(median, f"median {size(median)}")],
        bytes_on_x=True,
    )
    words = (
        f"A tenth of the documents is under {size(survey.size_quantile(0.1))}, a tenth over "
        f"{size(survey.size_quantile(0.9))}; the mean is "
        f"{size(survey.total_bytes / max(survey.total_documents, 1))}."
    )
    return _Section("sizes", "Sizes of documents", f"{plot}<p>{_e(words)}</p>")


def _line_lengths(survey: Survey) -> _Section | None:
    total = sum(survey.line_lengths.values())
    if not total:
        return None
    counts: list[int] = [0] * (MAX_LINE // 2 + 1)
    for length, count in survey.line_lengths.items():
        counts[min((length - 1) // 2, MAX_LINE // 2)] += count
    plot = histogram(
        [1 + 2 * place for place in range(len(counts) + 1)],
        [100 * count / total for count in counts],
        "Lines by length",
        f"length of a line (characters; over {MAX_LINE} in the last bar)",
        "share of the lines (%)",
        marks=[(79.5, "79")],
    )
    long = sum(count for length, count in survey.line_lengths.items() if length > 79)
    longer = sum(count for length, count in survey.line_lengths.items() if length > 100)
    words = (
        f"{percent(long / total)} of the lines that are not blank have over 79 characters, "
        f"{percent(longer / total)} over 100."
    )
    return _Section("lines", "Lengths of lines", f"{plot}<p>{_e(words)}</p>")


def _repositories(survey: Survey) -> _Section:
    items = _top(survey.repositories, TOP)
    rest = f"the other {len(survey.repositories) - TOP:,}"
    shown = [(name, amount / 1e6) for name, amount in items]
    if len(survey.repositories) > TOP:
        others = survey.total_bytes - sum(amount for _, amount in items)
        shown.append((rest, others / 1e6))
    plot = bars(
        shown,
        "Text by repository",
        "text (MB)",
        max(survey.total_bytes, 1) / 1e6,
        rest=frozenset({rest}),
    )
    return _Section("repositories", "Largest repositories", plot)


def _licences(survey: Survey) -> _Section:
    items = [(name or "unknown", amount / 1e6) for name, amount in survey.licences.most_common(TOP)]
    plot = bars(items, "Text by licence", "text (MB)", max(survey.total_bytes, 1) / 1e6)
    return _Section("licences", "Licences", plot)


def _fields(survey: Survey) -> _Section | None:
    if not survey.sampled:
        return None
    names = sorted((*FIELD_NAMES, "tests"), key=lambda name: (-survey.fields[name], name))
    names = list(dict.fromkeys(names))
    items = [(name, 100 * survey.fields[name] / survey.sampled) for name in names]
    items.append(("none told", 100 * survey.no_field / survey.sampled))
    plot = bars(
        items,
        "Documents by field",
        "share of the documents (%); a file can belong to several",
        rest=frozenset({"none told"}),
    )
    return _Section("fields", "Fields", plot)


def _imports(survey: Survey) -> _Section | None:
    if not survey.imports:
        return None
    items = [(name, 100 * n / survey.sampled) for name, n in _top(survey.imports, TOP)]
    plot = bars(items, "Most frequent imports", "share of the documents that import it (%)")
    words = f"{len(survey.imports):,} top-level modules are imported in all."
    return _Section("imports", "Imports", f'{plot}<p class="quiet">{words}</p>')


def _syntax(survey: Survey) -> _Section | None:
    if not survey.parsed:
        return None
    names = sorted(SYNTAX, key=lambda name: (-survey.syntax[name], name))
    items = [(name, 100 * survey.syntax[name] / survey.parsed) for name in names]
    plot = bars(items, "Documents by syntax in use", "share of the documents that parse (%)")
    return _Section("syntax", "Syntax in use", plot)


def _languages(survey: Survey) -> _Section | None:
    total = sum(survey.languages.values())
    if not total:
        return None
    vague = frozenset({LITTLE, UNSURE})
    told = Counter({n: c for n, c in survey.languages.items() if n not in vague})
    items = [(name, 100 * count / total) for name, count in _top(told, 12)]
    items += [(name, 100 * survey.languages[name] / total) for name in (UNSURE, LITTLE)]
    plot = bars(
        items, "Language of comments and docstrings", "share of the documents (%)", rest=vague
    )
    note = (
        "Told from comments and docstrings by py3langid; notices of a licence, doctests and lines "
        "that look like code are left out."
    )
    body = f'{plot}<p class="quiet">{_e(note)}</p>'
    return _Section("languages", "Language of comments and docstrings", body)


def _excerpts(survey: Survey, seed: int) -> _Section | None:
    if not survey.excerpts:
        return None
    parts = [_excerpt(excerpt, seed) for excerpt in survey.excerpts]
    note = '<p class="quiet">Drawn at random, and from a random place.</p>'
    return _Section("samples", "Random samples", note + "\n".join(parts))


def _excerpt(excerpt: Excerpt, seed: int) -> str:
    lines = _token_lines(excerpt.text)
    latest = max(len(lines) - EXCERPT_LINES, 0)
    start = random.Random(f"{seed} {excerpt.repository} {excerpt.path}").randint(0, latest)
    chosen = lines[start : start + EXCERPT_LINES]
    code = format_tokens((token for line in chosen for token in line), HtmlFormatter(nowrap=True))
    where = f"lines {start + 1}–{start + len(chosen)} of {len(lines):,}"
    about = " · ".join(filter(None, (excerpt.repository, excerpt.licence, where)))
    return (
        f"<figure><figcaption><strong>{_e(excerpt.path)}</strong><br>{_e(about)}</figcaption>"
        f'<pre class="code" tabindex="0"><code>{code.rstrip()}</code></pre></figure>'
    )


def _token_lines(text: str) -> list[list[tuple[_TokenType, str]]]:
    """Tokens of `text` by line; lexed as a whole, so that a line inside a string shows as one."""
    lines: list[list[tuple[_TokenType, str]]] = [[]]
    for kind, value in PythonLexer(stripnl=False, ensurenl=False).get_tokens(text):
        for place, part in enumerate(value.split("\n")):
            if place:
                lines[-1].append((kind, "\n"))
                lines.append([])
            if part:
                lines[-1].append((kind, part[:400]))
    if not lines[-1]:
        lines.pop()
    return lines


def _sources(manifest: CorpusManifest) -> _Section:
    used = sorted(
        (source for source in manifest.sources if source.documents),
        key=lambda source: (-source.bytes, source.repository, source.commit),
    )
    rows = [_source_row(source) for source in used[:MAX_SOURCES]]
    head = ("source", "kind", "commit or version", "licence", "split", "documents", "text")
    body = _table(head, rows, numbers=(5, 6), html_in=(2,))
    if len(used) > MAX_SOURCES:
        body += (
            f'<p class="quiet">The {MAX_SOURCES:,} largest of {len(used):,}; all are in '
            "<code>corpus.json</code>.</p>"
        )
    return _Section("sources", "Sources", body)


def _source_row(source: SourceEntry) -> tuple[str, ...]:
    commit = f'<code title="{_e(source.commit)}">{_e(source.commit[:12]) or "–"}</code>'
    return (
        source.repository,
        source.kind,
        commit,
        source.licence or "unknown",
        source.split,
        f"{source.documents:,}",
        size(source.bytes),
    )


def _skipped(manifest: CorpusManifest) -> _Section | None:
    if not manifest.skipped_sources:
        return None
    items = sorted(manifest.skipped_sources.items())
    body = _table(("source", "reason"), items[:MAX_SOURCES])
    if len(items) > MAX_SOURCES:
        body += f'<p class="quiet">The first {MAX_SOURCES:,} of {len(items):,}.</p>'
    return _Section("skipped", "Sources left out", body)


def _table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    numbers: Sequence[int] = (),
    html_in: Sequence[int] = (),
) -> str:
    """A table; `numbers` are set to the right, and `html_in` is markup already."""

    def cells(row: Sequence[str], tag: str, escape_all: bool) -> str:
        return "".join(
            f"<{tag}{' class=n' if place in numbers else ''}>"
            f"{text if place in html_in and not escape_all else _e(text)}</{tag}>"
            for place, text in enumerate(row)
        )

    body = "\n".join(f"<tr>{cells(row, 'td', False)}</tr>" for row in rows)
    return (
        f'<div class="wide"><table><thead><tr>{cells(head, "th", True)}</tr></thead>'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def size(amount: float) -> str:
    """Bytes in decimal units."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if amount >= step:
            return f"{amount / step:,.1f} {unit}"
    return f"{amount:,.0f} B"


def _top(counts: Counter[str], number: int) -> list[tuple[str, int]]:
    """The largest, equal ones in the order of their names."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:number]


def _code_style() -> str:
    light = HtmlFormatter(style="default").get_style_defs(".code")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".code")
    light, dark = (_tokens_only(sheet) for sheet in (light, dark))
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}"


def _tokens_only(sheet: str) -> str:
    """The rules for tokens; the block itself has the page's colours."""
    return "\n".join(line for line in sheet.splitlines() if line.startswith(".code ."))


def _e(text: str) -> str:
    return html.escape(text, quote=True)
