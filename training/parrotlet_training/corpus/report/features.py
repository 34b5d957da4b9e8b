"""What one text shows: imports, syntax in use, prose for readers, line lengths."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_PROSE = 2_000
"""Characters of prose that are looked at per file; more would not change its language."""


@dataclass(frozen=True)
class Features:
    """What one text shows.

    Attributes:
        parses: whether this Python reads it.
        python2: whether it does not, and holds a ``print`` or ``exec`` statement of Python 2.
        imports: top-level modules, relative imports left out.
        syntax: constructs in use, named as in `SYNTAX`.
        prose: comments and docstrings, code and notices of a licence left out.
        line_lengths: in characters, blank lines left out.
    """

    parses: bool
    python2: bool
    imports: frozenset[str]
    syntax: frozenset[str]
    prose: str
    line_lengths: list[int]


SYNTAX = (
    "docstrings",
    "classes",
    "f-strings",
    "type hints",
    "decorators",
    "comprehensions",
    "print calls",
    "async",
    "dataclasses",
    "lambda",
    "yield",
    "assignment expressions",
    "match statements",
)
"""Names in `Features.syntax`."""

_PYTHON2 = re.compile(
    r"^[ \t]*(?:print[ \t]+[\"'\w%]|print[ \t]*$|exec[ \t]+[\"'\w])"
    r"|^[ \t]*except[ \t]+[\w.]+[ \t]*,[ \t]*\w+:"
    r"|^[ \t]*raise[ \t]+\w+,",
    re.MULTILINE,
)
_NOTICE = re.compile(r"(?i)copyright|licen[cs]e|all rights reserved|spdx|warranty")
_MARKUP = re.compile(r"https?://\S+|:\w+:`[^`]*`|``[^`]*``|[-=*#~_]{3,}")


def inspect_text(text: str) -> Features:
    """Looks at one file; never fails."""
    lines = text.split("\n")
    lengths = [len(line) for line in lines if line and not line.isspace()]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a file's own author would be told
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        python2 = _PYTHON2.search(text) is not None
        return Features(False, python2, frozenset(), frozenset(), "", lengths)
    visitor = _Visitor()
    visitor.look(tree)
    prose = visitor.docstrings + _comments(lines, visitor.string_lines)
    return Features(
        True,
        False,
        frozenset(visitor.imports),
        frozenset(visitor.syntax),
        _readable("\n\n".join(prose)),
        lengths,
    )


class _Visitor:
    """One walk over the tree, without recursion, since real files nest deeply."""

    def __init__(self) -> None:
        self.imports: set[str] = set()
        self.syntax: set[str] = set()
        self.docstrings: list[str] = []
        self.string_lines: set[int] = set()  # that begin inside a string

    def look(self, tree: ast.Module) -> None:
        """Fills the sets from all nodes of `tree`."""
        stack: list[ast.AST] = [tree]
        while stack:
            node = stack.pop()
            name = _BY_NODE.get(type(node))
            if name is not None:
                self.syntax.add(name)
            look = _LOOKS.get(type(node))
            if look is not None:
                look(self, node)
            for field in node._fields:
                if field in _DULL:
                    continue
                value = getattr(node, field, None)
                if isinstance(value, list):
                    stack.extend(item for item in value if isinstance(item, ast.AST))
                elif isinstance(value, ast.AST):
                    stack.append(value)

    def _string(self, node: Any) -> None:
        if node.end_lineno > node.lineno:
            self.string_lines.update(range(node.lineno + 1, node.end_lineno + 1))

    def _import(self, node: Any) -> None:
        self.imports.update(alias.name.split(".")[0] for alias in node.names)

    def _import_from(self, node: Any) -> None:
        if node.module and not node.level:
            self.imports.add(node.module.split(".")[0])
            if node.module == "dataclasses":
                self.syntax.add("dataclasses")

    def _call(self, node: Any) -> None:
        if isinstance(node.func, ast.Name) and node.func.id == "print":
            self.syntax.add("print calls")

    def _argument(self, node: Any) -> None:
        if node.annotation is not None:
            self.syntax.add("type hints")

    def _module(self, node: Any) -> None:
        docstring = ast.get_docstring(node)
        if docstring:
            self.docstrings.append(docstring)
            self.syntax.add("docstrings")

    def _class(self, node: Any) -> None:
        self._module(node)
        if node.decorator_list:
            self.syntax.add("decorators")

    def _function(self, node: Any) -> None:
        self._class(node)
        if node.returns is not None:
            self.syntax.add("type hints")


_DULL = frozenset({"ctx", "op", "ops"})
"""Fields whose nodes say nothing: load or store, and operators."""

_LOOKS: dict[type[ast.AST], Callable[[_Visitor, Any], None]] = {
    ast.AsyncFunctionDef: _Visitor._function,
    ast.Call: _Visitor._call,
    ast.ClassDef: _Visitor._class,
    ast.Constant: _Visitor._string,
    ast.FunctionDef: _Visitor._function,
    ast.Import: _Visitor._import,
    ast.ImportFrom: _Visitor._import_from,
    ast.JoinedStr: _Visitor._string,
    ast.Module: _Visitor._module,
    ast.arg: _Visitor._argument,
}

_BY_NODE: dict[type[ast.AST], str] = {
    ast.AnnAssign: "type hints",
    ast.AsyncFor: "async",
    ast.AsyncFunctionDef: "async",
    ast.AsyncWith: "async",
    ast.Await: "async",
    ast.ClassDef: "classes",
    ast.DictComp: "comprehensions",
    ast.GeneratorExp: "comprehensions",
    ast.JoinedStr: "f-strings",
    ast.Lambda: "lambda",
    ast.ListComp: "comprehensions",
    ast.Match: "match statements",
    ast.NamedExpr: "assignment expressions",
    ast.SetComp: "comprehensions",
    ast.Yield: "yield",
    ast.YieldFrom: "yield",
}


def _comments(lines: list[str], string_lines: set[int]) -> list[str]:
    """Blocks of whole-line comments."""
    blocks: list[list[str]] = [[]]
    for number, line in enumerate(lines, 1):
        stripped = line.strip()
        if stripped.startswith("#") and number not in string_lines:
            blocks[-1].append(stripped.lstrip("#!: "))
        elif blocks[-1]:
            blocks.append([])
    return ["\n".join(block) for block in blocks if block]


def _readable(text: str) -> str:
    """Sentences of `text`: without notices, doctests, markup and lines that look like code."""
    kept: list[str] = []
    length = 0
    for block in text.split("\n\n"):
        if _NOTICE.search(block):
            continue
        for line in block.split("\n"):
            line = _MARKUP.sub(" ", line).strip()
            letters = sum(map(str.isalpha, line))
            if line.startswith((">>>", "...", "@", ":param", ":type", "-*-")) or letters < 10:
                continue
            if letters + line.count(" ") < 0.85 * len(line):
                continue
            kept.append(line)
            length += len(line) + 1
            if length > MAX_PROSE:
                return "\n".join(kept)
    return "\n".join(kept)
