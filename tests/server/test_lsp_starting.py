"""The quick start: what the protocol's classes keep. Each test imports them anew, in a process."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc
import attrs
from parrotlet_server.lsp.starting import quick_imports

define = attrs.define
with quick_imports():
    from lsprotocol import types
    @attrs.define
    class Other:
        value: int
assert attrs.define is define and gc.isenabled() and gc.get_freeze_count() > 0
{}
"""


def run(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(program)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_places_are_still_compared_by_value() -> None:
    run(
        "one = types.Range(types.Position(1, 2), types.Position(3, 4))\n"
        "other = types.Range(types.Position(1, 2), types.Position(3, 5))\n"
        "assert one == types.Range(types.Position(1, 2), types.Position(3, 4)) != other\n"
        "assert one.start < other.end\n"
        "assert types.Location('a', one) == types.Location('a', one)\n"
        "assert repr(one) == '1:2-3:4'"
    )


def test_nothing_else_is_made() -> None:
    run(
        "made = [one for one in vars(types).values() if attrs.has(one) and isinstance(one, type)]\n"
        "own = [one.__name__ for one in made if '__eq__' in vars(one)]\n"
        "assert len(made) > 400 and sorted(own) == ['Location', 'Position', 'Range'], own"
    )


def test_other_modules_classes_are_left_alone() -> None:
    run("assert Other(1) == Other(1) != Other(2) and repr(Other(1)) == 'Other(value=1)'")


def test_messages_go_both_ways() -> None:
    run(
        "from lsprotocol.converters import get_converter\n"
        "converter = get_converter()\n"
        "plain = {'items': [{'insertText': 'x', 'filterText': 'y'}]}\n"
        "made = converter.structure(plain, types.InlineCompletionList)\n"
        "assert made.items[0].filter_text == 'y'\n"
        "assert converter.unstructure(made) == plain"
    )


def test_an_error_inside_puts_all_back() -> None:
    run(
        "try:\n"
        "    with quick_imports():\n"
        "        raise ImportError('no such module')\n"
        "except ImportError:\n"
        "    pass\n"
        "assert attrs.define is define and gc.isenabled()"
    )
