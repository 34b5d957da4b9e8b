"""From YAML to typed, frozen dataclasses: the reader of every recipe."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

T = TypeVar("T")


class RecipeError(ValueError):
    """A recipe is missing or malformed; the message names the field."""


def read_mapping(name: str, shipped: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a YAML file, or of a recipe inside the package.

    Args:
        name: a file, or a key of `shipped`.
        shipped: name of each recipe of this kind, and its file's name in ``recipes``.

    Raises:
        RecipeError: if there is none, or it is no mapping.
    """
    try:
        if name in shipped and not Path(name).is_file():
            place = resources.files(__package__) / "recipes" / shipped[name]
            text = place.read_text(encoding="utf-8")
        else:
            text = Path(name).read_text(encoding="utf-8")
        content = yaml.safe_load(text)
    except FileNotFoundError as error:
        known = ", ".join(sorted(shipped))
        raise RecipeError(f"no recipe {name}: give a YAML file or one of {known}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"cannot read the recipe {name}: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{name} is no mapping of fields")
    return content


def build(kind: type[T], content: Any, place: str = "") -> T:
    """A dataclass from plain values, each field's type checked.

    Fields may be bool, int, float, str, a dataclass, ``Literal[…]``, ``tuple[X, …]`` (a list in
    YAML), ``dict[str, X]`` and unions of these. In a union of dataclasses the first field's name
    tells them apart: it has to be among the keys.

    Args:
        kind: a dataclass whose ``__post_init__`` raises ValueError on values that do not fit.
        content: what YAML gave.
        place: dotted path of `content` in the file, for messages; empty at the top.

    Raises:
        RecipeError: naming the field and, if it is unknown, those that are known there.
    """
    if not isinstance(content, dict):
        raise RecipeError(f"{place or 'the recipe'} is no mapping of fields")
    hints = typing.get_type_hints(kind)
    known = {f.name: f for f in dataclasses.fields(typing.cast(Any, kind)) if f.init}
    values = {}
    for key, value in content.items():
        name = f"{place}.{key}" if place else str(key)
        if key not in known:
            raise RecipeError(f"unknown field {name}; known here: {', '.join(known)}")
        values[key] = _checked(hints[key], value, name)
    for key, entry in known.items():
        needed = (
            entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
        )
        if needed and key not in values:
            raise RecipeError(f"the field {place + '.' if place else ''}{key} is missing")
    try:
        return kind(**values)
    except ValueError as error:
        raise RecipeError(f"{place or 'recipe'}: {error}") from error


def plain(value: Any) -> Any:
    """Values that YAML and JSON take: dataclasses and mappings as dict, tuples as list."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def _checked(hint: Any, value: Any, name: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _chosen(arguments, value, name)
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, name)
    if origin is Literal:
        if not any(value == choice and type(value) is type(choice) for choice in arguments):
            raise RecipeError(f"{name} is one of {', '.join(map(str, arguments))}, not {value!r}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise RecipeError(f"{name} is a list, not {value!r}")
        return tuple(_checked(arguments[0], v, f"{name}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise RecipeError(f"{name} is a mapping, not {value!r}")
        return {_key(k, name): _checked(arguments[1], v, f"{name}.{k}") for k, v in value.items()}
    if hint is float and isinstance(value, str):  # YAML 1.1 reads 1e-3 as text
        try:
            return float(value)
        except ValueError:
            raise RecipeError(f"{name} is a number, not {value!r}") from None
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise RecipeError(f"{name} is of type {hint.__name__}, not {value!r}")
    return value


def _key(key: Any, name: str) -> str:
    if not isinstance(key, str):
        raise RecipeError(f"{name}: the key {key!r} is no text; quote it")
    return key


def _chosen(choices: tuple[Any, ...], value: Any, name: str) -> Any:
    """`value` as the member of a union that its own type, or its tag, points to."""
    kinds = [choice for choice in choices if dataclasses.is_dataclass(choice)]
    mappings = [choice for choice in choices if typing.get_origin(choice) is dict]
    lists = [choice for choice in choices if typing.get_origin(choice) is tuple]
    if isinstance(value, dict) and len(kinds) == 1 and not mappings:
        return build(typing.cast(type, kinds[0]), value, name)
    if isinstance(value, dict) and kinds:
        tags = {dataclasses.fields(kind)[0].name: kind for kind in kinds}
        found = [tag for tag in tags if tag in value]
        if len(found) != 1:
            raise RecipeError(f"{name} names one of {', '.join(tags)}; it has {list(value)}")
        return build(typing.cast(type, tags[found[0]]), value, name)
    for holder, candidates in (((dict,), mappings), ((list, tuple), lists)):
        if isinstance(value, holder) and candidates:
            return _checked(candidates[0], value, name)
    for choice in choices:  # an exact type before a conversion
        if type(value) is choice:
            return value
    for choice in choices:
        if choice is float and type(value) in (int, str):
            return _checked(float, value, name)
        if typing.get_origin(choice) is Literal and value in typing.get_args(choice):
            return _checked(choice, value, name)
    raise RecipeError(f"{name} is {' or '.join(map(_words, choices))}, not {value!r}")


def _words(hint: Any) -> str:
    if hint is type(None):
        return "null"
    if dataclasses.is_dataclass(hint):
        return "a mapping of fields"
    named = {tuple: "a list", dict: "a mapping"}.get(typing.get_origin(hint))
    return named or str(getattr(hint, "__name__", hint))
