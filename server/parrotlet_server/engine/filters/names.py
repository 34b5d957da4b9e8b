"""Names in a suggestion that exist nowhere around it: most likely the model made them up."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Container

from ..place import Place

PENALTY = 1.0
"""Taken off a suggestion's score, the mean log-probability, if it holds such a name."""

_NAME = re.compile(r"[^\W\d]\w*")
_LITERAL = re.compile(r""""[^"\n]*"|'[^'\n]*'|#.*""")
_BINDS = re.compile(r"\s*(?:async\s+def|def|class|import|from)\b")
_KNOWN = frozenset(
    [*keyword.kwlist, *keyword.softkwlist, *dir(builtins), "self", "cls", "args", "kwargs"]
)


def names_in(text: str) -> set[str]:
    """All that looks like a name in `text`, which may be anything."""
    return set(_NAME.findall(text))


def has_unknown_name(place: Place, text: str, known: Container[str] = ()) -> bool:
    """Whether the first line of `text` uses a name that stands nowhere near the cursor.

    Names of the text on both sides and of `known` count as known, attributes and those of imports
    among them. A line that defines or imports something brings new names by right, and comments and
    strings hold words, not names.
    """
    if place.region != "code":
        return False
    before = "" if text.startswith("\n") else place.line
    first = (before + text.lstrip("\n").split("\n", 1)[0]).rstrip()
    if _BINDS.match(first):
        return False
    code = _LITERAL.sub("", first)
    # the cursor's place in what is left: names that begin before it may go on behind it
    typed = len(_LITERAL.sub("", before))
    names = {match.group() for match in _NAME.finditer(code) if match.end() > typed} - _KNOWN
    if not names:
        return False
    names -= names_in("\n".join([*place.above, place.line, *place.below]))
    return any(name not in known for name in names)
