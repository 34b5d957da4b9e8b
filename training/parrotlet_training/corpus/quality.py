"""How good a document is to learn from, as a level of 0 to 4.

The level conditions the model (a special token before the document) and drops nothing: filtering
by quality hurts (SantaCoder, Ben Allal et al. 2023, by stars), while a model that is told what is
noise learns from it without writing it (conditional training: Keskar et al. 2019, CTRL; Korbak et
al. 2023). So the level need only be right on average, and it looks at how code is written, not at
what it is about.

Signals are counted with regular expressions, each is worth some points, and fixed thresholds turn
the sum into a level: the same document has the same level in every corpus.
"""

from __future__ import annotations

import keyword
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from parrotlet_tokenizer.specials import QUALITY_LEVELS

from .runs import has_longer_line

METADATA_KEYS = ("stars", "dependents")
"""What `quality` heeds of outside metadata: stars of the repository; packages that depend on it."""

THRESHOLDS = (0.0, 0.8, 1.6, 2.4)
"""Points from which on a document has level 1, 2, 3 and 4."""


@dataclass(frozen=True)
class Signals:
    """What is counted in a document. A share is of [0, 1] and 0 where there is nothing to count.

    Attributes:
        lines: lines that are not blank.
        definitions: functions and classes.
        documented: share of `definitions` with a docstring, the module counting as one.
        annotated: share of the functions with a parameter or result annotated.
        comments: share of `lines` that are comments.
        dead_code: share of the comments that are code.
        name_length: mean length in characters of the different names.
        wide: share of `lines` over 120 characters.
        untidy: trailing blanks, semicolons and commas without a blank after them, per line, 1 at
            most.
        off_grid: share of the indented lines whose indentation is no multiple of the file's unit,
            or has tabs beside spaces.
        modern: kinds of today's constructs, of 6.
        legacy: kinds of outdated or careless constructs, of 8.
        auxiliary: the path says test, set-up, settings, migration, example or generated data.
    """

    lines: int
    definitions: int
    documented: float
    annotated: float
    comments: float
    dead_code: float
    name_length: float
    wide: float
    untidy: float
    off_grid: float
    modern: int
    legacy: int
    auxiliary: bool


_STRING = re.compile(
    r"'''(?:\\.|[^\\])*?(?:'''|\Z)|\"\"\"(?:\\.|[^\\])*?(?:\"\"\"|\Z)"
    r"|'(?:\\.|[^'\\\n])*+'?|\"(?:\\.|[^\"\\\n])*+\"?|#[^\n]*+",
    re.S,
)
# A line begins with the line feed before it: to look for one is faster than to look for "^".
_DEFINITION = re.compile(r"\n[ \t]*(?:async[ \t]+)?(def|class)\b")
# On code whose comments are gone and whose strings are "" (or ''' ''' for triple quotes).
_DOCUMENTED = re.compile(
    r"\n[ \t]*(?:async[ \t]+)?(?:def|class)\b[^\n]*:[ \t]*\n\s*[rRuU]?(?:'''|\"\"[ \t]*(?=\n))"
)
_MODULE_DOCSTRING = re.compile(r"\A\s*[rRuU]?(?:'''|\"\")")
_ANNOTATED = re.compile(r"\n[ \t]*(?:async[ \t]+)?def[ \t]+\w+\([^)]*(?::[ \t]*\w|\)[ \t]*->)")
_COMMENT = re.compile(r"\n([ \t]*#(?!!)[^\n]*)")
_CODE_IN_COMMENT = re.compile(
    r"^[ \t]*#+[ \t]*(?:(?:def|class|if|for|while|elif|with)\b.*:[ \t]*$|(?:import|from|return|del)"
    r"[ \t]+\w+[\w.]*(?:[ \t]+import\b.*)?$|@\w|[\w.\[\]'\"]+[ \t]*[-+*/]?=[ \t]*\S|[\w.]+\(.*\)$)",
    re.M,
)
_NAME = re.compile(r"[A-Za-z_]\w*")
_NOT_IN_NAME = bytes(
    code if chr(code).isalnum() or code == 95 else 32 for code in range(128)
) + bytes(128)
_TIGHT_COMMA = re.compile(r",(?![\s)\]}])")
_INDENTATION = re.compile(r"\n([ \t]+)(?=\S)")
_BRACKETS = re.compile(r"[(\[{][^()\[\]{}]*[)\]}]")
_KEYWORD_NAMES = frozenset(keyword.kwlist) | {"self", "cls"}
# Kinds of constructs: words, one of which must be there, and what then decides (or nothing more).
_Construct = tuple[tuple[str, ...], re.Pattern[str] | None]
_MODERN: tuple[_Construct, ...] = (
    (('f""', "f'''", 'F""'), None),
    (("pathlib", "Path("), None),
    (("@dataclass", ".dataclass", "@define", ".define", "BaseModel", "NamedTuple"), None),
    (
        ("annotations", "typing", "collections.abc"),
        re.compile(
            r"^(?:from __future__ import annot|(?:from|import) (?:typing|collections\.abc)\b)", re.M
        ),
    ),
    (("with ", "await "), re.compile(r"^[ \t]*(?:async )?with\b|\bawait\b", re.M)),
    (
        ("@",),
        re.compile(r"^[ \t]*@(?:property|\w+\.setter|classmethod|pytest|functools|context)", re.M),
    ),
)
_LEGACY: tuple[_Construct, ...] = (
    (
        ("__future__",),
        re.compile(r"__future__ import .*(?:print_function|division|absolute_import|unicode_l)"),
    ),
    (
        ("xrange", "unicode(", "basestring", "iteritems", "has_key", "raw_input"),
        re.compile(r"\b(?:xrange\(|unicode\(|basestring\b|iteritems\(|has_key\(|raw_input\()"),
    ),
    (("import six", "from six"), None),
    (("(object):",), re.compile(r"^class \w+\(object\):", re.M)),
    (("import *",), None),
    (("except",), re.compile(r"^[ \t]*except[ \t]*:", re.M)),
    (("global", "exec(", "eval("), re.compile(r"^[ \t]*(?:global\b|exec\(|eval\()", re.M)),
    (("print(", "input("), re.compile(r"^(?:print|input)\(", re.M)),
)
_AUXILIARY = re.compile(
    r"(?:^|/)(?:tests?|testing|migrations|examples?|samples?|fixtures|benchmarks?|alembic)/"
    r"|(?:^|/)(?:test_[^/]*|[^/]*_test|tests|conftest|setup|settings|[^/]*config|conf|constants)\.py$",
    re.I,
)


def signals(text: str, path: str = "") -> Signals:
    """Counts the signals of a document.

    Args:
        text: its content, with line feeds as line ends.
        path: inside its repository, with forward slashes.
    """
    code = f"\n{_without_strings(text)}"
    every = text.split("\n")
    lines = max(1, sum(map(bool, map(str.strip, every))))
    wide = sum(length > 120 for length in map(len, every)) if has_longer_line(text, 120) else 0
    kinds = _DEFINITION.findall(code)
    functions = kinds.count("def")
    flat = _BRACKETS.sub("()", _BRACKETS.sub("", code))  # headers on one line
    documented = len(_DOCUMENTED.findall(flat)) + (_MODULE_DOCSTRING.match(code) is not None)
    comments = _COMMENT.findall(f"\n{text}")
    names = _names(code)
    code_lines = max(1, code.count("\n") - 1)
    untidy = code.count(" \n") + code.count("\t\n") + code.count(";")
    untidy += len(_TIGHT_COMMA.findall(code))
    return Signals(
        lines=lines,
        definitions=len(kinds),
        documented=min(1.0, documented / (len(kinds) + 1)),
        annotated=len(_ANNOTATED.findall(code)) / functions if functions else 0.0,
        comments=min(1.0, len(comments) / lines),
        dead_code=_share(
            sum(_CODE_IN_COMMENT.match(line) is not None for line in comments), comments
        ),
        name_length=_share(sum(map(len, names)), names),
        wide=wide / lines,
        untidy=min(1.0, untidy / code_lines),
        off_grid=_off_grid(flat),
        modern=_kinds(code, _MODERN),
        legacy=_kinds(code, _LEGACY),
        auxiliary=_AUXILIARY.search(path) is not None,
    )


def _kinds(code: str, constructs: tuple[_Construct, ...]) -> int:
    return sum(
        any(word in code for word in words)
        and (pattern is None or pattern.search(code) is not None)
        for words, pattern in constructs
    )


def _without_strings(text: str) -> str:
    """`text` with empty strings, and without comments and the blanks before them."""
    parts: list[str] = []
    done = 0
    for match in _STRING.finditer(text):
        start, end = match.span()
        if text[start] == "#":
            parts.append(text[done:start].rstrip(" \t"))
        else:
            parts.append(text[done:start])
            quotes = text[start : min(start + 3, end)]
            parts.append("''' '''" if quotes in ("'''", '"""') else '""')
        done = end
    parts.append(text[done:])
    return "".join(parts)


def _names(code: str) -> set[str]:
    """Names in `code` that are no keywords."""
    if code.isascii():  # what begins with digits goes on with a name: 1e5, 0x1F
        words = set(code.encode("ascii").translate(_NOT_IN_NAME).decode("ascii").split())
        names = {word.lstrip("0123456789") for word in words}
        names.discard("")
    else:
        names = set(_NAME.findall(code))
    return names - _KEYWORD_NAMES


def _share(count: int, of: list[str] | set[str]) -> float:
    return count / len(of) if of else 0.0


def _off_grid(flat: str) -> float:
    """Of lines that open or continue a block; those inside brackets are aligned at will."""
    blanks = Counter(_INDENTATION.findall(flat))
    if not blanks:
        return 0.0
    count = blanks.total()
    tabs = sum(number for blank, number in blanks.items() if "\t" in blank)
    if tabs == count:
        return 0.0
    fours = sum(number for blank, number in blanks.items() if len(blank) % 4 == 0)
    unit = 4 if fours * 2 >= count else 2
    off = sum(number for blank, number in blanks.items() if "\t" in blank or len(blank) % unit != 0)
    return off / count


def points(found: Signals, metadata: Mapping[str, float] | None = None) -> float:
    """The sum of what the signals are worth, about -3 to 4.

    Args:
        found: the document's signals.
        metadata: outside figures by the names of `METADATA_KEYS`; others are ignored. They add half
            a point at most (at 10,000 stars or 1,000 dependents) and never take any: code of
            unknown projects is not worse.
    """
    total = 0.0
    # Explained: docstrings first; some comments help, commented-out code does not.
    total += 1.2 * min(1.0, found.documented / 0.8)
    total += 0.4 * min(1.0, found.comments / 0.06) * (1.0 - found.dead_code)
    total -= 0.8 * found.dead_code * min(1.0, found.comments / 0.06)
    # Typed, with names that speak, in today's language.
    total += 0.9 * found.annotated
    total += 0.7 * min(1.0, max(-1.0, (found.name_length - 6.0) / 3.0))
    total += 0.15 * found.modern - 0.3 * found.legacy
    # Laid out with care.
    total -= min(0.8, 8.0 * found.wide)
    total -= min(1.0, 5.0 * found.untidy)
    total -= min(0.8, 3.0 * found.off_grid)
    # Code rather than a stub or a list.
    total -= 0.5 * (found.lines < 12)
    total -= 0.5 * (found.definitions == 0)
    total -= 0.3 * found.auxiliary
    if metadata:
        known = max(_decades(metadata.get("stars"), 4), _decades(metadata.get("dependents"), 3))
        total += 0.5 * known
    return total


def _decades(count: float | None, most: int) -> float:
    """Powers of ten in `count` as a share of `most`; 0 for none and for what is no number."""
    if count is None or not math.isfinite(count) or count < 1:
        return 0.0
    return min(1.0, math.log10(count) / most)


def quality(text: str, path: str = "", metadata: Mapping[str, float] | None = None) -> int:
    """The level of a document, 0 (worst) to 4 (best).

    Args:
        text: its content, with line feeds as line ends.
        path: inside its repository, with forward slashes.
        metadata: outside figures by the names of `METADATA_KEYS`, where known.
    """
    total = points(signals(text, path), metadata)
    level = sum(total >= threshold for threshold in THRESHOLDS)
    return min(level, QUALITY_LEVELS - 1)
