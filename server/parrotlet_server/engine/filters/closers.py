"""Closing brackets and quotes right of the cursor, which editors write by themselves."""

from __future__ import annotations

from ..scan import Scanner


def fit_closers(line: str, text: str, tail: str) -> tuple[str, int]:
    """Fits `text` between `line` and the closing brackets and quotes in `tail`.

    Editors write the closing bracket with the opening one. Where `text` brings it too, it replaces
    the editor's; where it does not, it is cut so that what it opens itself is closed.

    Returns:
        The text, perhaps shorter or empty, and how many characters of `tail` it replaces.
    """
    waiting = [(sign, at) for at, sign in enumerate(tail) if not sign.isspace()]
    if not waiting:
        return text, 0
    scanner = Scanner()
    scanner.feed(line)
    replaced = 0
    for closed in scanner.feed(text):
        for offset, sign in enumerate(closed.text):
            if replaced == len(waiting):
                break  # it closes what was opened before, as far as the editor knows
            if waiting[replaced][0] != sign:
                return fit_closers(line, text[: closed.start + offset].rstrip(), tail)
            replaced += 1
    if replaced < len(waiting) and waiting[replaced][0] in ",:;":
        replaced += text.endswith(waiting[replaced][0])
    if replaced < len(waiting):
        fitting = _before_unclosed(line, text)
        if fitting != text:
            return fit_closers(line, fitting, tail)
    return text, waiting[replaced - 1][1] + 1 if replaced else 0


def _before_unclosed(line: str, text: str) -> str:
    """`text` up to the last comma before what it leaves open; all of it if it leaves nothing."""
    scanner = Scanner()
    scanner.feed(line)
    scanner.feed(text)
    if scanner.loose is None:
        return text
    commas = [comma for comma in scanner.commas if comma < scanner.loose]
    return text[: commas[-1]] if commas else ""
