"""Text of other files: what is found of it, and how it stands in a prompt."""

from __future__ import annotations

import ast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from parrotlet_server.engine import Related, Request
from parrotlet_server.engine.context import Passage, Sources, choose
from parrotlet_server.engine.context.definitions import definitions
from parrotlet_server.engine.context.imports import Import, imported, imports
from parrotlet_server.engine.context.similar import LINES, jaccard, names, similar
from parrotlet_server.engine.prompt import HEALING_TOKENS, build_prompt
from parrotlet_tokenizer import Header
from parrotlet_tokenizer.prompt import serving_head

from ..support.tiny_model import DOCUMENTS

MODULE = '''\
"""A module."""
import os

LIMIT: int = 3
TABLE = {
    "a long one": "that takes many lines and says little",
    "another": "of which there is no need",
    "a third": "and there may be hundreds more",
    "a fourth": "which nobody reads",
}
TABLE["x"] = 1


@decorated
async def fetch(
    url: str,
    *,
    timeout: float = 1.0,
) -> bytes:
    """Gets a page.

    More of it.
    """
    return b""


class Store(Base, metaclass=Meta):
    """What lies in the store."""

    size: int
    limit = 3

    def __init__(self, items=()):
        self.items = items

    @property
    def total(self) -> int:
        return sum(self.items)

    def _hidden(self): ...


if TYPE_CHECKING:
    class Checked: ...
else:
    def Checked(): pass

def broken(a, b
'''


def test_definitions_are_signatures():
    found = definitions(MODULE)
    assert list(found) == ["LIMIT", "TABLE", "fetch", "Store", "Checked"]
    assert found["LIMIT"] == "LIMIT: int = 3\n"
    assert found["TABLE"] == "TABLE = ...\n"
    assert found["fetch"] == (
        'async def fetch(url: str, *, timeout: float = 1.0) -> bytes:\n    """Gets a page."""\n'
    )
    assert found["Store"] == (
        "class Store(Base, metaclass=Meta):\n"
        '    """What lies in the store."""\n'
        "    size: int\n"
        "    limit = 3\n"
        "    def __init__(self, items=()): ...\n"
        "    def total(self) -> int: ...\n"
    )


def test_definitions_of_the_documents_are_python():
    for text in DOCUMENTS.values():
        found = definitions(text)
        assert found
        for definition in found.values():
            ast.parse(definition)


@given(st.text(max_size=80) | st.integers(0, len(MODULE)).map(lambda at: MODULE[at:]))
@settings(deadline=None, max_examples=60)
def test_any_text_has_definitions_and_imports(text):
    for name, definition in definitions(text).items():
        assert name in definition
        assert definition.endswith("\n")
    imports(text)


def test_imports_are_found_wherever_they_stand():
    text = """\
import os, pkg.mod as m
from . import a
from ..b.c import d as e, f
from g import *
try:
    from h import (
        i,
    )
except ImportError: pass
def later():
    import j
x = (  # broken
"""
    assert imports(text) == (
        Import("os", 0, "", "os"),
        Import("pkg.mod", 0, "", "m"),
        Import("", 1, "a", "a"),
        Import("b.c", 2, "d", "e"),
        Import("b.c", 2, "f", "f"),
        Import("g", 0, "*", "*"),
        Import("h", 0, "i", "i"),
        Import("j", 0, "", "j"),
    )


FILES = {
    "app/__init__.py": "from .store import Store\nfrom . import reader\n",
    "app/store.py": DOCUMENTS["inventory.py"].replace("Inventory", "Store"),
    "app/reader.py": DOCUMENTS["reader.py"],
    "app/sub/shapes.py": DOCUMENTS["shapes.py"],
    "src/other.py": "def one(): ...\ndef _two(): ...\n",
    "app/loop.py": "from .loop import x\nfrom .loop2 import x\n",
    "app/loop2.py": "from .loop import x\n",
}


def found(text, path="app/main.py"):
    return [
        (name, one.path, one.text.split("(")[0].split(":")[0])
        for name, one in imported(text, path, ["", "src"], FILES.get)
    ]


@pytest.mark.parametrize(
    ("text", "path", "wanted"),
    [
        ("from .store import Store", "app/main.py", [("Store", "app/store.py", "class Store")]),
        ("from app import Store as S", "run.py", [("S", "app/store.py", "class Store")]),
        (
            "from ..store import report",
            "app/sub/x.py",
            [("report", "app/store.py", "def report")],
        ),
        (
            "from app.sub.shapes import square_area, circle_area",
            "run.py",
            [
                ("square_area", "app/sub/shapes.py", "def square_area"),
                ("circle_area", "app/sub/shapes.py", "def circle_area"),
            ],
        ),
        ("import other", "run.py", [("one", "src/other.py", "def one")]),
        ("from other import *", "run.py", [("one", "src/other.py", "def one")]),
        ("from other import missing", "run.py", []),
        ("from .sub import missing", "app/main.py", []),
        ("import numpy, os", "run.py", []),
        ("from .loop import x", "app/main.py", []),
        ("from .store import Store", "app/store.py", []),
    ],
)
def test_imports_are_followed(text, path, wanted):
    assert found(text, path) == wanted


def test_modules_out_of_packages():
    for text in ("from . import reader", "from app import reader", "from .sub import shapes"):
        assert found(text)[0][1] in ("app/reader.py", "app/sub/shapes.py")


def test_similar_passages():
    other = Passage("other.py", DOCUMENTS["numbers.py"])
    same = Passage("same.py", "x = 1\n" * 40 + DOCUMENTS["inventory.py"])
    before = DOCUMENTS["inventory.py"][:400]
    first, *_ = similar(before, [other, same], 2)
    assert first.path == "same.py"
    assert "def add" in first.text
    assert len(first.text.split("\n")) <= LINES + 1
    assert similar("", [other, same], 2) == []
    assert similar(before, [], 2) == []


@given(st.lists(st.text(max_size=9)), st.lists(st.text(max_size=9)))
def test_likeness_lies_between_none_and_one(first, second):
    first, second = names(" ".join(first)), names(" ".join(second))
    assert 0 <= jaccard(first, second) == jaccard(second, first) <= 1
    assert not first or jaccard(first, first) == 1


def test_what_is_named_near_the_cursor_comes_first_into_the_budget():
    text = "from app.sub.shapes import *\nfrom app.store import report\n\nreport("
    (chosen,) = choose(text, "", "run.py", Sources(FILES.get), 10)
    assert chosen == Related("app/store.py", "def report(inventory): ...\n")
    both = choose(text, "", "run.py", Sources(FILES.get), 1_000)
    assert [one.path for one in both] == ["app/sub/shapes.py", "app/store.py"]


# in the prompt

RELATED = (Related("a/b.py", "def far(x): ...\n"), Related("c.py", "class Near: ...\n"))


def test_it_stands_first_as_the_grammar_says(tokenizer):
    request = Request("x = Ne", "\nend\n", path="d.py", related=RELATED)
    prompt = build_prompt(tokenizer, request, 512)
    related = tuple((one.path, one.text) for one in RELATED)
    head = serving_head(tokenizer, Header(related=related, path="d.py"), "end\n")
    assert prompt.ids == head + tokenizer.encode("x = ")
    assert prompt.rest == b"Ne"


def test_the_least_important_is_left_out_and_the_last_lines_are_cut(tokenizer):
    last = len(tokenizer.encode("c.py\nclass Near: ...\n")) + 1
    request = Request("x", "", related=RELATED, related_tokens=last)
    text = tokenizer.decode(build_prompt(tokenizer, request, 512).ids)
    assert "class Near: ..." in text
    assert "far" not in text
    both = (RELATED[0], Related("c.py", "class Near: ...\n" * 2))
    request = Request("x", "", related=both, related_tokens=last)
    assert tokenizer.decode(build_prompt(tokenizer, request, 512).ids) == text
    for tokens in (-1, 0, 3):
        none = Request("x", "", related=RELATED, related_tokens=tokens)
        assert build_prompt(tokenizer, none, 512) == build_prompt(tokenizer, Request("x", ""), 512)


@given(
    st.lists(st.builds(Related, st.text(max_size=40), st.text(max_size=400)), max_size=3),
    st.integers(0, 2_000),
    st.text(max_size=300),
    st.sampled_from([128, 256, 1024]),
)
@settings(max_examples=60, deadline=None)
@example([], 0, "\U00010000" * 11, 128)
def test_every_request_fits_the_context(tokenizer, related, tokens, around, context):
    request = Request(
        around, f"\n{around}", path=around, related=tuple(related), related_tokens=tokens
    )
    prompt = build_prompt(tokenizer, request, context)
    assert prompt.ids
    assert len(prompt.ids) + prompt.limit + HEALING_TOKENS <= context
