"""The filters in their order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..place import Place
from .closers import fit_closers
from .indent import in_the_files_style, indents_further, up_to_misplaced
from .repeats import repeats_line_above, repeats_line_below, without_lines_below
from .validity import up_to_valid
from .words import starts_inside_a_word


@dataclass(frozen=True)
class Filtered:
    """What is left of a suggestion.

    Attributes:
        text: "" where nothing is worth showing.
        overwrite: characters right of the cursor that it replaces.
        reason: why nothing is left: "empty", or the name of the filter that took the last of it.
        changed: names of the filters that changed it.
    """

    text: str
    overwrite: int = 0
    reason: str | None = None
    changed: tuple[str, ...] = ()


def _dropped_if(wrong: Callable[[Place, str], bool]) -> Callable[[Place, str], str]:
    return lambda place, text: "" if wrong(place, text) else text


_Steps = tuple[tuple[str, Callable[[Place, str], str]], ...]

_DUPLICATES: _Steps = (
    ("duplicate", _dropped_if(repeats_line_below)),
    ("duplicate", without_lines_below),
)

_FILTERS: _Steps = (
    ("indentation", _dropped_if(indents_further)),
    ("indentation", in_the_files_style),  # early: the next ones compare with lines of the file
    ("repetition", _dropped_if(repeats_line_above)),
    *_DUPLICATES,
    ("indentation", up_to_misplaced),
    ("word", _dropped_if(starts_inside_a_word)),
)


def post_process(place: Place, text: str, finished: bool = True) -> Filtered:
    """Passes `text`, what the model wrote at `place`, through all filters.

    A line that is not `finished`, since there was no room for more, need not be whole Python.
    """
    left = _passed(place, text.rstrip(), _FILTERS)
    if left.reason is not None:
        return left
    changed = [*left.changed]
    text, overwrite = fit_closers(place.line, left.text, place.tail)
    if not text.strip():
        return Filtered("", reason="empty", changed=left.changed)
    kept = up_to_valid(place, text, overwrite) if finished or "\n" in text else text
    if kept != text:
        changed.append("syntax")
    if not kept:
        return Filtered("", reason="syntax", changed=tuple(changed))
    # once the end is cut off, it may be what stands below
    last = _passed(place, kept, _DUPLICATES)
    overwrite = overwrite if last.text else 0
    return replace(last, overwrite=overwrite, changed=(*changed, *last.changed))


def _passed(place: Place, text: str, steps: _Steps) -> Filtered:
    """`text` after `steps`, up to the one that takes the last of it."""
    changed: list[str] = []
    if not text.strip():
        return Filtered("", reason="empty")
    for name, function in steps:
        kept = function(place, text)
        if kept != text:
            changed.append(name)
        if not kept.strip():
            return Filtered("", reason=name, changed=tuple(changed))
        text = kept
    return Filtered(text, changed=tuple(changed))
