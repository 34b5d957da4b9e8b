"""The report as text for a terminal and as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from .report import Report

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; } caption { text-align: left; opacity: .75; }
th, td { padding: .15rem .8rem .15rem 0; text-align: right; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; }
th { border-bottom: 1px solid currentColor; font-weight: 600; }
code { background: color-mix(in srgb, currentColor 10%, transparent); padding: 0 .25em;
       border-radius: 3px; white-space: pre; }
svg text { fill: currentColor; font: 13px system-ui, sans-serif; }
.bar { fill: #8aa1b8; } .own { fill: #2f8f5b; }
.tokens { line-height: 2; }
"""


_SIZES = ("tokenizer", "entries", "bytes/token", "ours longer by", "95 % up to")


@dataclass(frozen=True)
class Table:
    """A title and rows of cells; the first row is the head."""

    title: str
    rows: list[list[str]]


def text(report: Report) -> str:
    """The report for a terminal."""
    parts = [_headline(report)]
    for table in tables(report):
        widths = [max(len(row[i]) for row in table.rows) for i in range(len(table.rows[0]))]
        parts.append(f"\n{table.title}")
        for row in table.rows:
            first = row[0].ljust(widths[0])
            cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            parts.append("  ".join(["", first, *cells]).rstrip())
    for title, tokens in _token_lists(report):
        parts.append(f"\n{title}\n  {' '.join(map(repr, tokens))}")
    parts += [f"\nnote: {note}" for note in report.notes]
    return "\n".join(parts) + "\n"


def page(report: Report) -> str:
    """The report as HTML that needs no other file."""
    name = report.compression[0].name
    body = [f"<h1>Vocabulary <code>{escape(name)}</code></h1>", f"<p>{escape(_headline(report))}"]
    body += [f"<p><strong>Note:</strong> {escape(note)}" for note in report.notes]
    body.append("<h2>Bytes per token</h2>")
    body.append(_bars([(c.name, c.bytes_per_token) for c in report.compression]))
    body.append("<h2>Tokens per byte of noisy code, compared with the same code clean</h2>")
    for kind in next(iter(report.noise.values())):
        body.append(f"<h3>{escape(kind)}</h3>")
        body.append(_bars([(subject, kinds[kind]) for subject, kinds in report.noise.items()]))
    body.append("<h2>Encoding, megabytes per second and thread</h2>")
    body.append(_bars(list(report.encode_speed.items())))
    body += [_html_table(table) for table in tables(report)]
    for title, tokens in _token_lists(report):
        marks = " ".join(f"<code>{escape(_visible(token))}</code>" for token in tokens)
        body.append(f'<h2>{escape(title)}</h2><p class="tokens">{marks}')
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>Vocabulary {escape(name)}</title><style>{_STYLE}</style>\n"
        + "\n".join(body)
        + "\n</html>\n"
    )


def tables(report: Report) -> Iterator[Table]:
    """The figures, in the order of their weight."""
    yield Table(
        "Compression",
        [
            [*_SIZES, "across words", "tokens/identifier", "continued", "unused", "rare"],
            *(
                [
                    c.name,
                    f"{c.entries:,}",
                    f"{c.bytes_per_token:.3f}",
                    f"{report.ratios[c.name]:.3f}x" if c.name in report.ratios else "",
                    f"{c.p95_length} B",
                    f"{c.across_words:.1%}",
                    f"{c.fertility:.3f}",
                    f"{c.continued:.1%}",
                    f"{c.unused:,}",
                    f"{c.rare:,}",
                ]
                for c in report.compression
            ),
        ],
    )
    yield Table(
        "Bytes per token by repository",
        [
            ["repository", "bytes", *(c.name for c in report.compression)],
            *(
                [
                    repository,
                    f"{size:,}",
                    *(f"{c.by_repository[repository]:.3f}" for c in report.compression),
                ]
                for repository, size in report.sample.bytes.items()
            ),
        ],
    )
    kinds = next(iter(report.coverage.values()))
    yield Table(
        "Names that are one token (alone / after a space)",
        [
            ["tokenizer", *(f"{kind} of {c.names}" for kind, c in kinds.items())],
            *(
                [name, *(f"{c.alone} / {c.after_space}" for c in by_kind.values())]
                for name, by_kind in report.coverage.items()
            ),
        ],
    )
    yield Table(
        "Tokens per byte of noisy code, compared with the same code clean",
        [
            ["tokenizer", *next(iter(report.noise.values()))],
            *(
                [name, *(f"{ratio - 1:+.1%}" for ratio in kinds.values())]
                for name, kinds in report.noise.items()
            ),
        ],
    )
    own = next(iter(report.encode_speed.values()))
    yield Table(
        f"Encoding by one thread ({report.machine})",
        [
            ["tokenizer", "MB/s", "ours as a ratio"],
            *(
                [name, f"{speed:.2f}", f"{own / speed:.2f}x" if place else ""]
                for place, (name, speed) in enumerate(report.encode_speed.items())
            ),
        ],
    )


def _headline(report: Report) -> str:
    first = report.compression[0]
    line = (
        f"{first.name}: {first.bytes_per_token:.3f} bytes per token on {first.bytes:,} bytes of "
        f"{report.sample.corpus} ({report.sample.documents:,} documents of "
        f"{len(report.sample.bytes)} repositories)"
    )
    if report.train_speed is not None:
        line += f"; training takes in {report.train_speed:.2f} MB/s ({report.machine})"
    return line


def _token_lists(report: Report) -> Iterator[tuple[str, list[str]]]:
    lists = report.entries
    yield "First tokens", lists.first
    yield "Last tokens", lists.last
    yield "Longest tokens", lists.longest
    yield "Most used tokens", [token for token, _ in lists.most_used]
    yield "Most used tokens that hold two words", [token for token, _ in lists.across_words]
    missing = next(iter(report.coverage.values()))
    for kind, names in missing.items():
        if names.missing:
            yield f"{kind} of more than one token".capitalize(), names.missing


def _visible(token: str) -> str:
    return token.translate({9: "→", 10: "⏎", 13: "␍", 32: "·"})


def _html_table(table: Table) -> str:
    head, *rows = table.rows
    cells = "".join(f"<th>{escape(cell)}" for cell in head)
    lines = ["<tr>" + "".join(f"<td>{escape(cell)}" for cell in row) for row in rows]
    return f"<h2>{escape(table.title)}</h2><table><tr>{cells}\n" + "\n".join(lines) + "</table>"


def _bars(values: Sequence[tuple[str, float]]) -> str:
    """A bar chart, the vocabulary itself (the first) marked by colour."""
    left, width, height = 190, 420, 24
    scale = width / max(max(value for _, value in values), 1e-12)
    rows = []
    for place, (name, value) in enumerate(values):
        top, length = place * height, value * scale
        rows.append(
            f'<text x="{left - 8}" y="{top + 16}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="{"bar" if place else "own"}" x="{left}" y="{top + 3}" '
            f'width="{length:.1f}" height="{height - 6}"/>'
            f'<text x="{left + length + 6:.1f}" y="{top + 16}">{value:.3f}</text>'
        )
    size = f'width="{left + width + 70}" height="{len(values) * height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">{"".join(rows)}</svg>'
