"""What a module defines, as short as a reader of its signatures needs it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from .syntax import parse, text_of

if TYPE_CHECKING:
    from tree_sitter import Node

LONGEST_LINE = 160
"""Characters of a signature or a value; a longer one is cut."""

MOST_MEMBERS = 24
"""Of a class that are told."""


@lru_cache(maxsize=128)
def definitions(text: str) -> dict[str, str]:
    """The functions, classes and constants that the module `text` defines, by name, in order.

    A function is its signature, a class its head, its fields and its methods' signatures, both
    with the first line of their docstrings. Each ends in a line end and is Python by itself.
    """
    found: dict[str, str] = {}
    for node in _statements(parse(text)):
        name, lines = _told(node, "")
        if name and name not in found:
            found[name] = "".join(f"{line}\n" for line in lines)
    return found


def _statements(node: Node) -> Iterator[Node]:
    """The statements below `node`, those under ``if`` and ``try`` among them."""
    for child in node.children:
        if child.type in ("if_statement", "try_statement", "else_clause", "block", "except_clause"):
            yield from _statements(child)
        elif child.type == "decorated_definition":
            inner = child.child_by_field_name("definition")
            if inner is not None:
                yield inner
        else:
            yield child


def _told(node: Node, indentation: str) -> tuple[str, list[str]]:
    """Name and lines of a definition; "" and none for another statement."""
    if node.type == "function_definition":
        return _function(node, indentation)
    if node.type == "class_definition":
        return _class(node, indentation)
    if node.type == "expression_statement" and node.children:
        return _assignment(node.children[0], indentation)
    return "", []


def _function(node: Node, indentation: str) -> tuple[str, list[str]]:
    name, parameters, body = (
        node.child_by_field_name(part) for part in ("name", "parameters", "body")
    )
    if name is None or parameters is None:
        return "", []
    result = node.child_by_field_name("return_type")
    start = "async def" if node.children[0].type == "async" else "def"
    arrow = "" if result is None else f" -> {text_of(result)}"
    head = f"{start} {text_of(name)}{_tight(text_of(parameters))}{arrow}:"
    if len(head) > LONGEST_LINE:
        return text_of(name), [f"{indentation}{start} {text_of(name)}(*args, **kwargs): ..."]
    summary = _summary(body)
    if not summary:
        return text_of(name), [f"{indentation}{head} ..."]
    return text_of(name), [indentation + head, f'{indentation}    """{summary}"""']


def _class(node: Node, indentation: str) -> tuple[str, list[str]]:
    name, bases, body = (
        node.child_by_field_name(part) for part in ("name", "superclasses", "body")
    )
    if name is None or body is None:
        return "", []
    inner = indentation + "    "
    head = f"class {text_of(name)}{'' if bases is None else _tight(text_of(bases))}"
    lines = []
    if summary := _summary(body):
        lines.append(f'{inner}"""{summary}"""')
    members = [] if indentation else [_member(part, inner) for part in _statements(body)]
    lines += [line for line in members if line][:MOST_MEMBERS]
    if not lines:
        return text_of(name), [f"{indentation}{head[:LONGEST_LINE]}: ..."]
    return text_of(name), [f"{indentation}{head[:LONGEST_LINE]}:", *lines]


def _member(node: Node, indentation: str) -> str:
    """A class's method or field in one line; docstrings of methods would take too much room."""
    name, lines = _told(node, indentation)
    if not lines or (name.startswith("_") and name != "__init__"):
        return ""
    first = lines[0]
    return first if len(lines) == 1 else first + " ..."


def _assignment(node: Node, indentation: str) -> tuple[str, list[str]]:
    left = node.child_by_field_name("left")
    if node.type != "assignment" or left is None or left.type != "identifier":
        return "", []
    line = text_of(node)
    if len(line) > LONGEST_LINE:
        line = f"{text_of(left)} = ..."
    return text_of(left), [indentation + line]


def _summary(body: Node | None) -> str:
    """The first line of the docstring that `body` begins with."""
    if body is None or not body.children:
        return ""
    first = body.children[0]
    if first.type != "expression_statement" or not first.children:
        return ""
    string = first.children[0]
    if string.type != "string":
        return ""
    content = next((part for part in string.children if part.type == "string_content"), None)
    if content is None or not content.text:
        return ""
    lines = content.text.decode("utf-8", "replace").strip().split("\n")
    summary = lines[0].strip()
    return "" if "\\" in summary or '"' in summary else summary[:LONGEST_LINE]


def _tight(text: str) -> str:
    """A list in brackets that was broken into lines, without what that left."""
    return text.replace("( ", "(").replace(", )", ")").replace(",)", ")").replace(" )", ")")
