"""Filters on what a text is made of: data, or a notebook turned into a script."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from typing import ClassVar

from ..runs import Run

_LITERAL = (
    r"[bBrRuU]{0,2}'(?:\\.|[^'\\\n])*+'"
    r'|[bBrRuU]{0,2}"(?:\\.|[^"\\\n])*+"'
    r"|0[xX][\da-fA-F_]++[lL]?|\d[\d_.]*+(?:[eE][-+]?\d++)?[jJlL]?|\.\d++|None|True|False"
)
# A line that holds literals, brackets, separators and a comment, and not a single name.
_DATA_LINE = re.compile(
    rf"^[ \t]*+(?!\"\"\"|''')(?:(?:{_LITERAL})|[\[\](){{}},:\\ \t+*-])++(?:#[^\n]*+)?$",
    re.M,
)
# A line that `_DATA_LINE` surely does not take, by what it begins with: a name, a comment, ....
_OTHER_LINE = re.compile(
    r"^[ \t]*+(?:(?![bBrRuU]{1,2}['\"]|None|True|False)[A-Za-z_@#=/<>|&%^~!;$?`]|\"\"\"|\'\'\')"
    r"[^\n]*+",
    re.M,
)
_BLOB = re.compile(r"(?:[A-Za-z0-9+/]{60,}+=*|(?:\\x[0-9a-fA-F]{2}){8,}|(?:\\u[0-9a-fA-F]{4}){8,})")
_BASE64 = Run(f"{string.ascii_letters}{string.digits}+/".encode(), 60)


@dataclass(frozen=True)
class DataLike:
    """Tables and blobs that happen to be written in Python: character maps, fonts, word lists.

    A line is data if it holds literals and no name; a blob is a run of base64, hexadecimal or
    escaped characters.

    Attributes:
        lines: share of the characters that stand in lines of data, at most. Set by reading what a
            corpus of known projects loses: above 0.85 stand character maps, word lists and
            measured values; below it tests with expected responses and settings.
        blobs: share of the characters that stand in blobs, at most (the Stack v2's filter on
            encoded data, Lozhkov et al. 2024).
        minimum: characters of a file to which the filter applies.
    """

    name: ClassVar[str] = "data"
    lines: float = 0.85
    blobs: float = 0.5
    minimum: int = 2000

    def __call__(self, text: str, path: str = "") -> bool:
        """See `Filter`."""
        if len(text) < self.minimum:
            return False
        # what escapes take up at most; the search for blobs is slow
        escaped = 4 * text.count("\\x") + 6 * text.count("\\u") if "\\" in text else 0
        if escaped > self.blobs * len(text) or _BASE64.within(text):
            in_blobs = sum(map(len, _BLOB.findall(text)))
            if in_blobs > self.blobs * len(text):
                return True
        most = self.lines * len(text)
        left = len(text) + 1  # characters, line feeds included, of lines that may be data
        for line in _OTHER_LINE.finditer(text):
            left -= line.end() - line.start() + 1
            if left <= most:
                return False
        in_lines = sum(len(line) + 1 for line in _DATA_LINE.findall(text))
        return in_lines > most


_CELL = re.compile(
    r"^# In ?\[[\d ]*\]:[ \t]*$"
    r"|^[ \t]*get_ipython\(\)\.(?:run_line_magic|run_cell_magic|magic|system|getoutput)\("
    r"|^# To add a new (?:markdown )?cell, type '# %%",
    re.M,
)


@dataclass(frozen=True)
class NotebookExport:
    """Scripts that nbconvert or an editor made of a notebook, cell marks and magic left in.

    Scripts that are written in ``# %%`` cells stay: they are sources.

    Attributes:
        marks: cell marks and magic calls from which on a file goes. One may be quoted, and IPython
            itself calls its magic in places; exports have one mark for each cell.
        density: marks per line, at least: what calls magic here and there stays.
    """

    name: ClassVar[str] = "notebook export"
    marks: int = 3
    density: float = 0.02

    def __call__(self, text: str, path: str = "") -> bool:
        """See `Filter`."""
        if "# In" not in text and "get_ipython()" not in text:
            return False
        found = len(_CELL.findall(text))
        return found >= self.marks and found >= self.density * (text.count("\n") + 1)
