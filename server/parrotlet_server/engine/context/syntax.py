"""Python's syntax trees, whole or broken."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Language, Node


def parse(text: str) -> Node:
    """The root of the tree of `text`; what does not parse is passed over."""
    from tree_sitter import Parser  # whoever asks for no context needs it not

    # a parser of its own: several threads may ask
    return Parser(_language()).parse(text.encode("utf-8", "replace")).root_node


def text_of(node: Node) -> str:
    """The text of `node` on one line."""
    return " ".join((node.text or b"").decode("utf-8", "replace").split())


@cache
def _language() -> Language:
    import tree_sitter_python
    from tree_sitter import Language

    return Language(tree_sitter_python.language())
