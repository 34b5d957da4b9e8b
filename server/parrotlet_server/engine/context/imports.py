"""The definitions that a file imports from other files of its workspace."""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from ..types import Related
from .definitions import definitions
from .syntax import parse, text_of

if TYPE_CHECKING:
    from tree_sitter import Node

Read = Callable[[str], str | None]
"""Gives the text of the file at a path with forward slashes; None if there is none to be read."""

FIRST = 30_000
"""Characters of a file in which its imports are looked for: more take too long to parse."""

DEEPEST = 2
"""Files through which a name is followed that one after the other hands on."""


@dataclass(frozen=True)
class Import:
    """One imported module, or one name out of it.

    Attributes:
        module: dotted, without leading dots; "" for the package itself.
        level: number of leading dots; 0 for an absolute import.
        name: that is imported from it; "" for the module itself, "*" for all names.
        alias: that it is called by in the file.
    """

    module: str
    level: int
    name: str
    alias: str


@lru_cache(maxsize=128)
def imports(text: str) -> tuple[Import, ...]:
    """The imports in `text`, wherever they stand, in their order."""
    found: list[Import] = []
    left = [parse(text)]
    while left:
        node = left.pop()
        if node.type == "import_statement":
            found += _plain(node)
        elif node.type == "import_from_statement":
            found += _from(node)
        elif b"import" in (node.text or b""):
            left += reversed(node.children)
    return tuple(found)


def imported(
    text: str, path: str, roots: Sequence[str], read: Read
) -> Iterator[tuple[str, Related]]:
    """The definitions that the file imports from others that can be read.

    Args:
        text: of the file.
        path: of the file.
        roots: folders in which absolute imports are looked for, besides the file's own.
        read: gives the other files.

    Yields:
        The name in the file, and its definition; in the order of the imports.
    """
    folders = list(dict.fromkeys([*roots, posixpath.dirname(path)]))
    seen: set[tuple[str, str]] = set()
    for one in imports(text[:FIRST]):
        if not one.level and one.module.split(".")[0] in sys.stdlib_module_names:
            continue
        for name, related in _found(one, path, folders, read, DEEPEST):
            key = (related.path, related.text)
            if related.path != path and key not in seen:
                seen.add(key)
                yield name, related


def _found(
    one: Import, path: str, folders: Sequence[str], read: Read, depth: int
) -> Iterator[tuple[str, Related]]:
    for module in _files(one.module, one.level, path, folders):
        text = read(module)
        if text is None:
            continue
        defined = definitions(text)
        if one.name in defined:
            yield one.alias, Related(module, defined[one.name])
        elif one.name in ("", "*"):
            for name, definition in defined.items():
                if not name.startswith("_"):
                    yield name, Related(module, definition)
        else:
            # a module of the package, or a name that it has from elsewhere
            inner = ".".join(filter(None, [one.module, one.name]))
            submodule = Import(inner, one.level, "", one.alias)
            if depth and module.endswith("__init__.py"):
                yield from _found(submodule, path, folders, read, depth - 1)
            if depth:
                for other in imports(text[:FIRST]):
                    if other.alias == one.name and other.name:
                        handed = replace(other, alias=one.alias)
                        yield from _found(handed, module, folders, read, depth - 1)
        return
    if one.name and depth:  # a folder without an __init__.py
        inner = ".".join(filter(None, [one.module, one.name]))
        yield from _found(Import(inner, one.level, "", one.alias), path, folders, read, 0)


def _files(module: str, level: int, path: str, folders: Sequence[str]) -> Iterator[str]:
    """Paths at which a module may lie, the likeliest first."""
    if level:
        folder = posixpath.dirname(path)
        for _ in range(level - 1):
            folder = posixpath.dirname(folder)
        folders = [folder]
    inside = module.replace(".", "/")
    for folder in folders:
        base = posixpath.join(folder, inside) if inside else folder
        if inside:
            yield f"{base}.py"
        yield posixpath.join(base, "__init__.py")


def _plain(node: Node) -> list[Import]:
    """``import a.b, c as d``."""
    found = []
    for name, alias in _names(node.children_by_field_name("name")):
        found.append(Import(name, 0, "", alias or name))
    return found


def _from(node: Node) -> list[Import]:
    """``from .a import b as c, d`` or ``from a import *``."""
    module = node.child_by_field_name("module_name")
    if module is None:
        return []
    dotted = text_of(module).replace(" ", "")
    name = dotted.lstrip(".")
    level = len(dotted) - len(name)
    if any(child.type == "wildcard_import" for child in node.children):
        return [Import(name, level, "*", "*")]
    names = _names(node.children_by_field_name("name"))
    return [Import(name, level, one, alias or one) for one, alias in names]


def _names(nodes: Sequence[Node]) -> Iterator[tuple[str, str]]:
    for node in nodes:
        if node.type == "aliased_import":
            name, alias = node.child_by_field_name("name"), node.child_by_field_name("alias")
            if name is not None and alias is not None:
                yield text_of(name), text_of(alias)
        elif node.type == "dotted_name":
            yield text_of(node), ""
