"""What is wrong with a suggestion that is not the rest of the line, by kind."""

from __future__ import annotations

import keyword
import re
from typing import Literal

Kind = Literal[
    "right",
    "nothing suggested",
    "stops too early",
    "goes on too long",
    "wrong end of a word",
    "wrong attribute",
    "wrong name",
    "wrong keyword argument",
    "wrong literal",
    "another expression",
    "another statement",
]

_TOKEN = re.compile(
    r"""
    (?P<string>(?i:[rbuf]{0,2})(?:'[^'\n]*'?|"[^"\n]*"?))
    |(?P<name>[^\W\d]\w*)
    |(?P<number>\d[\w.]*)
    |(?P<sign>\S)
    """,
    re.VERBOSE,
)
_WORD_AT_END = re.compile(r"\w+\Z")
_WORD_AT_START = re.compile(r"\w+")


def mistake(before: str, wanted: str, suggested: str) -> Kind:
    """The kind of the first thing that is wrong.

    Args:
        before: the line up to the cursor.
        wanted: the rest of the line, without white space at its end.
        suggested: what was suggested instead; "" where nothing was.
    """
    if suggested == wanted:
        return "right"
    if not suggested.strip():
        return "nothing suggested"
    if wanted.startswith(suggested):
        return "stops too early"
    if suggested.startswith(wanted):
        return "goes on too long"
    if _WORD_AT_END.search(before) and _first_word(wanted) != _first_word(suggested):
        return "wrong end of a word"
    if not before.strip() and _opening(wanted) != _opening(suggested):
        return "another statement"
    return _first_difference(before, wanted, suggested)


def _first_difference(before: str, wanted: str, suggested: str) -> Kind:
    ours, theirs = _tokens(wanted), _tokens(suggested)
    at = next(
        (at for at, (one, two) in enumerate(zip(ours, theirs, strict=False)) if one != two),
        min(len(ours), len(theirs)),
    )
    if at >= len(ours) or at >= len(theirs):
        # the same tokens, but spaced otherwise, or one goes on where the other ends
        return "another expression" if len(ours) != len(theirs) else "wrong literal"
    (kind, text), (other, _) = ours[at], theirs[at]
    if kind != other:
        return "another expression"
    if kind in ("string", "number"):
        return "wrong literal"
    if kind == "name":
        previous = ours[at - 1][1] if at else before.rstrip()[-1:]
        if previous == ".":
            return "wrong attribute"
        if previous in ("(", ",") and _assigns(ours, at):
            return "wrong keyword argument"
        return "another expression" if keyword.iskeyword(text) else "wrong name"
    return "another expression"


def _assigns(tokens: list[tuple[str, str]], at: int) -> bool:
    """Whether the name there is that of a keyword argument."""
    after = [text for _, text in tokens[at + 1 : at + 3]]
    return after[:1] == ["="] and after[1:] != ["="]


def _tokens(text: str) -> list[tuple[str, str]]:
    return [(match.lastgroup or "", match[0]) for match in _TOKEN.finditer(text)]


def _first_word(text: str) -> str:
    match = _WORD_AT_START.match(text)
    return match[0] if match else ""


def _opening(text: str) -> str:
    """What kind of statement `text` begins: its keyword, or the signs after its first name."""
    tokens = _tokens(text)
    first = tokens[0] if tokens else ("", "")
    if first[0] != "name" or keyword.iskeyword(first[1]):
        return first[1] if first[0] != "string" else "string"
    following = next((word for _, word in tokens[1:2]), "")
    if following == ".":  # a method's call, or an attribute that is set
        following = next((word for _, word in tokens[3:4]), "")
    return "call" if following == "(" else "other"
