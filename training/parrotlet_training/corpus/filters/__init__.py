"""What is no Python worth learning from: small filters with thresholds, each counted by name.

`default_filters` gives those that are on by default and `filters_from` what a recipe asks for. The
defaults leave out what is no Python code of today (generated, data, exported, Python 2, broken).
What rates style is available and off, since heavy filtering hurts a code model (SantaCoder, Ben
Allal et al. 2023: keeping only starred repositories made the model clearly worse, the other filters
changed little): CodeParrot's drops of files with few assignments, of configuration and test files
and of files without keywords. Style goes into the quality level instead.
"""

from __future__ import annotations

from .base import Filter, draw
from .content import DataLike, NotebookExport
from .kind import ConfigOrTest, FewAssignments, NoKeywords
from .origin import Generated, Vendored, is_vendored
from .registry import ALL_FILTERS, default_filters, filters_from, first_reason
from .shape import CharactersPerToken, LongLines, NotAlphanumeric
from .syntax import NotPython3, Python2, TooDeep

__all__ = [
    "ALL_FILTERS",
    "FILTERS",
    "CharactersPerToken",
    "ConfigOrTest",
    "DataLike",
    "FewAssignments",
    "Filter",
    "Generated",
    "LongLines",
    "NoKeywords",
    "NotAlphanumeric",
    "NotPython3",
    "NotebookExport",
    "Python2",
    "TooDeep",
    "Vendored",
    "default_filters",
    "draw",
    "filters_from",
    "first_reason",
    "is_vendored",
]

is_generated = Generated()
has_long_lines = LongLines()
is_not_alphanumeric = NotAlphanumeric()

FILTERS: dict[str, Filter] = {
    one.name: one for one in (is_generated, has_long_lines, is_not_alphanumeric)
}
"""The three that need the text alone, in the order in which they run."""
