"""Which licences allow their code to be learnt from."""

from __future__ import annotations

import re

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
    "mit": "MIT",
    "mit license": "MIT",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache-2.0": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "bsd-2-clause": "BSD-2-Clause",
    "isc": "ISC",
    "psf": "PSF-2.0",
}


def is_permissive(expression: str) -> bool:
    """Whether an SPDX expression can be satisfied by permissive licences alone.

    ``OR`` needs one permissive side, ``AND`` both; brackets are not understood and refuse.
    """
    if not expression or "(" in expression:
        return False
    return any(
        all(part.strip() in PERMISSIVE for part in re.split(r"\s+AND\s+", choice))
        for choice in re.split(r"\s+OR\s+", expression)
    )


def from_metadata(expression: str | None, classifiers: list[str], free_text: str | None) -> str:
    """SPDX expression of a distribution's metadata (PEP 639, or older fields); "" if unknown."""
    if expression:
        return expression.strip()
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
    return _LOOSE.get((free_text or "").strip().lower(), "")
