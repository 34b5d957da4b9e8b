"""What only IPython understands is left out of a notebook's cells."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parrotlet_server.lsp.magics import as_context, is_foreign, without_magics

MAGICS = [
    "%matplotlib inline",
    "!pip install numpy",
    "?print",
    "frame.head?",
    "frame.head??",
    "files = !ls *.py",
    "a, b = %sx date",
    "%%time",
]
PYTHON = [
    "import os",
    "x = 7 % 2",
    "y = x if x != 2 else 3",
    'text = """\n%not magic\n!nor this\nor this?\n"""',
    "z = (x\n% 3\n)",
    "w = x \\\n% 3",
    "# why?",
    "s = 'who?'",
    "def f(a):\n    return a % 2",
    "x %= 2",
]


@settings(deadline=None)
@given(st.lists(st.sampled_from(MAGICS) | st.sampled_from(PYTHON)))
def test_python_stays_and_magics_go(statements):
    cell = "".join(statement + "\n" for statement in statements)
    expected = "".join(one + "\n" for one in statements if one in PYTHON)
    assert without_magics(cell) == expected
    ast.parse(expected)


@settings(deadline=None)
@given(st.text(max_size=60) | st.lists(st.sampled_from([*MAGICS, *PYTHON, "'''"])).map("\n".join))
def test_any_text_is_taken(text):
    assert as_context(text) is not None
    kept = without_magics(text)
    assert without_magics(kept) == kept


def test_an_indented_magic_leaves_its_block_filled():
    assert without_magics("if x:\n    !ls\ny = 1\n") == "if x:\n    pass\ny = 1\n"


@pytest.mark.parametrize("magic", ["%%bash", "%%html", "%%writefile a.py", "%%", "\n%%sql"])
def test_cells_of_another_language(magic):
    assert is_foreign(f"{magic}\nfor x in y:")
    assert as_context(f"{magic}\nx = 1\n") == ""


@pytest.mark.parametrize("magic", ["%%time", "%%timeit -n 3", "%%capture out", "%%python3"])
def test_cells_of_python_under_a_magic(magic):
    assert as_context(f"{magic}\nx = 1\n") == "x = 1"


@pytest.mark.parametrize(
    "cell", ["x = '''", "f(1,", "def f():", "def f():  # soon\n    # here\n", "x = 1 + \\"]
)
def test_an_unfinished_cell_is_left_out(cell):
    assert as_context(cell) == ""
