"""A quick start: the protocol's classes without what nothing asks them for."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs

_CLASSES = "lsprotocol.types"


@contextmanager
def quick_imports() -> Iterator[None]:
    """Imports inside take about half of the time.

    `lsprotocol` lets attrs make 554 classes when it is imported, which is half of the server's
    start, and comparison and representation are two fifths of that. Those whose values are compared
    (`Position`, `Range`, `Location`) bring these along themselves; logs never show a message. Other
    modules' classes are left alone.

    The garbage collector is off meanwhile: what is imported stays. Afterwards it leaves that out of
    its rounds, so that they never hold up a suggestion.
    """
    define: Any = attrs.define

    def plain(*arguments: Any, **options: Any) -> Any:
        if sys._getframe(1).f_globals.get("__name__") == _CLASSES:
            options = {"eq": False, "repr": False, **options}
        return define(*arguments, **options)

    was_on = gc.isenabled()
    gc.disable()
    attrs.define = plain
    try:
        yield
    finally:
        attrs.define = define
        gc.freeze()
        if was_on:
            gc.enable()
