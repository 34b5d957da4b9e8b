"""Where the user will probably want the next suggestion."""

from __future__ import annotations

from dataclasses import replace

from .place import Place
from .scan import Scanner, without_comment
from .types import Completion, Request

_ENDS_A_BLOCK = ("return", "raise", "pass", "break", "continue")


def next_request(request: Request, completion: Completion) -> Request | None:
    """The place after the suggestion is accepted; where there is none, the next line.

    Returns:
        None if no place is more likely than others.
    """
    suggestion = completion.suggestion
    if suggestion is not None:
        return replace(
            request,
            prefix=request.prefix + suggestion.text,
            suffix=request.suffix[suggestion.overwrite :],
            candidates=1,
        )
    if completion.reason != "empty":
        return None
    place = Place.of(request)
    if place.is_blank or place.tail.strip() or place.region == "string":
        return None
    return replace(request, prefix=request.prefix + "\n" + _indentation_below(place), candidates=1)


def _indentation_below(place: Place) -> str:
    """What editors indent the line after the cursor's with."""
    line = place.line
    own = line[: len(line) - len(line.lstrip(" \t"))]
    step = "\t" if own.startswith("\t") else "    "
    code = without_comment(line)
    scanner = Scanner()
    scanner.feed(code)
    if code.endswith(":") or scanner.brackets:
        return own + step
    word = code.split(maxsplit=1)[0] if code.strip() else ""
    return own.removesuffix(step) if word in _ENDS_A_BLOCK else own
