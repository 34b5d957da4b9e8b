"""A light scanner for Python text: brackets, strings and comments, nothing more.

It starts anywhere in a text and never fails, so it works on the half-written lines that the
tokenizer of the standard library refuses.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

Region = Literal["code", "comment", "string"]

CLOSER = {"(": ")", "[": "]", "{": "}"}
_TRIPLE = ('"""', "'''")
_SIGN = re.compile(r"""[()\[\]{},#"']""")
_INSIDE = re.compile(r"""[\\\n"']""")
TAB = 8


@dataclass(frozen=True)
class Closed:
    """A closing bracket or quote whose opening stands before the scanned text.

    Attributes:
        start: its place in the text.
        text: the bracket or quote, one character or three.
    """

    start: int
    text: str


@dataclass
class Scanner:
    """The brackets and the string that are open after the text scanned so far.

    Attributes:
        brackets: the closers of open brackets, the innermost last.
        quote: what ends the open string; "" outside strings.
        comment: whether the text ends in a comment.
        loose: in the text fed last, where the first thing begins that it opens and leaves open.
        commas: in the text fed last, where commas stand outside what it opens.
        wrong: in the text fed last, where the first bracket closes what is not open innermost.
    """

    brackets: list[str] = field(default_factory=list)
    quote: str = ""
    comment: bool = False
    loose: int | None = None
    commas: list[int] = field(default_factory=list)
    wrong: int | None = None

    def feed(self, text: str) -> list[Closed]:
        """Scans `text` as the continuation; gives what closes something from before it."""
        outside: list[Closed] = []
        own: list[tuple[int, str]] = []  # opened in this text and still open: place, closer
        own_text: int | None = None  # where this text's string or comment begins
        self.commas, self.wrong = [], None
        at = 0
        while True:
            if self.comment:
                at = text.find("\n", at)
                if at < 0:
                    break
            else:
                found = (_INSIDE if self.quote else _SIGN).search(text, at)
                if found is None:
                    break
                at = found.start()
            sign = text[at]
            width = 1
            if self.comment:
                self.comment, own_text = False, None
            elif self.quote:
                if sign == "\\":
                    width = 2
                elif text.startswith(self.quote, at):
                    width = len(self.quote)
                    if own_text is None:
                        outside.append(Closed(at, self.quote))
                    self.quote, own_text = "", None
                elif sign == "\n" and len(self.quote) == 1:
                    self.quote, own_text = "", None  # never closed: it ends with its line
            elif sign == "#":
                self.comment, own_text = True, at
            elif sign in "\"'":
                self.quote = text[at : at + 3] if text[at : at + 3] in _TRIPLE else sign
                width = len(self.quote)
                own_text = at
            elif sign in CLOSER:
                own.append((at, CLOSER[sign]))
            elif sign == "," and not own:
                self.commas.append(at)
            elif sign in ")]}":
                innermost = own[-1][1] if own else self.brackets[-1] if self.brackets else ""
                if innermost != sign and self.wrong is None:
                    self.wrong = at
                if not own:
                    outside.append(Closed(at, sign))
                if innermost == sign:
                    (own or self.brackets).pop()
            at += width
        self.brackets += [closer for _, closer in own]
        open_places = [place for place, _ in own[:1]] + ([] if own_text is None else [own_text])
        self.loose = min(open_places, default=None)
        return outside


_LITERAL = re.compile(
    r"""
      \#[^\n]*
    | \"""(?:[^"\\]++|\\(?:.|\Z)|"(?!""))*+(?P<end1>\"""|\Z)
    | '''(?:[^'\\]++|\\(?:.|\Z)|'(?!''))*+(?P<end2>'''|\Z)
    | "(?:[^"\\\n]++|\\(?:.|\Z))*+(?P<end3>["\n]|\Z)
    | '(?:[^'\\\n]++|\\(?:.|\Z))*+(?P<end4>['\n]|\Z)
    """,
    re.DOTALL | re.VERBOSE,
)
_DOUBLED = re.compile(r"\{\{|\}\}")


def region(text: str) -> Region:
    """What the end of `text` stands in; a replacement field of an f-string is code.

    It takes some milliseconds per million characters, so that whole files can be given: what a
    triple quote means depends on all text before it.
    """
    last = deque(_LITERAL.finditer(text), maxlen=1)
    match = last[0] if last else None
    if match is None or match.end() < len(text):
        return "code"
    if match.group().startswith("#"):
        return "comment"
    if any(match.group("end1", "end2", "end3", "end4")):
        return "code"
    letters = text[max(0, match.start() - 2) : match.start()].lower()
    if "f" in letters or "t" in letters:
        inside = _DOUBLED.sub("", match.group())
        if inside.count("{") > inside.count("}"):
            return "code"
    return "string"


def without_comment(line: str) -> str:
    """`line` up to its comment, without trailing blanks."""
    at = 0
    scanner = Scanner()
    while (sign := line.find("#", at)) >= 0:
        scanner.feed(line[at:sign])
        if not scanner.quote:
            return line[:sign].rstrip()
        scanner.feed("#")
        at = sign + 1
    return line.rstrip()


def indentation(line: str) -> int:
    """Columns of white space that `line` begins with, tabs to the next multiple of 8."""
    blank = line[: len(line) - len(line.lstrip(" \t\f"))]
    return len(blank.expandtabs(TAB))
