"""What is wrong with a suggestion that is not the rest of the line, by kind."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
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
    "other spacing",
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


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int


def mistake(before: str, wanted: str, suggested: str) -> Kind:
    """The kind of the first token that is wrong.

    Args:
        before: the line up to the cursor. A string that begins on an earlier line is not seen.
        wanted: the rest of the line, without white space at its end.
        suggested: what was suggested instead; "" where nothing was.
    """
    if suggested == wanted:
        return "right"
    if not suggested.strip():
        return "nothing suggested"
    ours, theirs = _tokens(before + wanted), _tokens(before + suggested)
    at = 0
    while at < min(len(ours), len(theirs)) and ours[at].text == theirs[at].text:
        at += 1
    if at == len(theirs):
        return "other spacing" if at == len(ours) else "stops too early"
    if at == len(ours):
        return "goes on too long"
    token = ours[at]
    if token.start < len(before):
        return _within(token, wanted, suggested)
    if not before.strip() and _opening(ours) != _opening(theirs):
        return "another statement"
    return _difference(ours, theirs, at)


def _within(token: _Token, wanted: str, suggested: str) -> Kind:
    """What is wrong with the token that the cursor stands in."""
    if token.kind == "name":
        return "wrong end of a word"
    if token.kind == "string" and wanted.startswith(suggested):
        return "stops too early"
    if token.kind == "string" and suggested.startswith(wanted):
        return "goes on too long"
    return "wrong literal"


def _difference(ours: list[_Token], theirs: list[_Token], at: int) -> Kind:
    one, other = ours[at], theirs[at]
    if one.kind != other.kind or one.kind == "sign":
        return "another expression"
    if one.kind in ("string", "number"):
        return "wrong literal"
    previous = ours[at - 1].text if at else ""
    if previous == ".":
        return "wrong attribute"
    if keyword.iskeyword(one.text) or keyword.iskeyword(other.text):
        return "another expression"
    if previous in ("(", ",") and _assigns(ours, at):
        return "wrong keyword argument"
    return "wrong name"


def _assigns(tokens: list[_Token], at: int) -> bool:
    """Whether the name there is that of a keyword argument of a call."""
    after = [token.text for token in tokens[at + 1 : at + 3]]
    is_definition = any(token.text in ("def", "lambda") for token in tokens[:at])
    return after[:1] == ["="] and after[1:] != ["="] and not is_definition


def _tokens(text: str) -> list[_Token]:
    return [
        _Token(match.lastgroup or "", match[0], match.start()) for match in _TOKEN.finditer(text)
    ]


def _opening(tokens: list[_Token]) -> str:
    """What kind of statement begins: its keyword, or the signs after its first name."""
    first = tokens[0] if tokens else _Token("", "", 0)
    if first.kind != "name" or keyword.iskeyword(first.text):
        return first.text if first.kind != "string" else "string"
    following = next((token.text for token in tokens[1:2]), "")
    if following == ".":  # a method's call, or an attribute that is set
        following = next((token.text for token in tokens[3:4]), "")
    return "call" if following == "(" else "other"
