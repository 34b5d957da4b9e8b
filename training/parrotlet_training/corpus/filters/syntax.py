"""Filters on whether a text is Python 3, with what Python 2 wrote counted apart.

The running interpreter's own parser decides. Type parameters (Python 3.12) and exceptions without
brackets (3.14) are allowed for on any; other syntax newer than the interpreter is not.
The parser is run for the tree alone, not for byte code: on 3.11 the tree builder guards its depth
where the byte-code compiler overflows the C stack (a comprehension of 150,000 loops).
"""

from __future__ import annotations

import ast
import enum
import re
import symtable
import sys
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar


class Syntax(enum.Enum):
    """What the parser makes of a text."""

    PYTHON_3 = enum.auto()
    PYTHON_2 = enum.auto()
    BROKEN = enum.auto()
    TOO_DEEP = enum.auto()


@lru_cache(maxsize=1)  # three filters ask the same of the same text
def syntax(text: str) -> Syntax:
    """Parses `text`; prints no warning and raises nothing."""
    found = _parse(text)
    if found is Syntax.BROKEN:
        if _parse(_without_newer_syntax(text)) is Syntax.PYTHON_3:
            return Syntax.PYTHON_3
        if _is_python_2(text):
            return Syntax.PYTHON_2
    return found


# From 3.14 on `except A, e:` parses, as Python 2 wrote it; see `_without_newer_syntax`.
_GRAMMAR = min(sys.version_info[:2], (3, 13))


# The symbol table is made of the parser's tree without a Python object for each of its nodes, in
# little more than half the time; it knows no older grammar.
_TABLE_IS_ENOUGH = sys.version_info[:2] == _GRAMMAR


def _parse(text: str) -> Syntax:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if _TABLE_IS_ENOUGH and _has_symbol_table(text):
                return Syntax.PYTHON_3
            ast.parse(text, feature_version=_GRAMMAR)
    except (RecursionError, MemoryError):
        return Syntax.TOO_DEEP
    except TabError:  # tabs and spaces mixed as only Python 2 takes them
        return Syntax.PYTHON_2
    except (SyntaxError, ValueError):  # ValueError: NUL characters, lone surrogates
        return Syntax.BROKEN
    return Syntax.PYTHON_3


def _has_symbol_table(text: str) -> bool:
    """False also for what parses and is wrong otherwise (``global x`` after the use of x)."""
    try:
        symtable.symtable(text, "<unknown>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


_TYPE_PARAMETERS = re.compile(
    r"^([ \t]*(?:class|(?:async[ \t]+)?def|type)[ \t]+\w+)\[(?:[^\[\]]|\[[^\[\]]*\])*+\]", re.M
)
_TYPE_STATEMENT = re.compile(r"^([ \t]*)type[ \t]+(\w+[ \t]*=)", re.M)


# The second is a class, not the variable of Python 2: a capital or a dotted name.
_EXCEPT = re.compile(
    r"^([ \t]*except\*?[ \t]+)([\w.]+(?:[ \t]*,[ \t]*(?:\w+\.[\w.]*|[A-Z])\w*)+)[ \t]*:", re.M
)


def _without_newer_syntax(text: str) -> str:
    """`text` with newer syntax made plain, for the parser's eyes alone.

    Type parameters and ``type`` statements go (PEP 695, 3.12); exceptions get their brackets
    (PEP 758, 3.14).
    """
    text = _TYPE_STATEMENT.sub(r"\1\2", _TYPE_PARAMETERS.sub(r"\1", text))
    return _EXCEPT.sub(r"\1(\2):", text)


_STRING_OR_COMMENT = re.compile(
    r"#[^\n]*+|([bBrRuU]{0,2})(?:'''(?:\\.|[^\\])*?'''|\"\"\"(?:\\.|[^\\])*?\"\"\""
    r"|'(?:\\.|[^'\\\n])*+'|\"(?:\\.|[^\"\\\n])*+\")",
    re.S,
)
# Applied to code whose strings are emptied and whose comments are gone.
_PYTHON_2 = re.compile(
    r"(?:^|[:;])[ \t]*print[ \t]*(?:>>|\"|[ \t](?!(?:in|is|and|or|if|for|else)\b)[\w{~-])"
    r"|^[ \t]*except[ \t]*(?:\([^()]*\)|[ \t][\w.]+)[ \t]*,[ \t]*[\w.]+[ \t]*:"
    r"|(?:^|[:;])[ \t]*raise[ \t]+[\w.]+[ \t]*,"
    r"|(?:^|[:;])[ \t]*exec[ \t]*(?:\"|[ \t]\w)"
    r"|`|<>"
    r"|\b(?:0[0-7]*[1-7][0-7]*|(?:0[xX][\da-fA-F]+|\d+)[lL])\b(?![.eEjJ])"
    r"|\b[uU][rR]\""
    r"|\bdef[ \t]+\w+[ \t]*\((?:[^()]*,)?\s*\("
    r"|\blambda[ \t]*\(",
    re.M,
)


def _is_python_2(text: str) -> bool:
    """Whether code that Python 3 refuses has a construct that Python 2 alone takes."""
    code = _STRING_OR_COMMENT.sub(
        lambda match: "" if match[0].startswith("#") else f'{match[1]}""', text
    )
    return _PYTHON_2.search(code) is not None


@dataclass(frozen=True)
class Python2:
    """Files that do not parse and hold what Python 2 alone takes: ``print x``, ``except A, e``."""

    name: ClassVar[str] = "python 2"

    def __call__(self, text: str, path: str = "") -> bool:
        """See `Filter`."""
        return syntax(text) is Syntax.PYTHON_2


@dataclass(frozen=True)
class TooDeep:
    """Files that nest so deeply that the parser gives up: made by a program or by malice."""

    name: ClassVar[str] = "too deep"

    def __call__(self, text: str, path: str = "") -> bool:
        """See `Filter`."""
        return syntax(text) is Syntax.TOO_DEEP


@dataclass(frozen=True)
class NotPython3:
    """Files that do not parse, as templates, fragments and tests of parsers do not."""

    name: ClassVar[str] = "not python 3"

    def __call__(self, text: str, path: str = "") -> bool:
        """See `Filter`."""
        return syntax(text) is Syntax.BROKEN
