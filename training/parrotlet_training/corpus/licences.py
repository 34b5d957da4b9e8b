"""Which licence a repository, a distribution or a file stands under, and which may be learnt from.

The licence texts come from `identify` (those of choosealicense.com); a file is matched with them
by the Sørensen-Dice coefficient of their words, as GitHub's detector does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from functools import lru_cache

PERMISSIVE = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSL-1.0",
        "CC0-1.0",
        "HPND",
        "ISC",
        "MIT",
        "MIT-0",
        "MIT-CMU",
        "PSF-2.0",
        "Python-2.0",
        "Unlicense",
        "Zlib",
        "ZPL-2.1",
    }
)
"""SPDX identifiers that ask for no more than a notice."""

PROPRIETARY = "LicenseRef-proprietary"
"""What `header_licence` calls a file that says that nobody may use it."""

_CLASSIFIERS = {
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "Zope Public License": "ZPL-2.1",
    "zlib/libpng License": "Zlib",
    "Historical Permission Notice and Disclaimer (HPND)": "HPND",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
}

_LOOSE = {
    "mit license": "MIT",
    "the mit license": "MIT",
    "apache 2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "psf": "PSF-2.0",
}

_DEPRECATED = re.compile(r"\b(A?GPL|LGPL|GFDL)-(\d\.\d)(?![\d.]|-only|-or-later)(\+?)")


def is_permissive(expression: str, allowed: Collection[str] = PERMISSIVE) -> bool:
    """Whether an SPDX expression can be satisfied by licences of `allowed` alone.

    ``OR`` needs one allowed side, ``AND`` both; an exception (``WITH``) only ever permits more.
    What is no expression is not permissive.
    """
    tree = _parsed(expression)
    return tree is not None and _satisfied(tree, allowed)


@lru_cache(maxsize=4096)
def _parsed(expression: str) -> object | None:
    from license_expression import ExpressionError, Licensing

    try:
        tree: object = Licensing().parse(expression)
    except ExpressionError:
        return None
    return tree


def _satisfied(tree: object, allowed: Collection[str]) -> bool:
    from license_expression import LicenseSymbol, LicenseWithExceptionSymbol

    if isinstance(tree, LicenseWithExceptionSymbol):
        return tree.license_symbol.key in allowed
    if isinstance(tree, LicenseSymbol):
        return tree.key in allowed
    parts = (_satisfied(part, allowed) for part in getattr(tree, "args", ()))
    return any(parts) if getattr(tree, "operator", "").strip() == "OR" else all(parts)


@lru_cache(maxsize=4096)
def normalise(name: str) -> str:
    """An SPDX expression from one in any case or from a usual name; "" for anything else.

    >>> normalise("apache-2.0"), normalise("gpl-2.0"), normalise("BSD License")
    ('Apache-2.0', 'GPL-2.0-only', 'BSD-3-Clause')
    """
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    loose = _LOOSE.get(" ".join(name.lower().split()))
    if loose is not None:
        return loose
    try:
        return _current(canonicalize_license_expression(name))
    except InvalidLicenseExpression:
        return ""


def _current(expression: str) -> str:
    """Writes identifiers of the GNU licences in their present form."""
    return _DEPRECATED.sub(
        lambda match: f"{match[1]}-{match[2]}-{'or-later' if match[3] else 'only'}", expression
    )


def from_metadata(expression: str | None, classifiers: list[str], free_text: str | None) -> str:
    """SPDX expression of a distribution's metadata (PEP 639, or older fields); "" if unknown."""
    if expression:
        return normalise(expression) or expression.strip()
    found = {
        _CLASSIFIERS.get(leaf, leaf)
        for leaf in (
            line.split("::")[-1].strip()
            for line in classifiers
            if line.startswith("License ::") and not line.endswith("OSI Approved")
        )
    }
    if found:
        return " AND ".join(sorted(found))
    return normalise(free_text or "")


# --- licence files -------------------------------------------------------------------------------

_FILE = re.compile(
    r"(?:un)?licen[sc]e(?:s)?(?:[-_.].*)?|copying(?:[-_.].*)?|.*[-_.]licen[sc]e(?:\.(?:txt|md|rst))?",
    re.IGNORECASE,
)
_CODE = (".py", ".pyi", ".json", ".yaml", ".yml", ".toml", ".html", ".js", ".sh", ".cfg", ".ini")

SIMILAR = 0.97
"""Least Dice coefficient of a match; BSD-3-Clause and its "Clear" variant have 0.94."""

MAX_LICENCE_BYTES = 256 * 1024
"""A larger file is no licence text (GPL-3.0 has 35 KB)."""


def is_licence_file(path: str) -> bool:
    """Whether `path`, inside a repository, holds the licence of all of it.

    At the top: ``LICENSE``, ``LICENCE.txt``, ``COPYING.LESSER``, ``UNLICENSE``, …; in the folder
    ``LICENSES`` of REUSE: all.
    """
    folder, _, name = path.rpartition("/")
    if folder == "LICENSES":
        return name.endswith(".txt")
    return not folder and not name.lower().endswith(_CODE) and bool(_FILE.fullmatch(name))


def detect(texts: Mapping[str, str]) -> str:
    """SPDX expression of a repository from the texts of its licence files.

    Several files are joined with ``AND``, the strictest reading. A file that is no known licence
    makes the whole unknown, unless it is a short pointer to the others.

    Args:
        texts: name of each licence file, and its text.

    Returns:
        The expression; "" if unknown.
    """
    found: set[str] = set()
    for name in sorted(texts):
        identifier = _identify(texts[name])
        if identifier:
            found.add(identifier)
        elif len(texts[name].split()) > 80 or header_licence(_comment(texts[name])):
            return ""
    return " AND ".join(sorted(found))


_RIDER = re.compile(
    r"non-?\s?commercial|commons clause|not evil|field of use|academic|research (?:use|purposes)"
    r"|evaluation purposes|military",
    re.IGNORECASE,
)
_COPYRIGHT = re.compile(r"^\W*(?:portions\s+)?(?:copyright|\(c\)|©).*", re.IGNORECASE)
_RESERVED = re.compile(r"^\W*all rights reserved\W*$", re.IGNORECASE)
_TITLE = re.compile(
    r"^\W*(?:the\s+)?[\w .,\"'()/-]{0,60}licen[sc]e\b[\w .,\"'()/-]{0,40}\W*$", re.I
)
_WORD = re.compile(r"[a-z0-9]+")
_END = "END OF TERMS AND CONDITIONS"
_APPENDIX_WORDS = 450  # of the longest appendix (GPL-2.0's); more may be another licence
_APACHE_NOTICE = re.compile(r"Licensed under the Apache License,\s+Version 2\.0")


def _words(text: str) -> Counter[str]:
    """Words of a licence's body: without title, copyright lines and what follows its end.

    A copyright notice may go on over several lines; it ends at the first blank one.
    """
    lines: list[str] = []
    notice = False
    body, _, appendix = text.partition(_END)
    if len(appendix.split()) > _APPENDIX_WORDS:
        body = text
    for line in body.splitlines():
        if not line.strip():
            notice = False
            continue
        # "copyright notice" and "copyright holders" are words of the licences themselves
        starts = _COPYRIGHT.match(line) and not re.match(
            r"\W*copyright (?:notice|holder)", line, re.I
        )
        notice = bool(starts) or (
            notice and not re.search(r"permission|redistribution", line, re.I)
        )
        first = len(lines) < 3 and _TITLE.match(line)
        if not (notice or first or _RESERVED.match(line)):
            lines.append(line)
    return Counter(_WORD.findall("\n".join(lines).lower()))


def _riders(text: str) -> set[str]:
    return {found.lower() for found in _RIDER.findall(text)}


@lru_cache(maxsize=1)
def _known() -> list[tuple[str, Counter[str], set[str]]]:
    """Identifier, words and restricting words of each licence."""
    from identify.vendor.licenses import LICENSES

    return [(_current(name), _words(text), _riders(text)) for name, text in LICENSES]


def _identify(text: str) -> str:
    words = _words(text)
    scored = [(_dice(words, known), name, riders) for name, known, riders in _known()]
    if words.total() < 150 and _APACHE_NOTICE.search(text) and not header_licence(_comment(text)):
        return "Apache-2.0"  # the notice alone
    score, name, riders = max(scored, key=lambda entry: entry[:2])
    # a licence with a rider ("non-commercial") differs by a few words, and in all that matters
    return name if score >= SIMILAR and _riders(text) <= riders else ""


def _comment(text: str) -> str:
    """`text` as the header of a Python file."""
    return "# " + " ".join(text.split())


def _dice(one: Counter[str], other: Counter[str]) -> float:
    total = one.total() + other.total()
    return 2 * (one & other).total() / total if total else 0.0


# --- headers of single files ---------------------------------------------------------------------

_TAG = re.compile(r"SPDX-License-Identifier:\s*([^\n]*)")
_ASSIGNED = re.compile(r"^__licen[sc]e__\s*=\s*[rub]*(['\"]+)(.{1,80}?)\1", re.MULTILINE)
_HEADER_CHARACTERS = 8000

_NOTICES = (
    (
        re.compile(r"GNU\s+Affero\s+General\s+Public\s+Licen[sc]e|\bAGPL[- ]?v?3", re.I),
        "AGPL",
        "3.0",
    ),
    (
        re.compile(
            r"GNU\s+(?:Lesser|Library)\s+(?:General\s+)?Public\s+Licen[sc]e|\bLGPL[- ]?v?[23]", re.I
        ),
        "LGPL",
        "2.1",
    ),
    (
        re.compile(
            r"GNU\s+(?:General\s+)?Public\s+Licen[sc]e|\bGPL[- ]?v?[23]"
            r"|licen[sc]ed?\s+under\s+(?:the\s+)?(?:terms\s+of\s+)?(?:the\s+)?(?:GNU\s+)?GPL",
            re.I,
        ),
        "GPL",
        "2.0",
    ),
)
_OTHERS = (
    (re.compile(r"Mozilla\s+Public\s+Licen[sc]e|\bMPL[- ]?2\.0", re.I), "MPL-2.0"),
    (re.compile(r"Eclipse\s+Public\s+Licen[sc]e", re.I), "EPL-2.0"),
    (re.compile(r"\bCC[- ]BY[- ]NC|Attribution-Non-?Commercial", re.I), "CC-BY-NC-4.0"),
    (
        re.compile(
            r"proprietary\s+and\s+confidential|confidential\s+and\s+proprietary"
            r"|unauthori[sz]ed\s+(?:copying|use|reproduction|distribution)"
            r"|(?:is|are)\s+(?:the\s+)?(?:proprietary|confidential)\b"
            r"|for\s+non-?\s?commercial\s+(?:use|purposes)(?:\s+only)?"
            r"|may\s+not\s+be\s+(?:copied|reproduced|redistributed)\b",
            re.I,
        ),
        PROPRIETARY,
    ),
)
_HINTS = (
    *("gpl", "gnu ", "mozilla", "mpl", "eclipse", "cc-by", "cc by", "commercial"),
    *("proprietary", "confidential", "unauthori", "may not be"),
)
_VERSION = re.compile(r"version\s+(\d)(?:\.(\d))?|GPL[- ]?v?(\d)(?:\.(\d))?", re.I)
_LATER = re.compile(
    r"or\s+(?:\(?at\s+your\s+option\)?,?\s+)?any\s+later\s+version|or\s+later"
    r"|GPL[- ]?v?\d(?:\.\d)?\+",
    re.I,
)


def header_licence(text: str) -> str:
    """The licence that a Python file gives itself, if it asks for more than a notice.

    Looked at are the comments before the first statement and the module's docstring (never other
    strings, so that a tool that writes licence headers is not taken for one that has one), and
    ``__license__``. An ``SPDX-License-Identifier`` decides, whatever prose stands beside it.

    Returns:
        An SPDX expression for which `is_permissive` is False: of the GNU family, ``MPL-2.0``,
        ``EPL-2.0``, ``CC-BY-NC-4.0``, what a tag says, or `PROPRIETARY`; "" if there is none.
    """
    header = _header(text)
    tag = _TAG.search(header)
    if tag:
        said = tag[1].strip().strip("*#-/'\"").strip()
        expression = normalise(said) or said
        return "" if not expression or is_permissive(expression) else expression
    assigned = _ASSIGNED.search(text) if "\n__licen" in text or text[:7] == "__licen" else None
    if assigned:
        expression = normalise(assigned[2])
        if expression:
            return "" if is_permissive(expression) else expression
        header += f"\nlicensed under {assigned[2]}"
    prose = " ".join(re.sub(r"^[ \t]*#+", " ", header, flags=re.MULTILINE).split())
    lowered = prose.lower()
    if not any(word in lowered for word in _HINTS):
        return ""  # most files, and much faster than the patterns
    for pattern, family, usual in _NOTICES:
        match = pattern.search(prose)
        if match:
            near = prose[match.start() : match.end() + 400]
            return (
                f"{family}-{_version(near, usual)}-{'or-later' if _LATER.search(near) else 'only'}"
            )
    return next((name for pattern, name in _OTHERS if pattern.search(prose)), "")


def _version(near: str, usual: str) -> str:
    match = _VERSION.search(near)
    if match is None:
        return usual
    return f"{match[1] or match[3]}.{match[2] or match[4] or '0'}"


_STRING = re.compile(r"[rRuU]?(\"\"\"|'''|\"|')(.*?)\1", re.DOTALL)


def _header(text: str) -> str:
    """Comments before the first statement, and the docstring with what stands around it."""
    text = text[: 4 * _HEADER_CHARACTERS]
    kept: list[str] = []
    place = 0
    docstring = False
    while place < len(text) and place < _HEADER_CHARACTERS:
        end = text.find("\n", place)
        end = len(text) if end < 0 else end
        line = text[place:end].strip()
        if line and not line.startswith("#"):
            match = None if docstring else _STRING.match(text, place)
            if match is None:
                break
            docstring = True
            kept.append(match[2])
            place = match.end()
            continue
        kept.append(line)
        place = end + 1
    return "\n".join(kept)
