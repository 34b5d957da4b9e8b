"""The cells of a notebook as plain Python: without what only IPython understands."""

from __future__ import annotations

import re
from functools import lru_cache

from parrotlet_server.engine.scan import Scanner, without_comment

from .lines import split_lines

_PYTHON_CELLS = frozenset(
    ["capture", "debug", "prun", "px", "py", "pypy", "python", "python3", "time", "timeit"]
)
"""Cell magics whose cell is Python, IPython's own (``%lsmagic``) and ipyparallel's."""

_CELL_MAGIC = re.compile(r"\s*%%(\S*)")

_LINE = re.compile(
    r"""
      [ \t]*[%!?]               # %matplotlib inline, !pip install, ?help
    | [\w., \t]+=[ \t]*[%!](?!=)  # files = !ls
    | [^\#\n"']*[\w.)\]*]\?\??[ \t]*$   # frame.head?
    """,
    re.VERBOSE,
)
_MAYBE = re.compile("[%!?]")


def is_foreign(cell: str) -> bool:
    """Whether the cell is of another language, as one that begins with ``%%bash``."""
    match = _CELL_MAGIC.match(cell)
    return match is not None and match.group(1) not in _PYTHON_CELLS


def without_magics(text: str) -> str:
    """`text`, lines ended by ``\\n``, without the lines that are IPython's alone.

    One that is indented leaves a ``pass``, so that its block is not empty.
    """
    if not _MAYBE.search(text):
        return text  # spares the scan of nearly all cells
    kept: list[str] = []
    scanner = Scanner()
    goes_on = False
    for line in split_lines(text):
        inside = bool(scanner.quote or scanner.brackets or goes_on)
        if not inside and _LINE.match(line.rstrip("\n")):
            indentation = line[: len(line) - len(line.lstrip(" \t"))]
            if indentation:
                kept.append(f"{indentation}pass\n")
            continue
        scanner.feed(line)
        goes_on = line.endswith("\\\n")
        kept.append(line)
    return "".join(kept)


@lru_cache(maxsize=512)
def as_context(cell: str) -> str:
    """The cell as text that other code may follow; "" for one that is nothing of the kind.

    That is one of another language, and one that ends inside a string, a bracket or before the
    block that it opens: what follows would be read as a part of it.
    """
    if is_foreign(cell):
        return ""
    text = without_magics(cell).strip("\n")
    scanner = Scanner()
    scanner.feed(text)
    code = (without_comment(line) for line in reversed(text.split("\n")))
    last = next((line for line in code if line), "")
    if scanner.quote or scanner.brackets or last.endswith((":", "\\")):
        return ""
    return text
