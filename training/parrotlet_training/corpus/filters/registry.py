"""All filters by name, and the choice of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from .base import Filter
from .content import DataLike, NotebookExport
from .kind import ConfigOrTest, FewAssignments, NoKeywords
from .origin import Generated, Vendored
from .shape import CharactersPerToken, LongLines, NotAlphanumeric
from .syntax import NotPython3, Python2, TooDeep

_TYPES: tuple[tuple[type[Any], bool], ...] = (
    (Vendored, True),
    (FewAssignments, False),
    (Generated, True),
    (LongLines, True),
    (NotAlphanumeric, True),
    (NoKeywords, False),
    (ConfigOrTest, False),
    (NotebookExport, True),
    (DataLike, True),
    (Python2, True),
    (NotPython3, True),
    (TooDeep, True),
    (CharactersPerToken, False),
)
"""Filters and whether each is on by default, cheap ones first; a file is counted under the first
that drops it."""

ALL_FILTERS: dict[str, type[Any]] = {kind.name: kind for kind, _ in _TYPES}
"""Every filter's class by its name, in the order in which they run."""


def default_filters() -> dict[str, Filter]:
    """The filters that are on where a recipe says nothing, by name, in order."""
    return {kind.name: kind() for kind, default in _TYPES if default}


def filters_from(
    mapping: Mapping[str, bool | Mapping[str, float | int | str]],
) -> dict[str, Filter]:
    """The defaults, changed by what a recipe says, by name, in order.

    Args:
        mapping: name → True (on), False (off), or thresholds by field (on). Names may have
            underscores for spaces. What is not named stays as it is by default.

    Raises:
        ValueError: on an unknown name, field or kind of value; it lists what there is.
    """
    wanted: dict[str, bool | Mapping[str, float | int | str]] = {}
    for key, value in mapping.items():
        name = str(key).replace("_", " ")
        if name not in ALL_FILTERS:
            raise ValueError(f"no filter {key!r}: there are {', '.join(ALL_FILTERS)}")
        if not isinstance(value, bool | Mapping):
            raise ValueError(f"filter {key!r} is true, false or fields, not {value!r}")
        wanted[name] = value
    chosen: dict[str, Filter] = {}
    for kind, default in _TYPES:
        value = wanted.get(kind.name, default)
        if value is False:
            continue
        chosen[kind.name] = kind() if value is True else _with_fields(kind, value)
    return chosen


def _with_fields(kind: type[Any], values: Mapping[str, float | int | str]) -> Filter:
    known = {field.name: type(field.default) for field in fields(kind)}
    for name, value in values.items():
        if name not in known:
            raise ValueError(
                f"filter {kind.name!r} has no field {name!r}: it has {', '.join(known) or 'none'}"
            )
        wanted = (int, float) if known[name] is float else (known[name],)
        if isinstance(value, bool) or not isinstance(value, wanted):
            expected = "text" if known[name] is str else "a number"
            expected = "a whole number" if known[name] is int else expected
            raise ValueError(f"{name} of filter {kind.name!r} is {expected}, not {value!r}")
    chosen: Filter = kind(**values)
    return chosen


def first_reason(filters: Mapping[str, Filter], text: str, path: str) -> str | None:
    """The name of the first of `filters` that leaves the file out, or None."""
    return next((name for name, drops in filters.items() if drops(text, path)), None)
