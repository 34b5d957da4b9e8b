"""When a suggestion ends: with its line, or with the block it fills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .place import Opened, Place
from .scan import Scanner, indentation, without_comment
from .types import Multiline

CONTEXT_LINES = 8
"""Lines above the cursor that a suggestion is compared with for repetition."""

_LONGEST_PERIOD = 4
_STUTTER_CONTEXT = 100  # characters of the line before the cursor that are looked at with it
_STUTTERS = 6
_LONGEST_UNIT = 60
_LONGEST_STUTTER = 24
_TRIVIAL = 3  # characters; lines up to these, such as closing brackets, may stand twice


@dataclass(frozen=True)
class Stop:
    """The answer is over.

    Attributes:
        end: characters of it to keep.
        reason: as in `Completion.reason`.
    """

    end: int
    reason: str


class Stopping(Protocol):
    """Decides after each token."""

    def check(self, text: str) -> Stop | None:
        """Whether the answer that begins with `text` is over."""
        ...

    def finish(self, text: str, reason: str) -> Stop:
        """Where the answer `text`, ended for `reason`, is to be cut."""
        ...


def stopping_at(place: Place, multiline: Multiline) -> Stopping:
    """How far a suggestion at `place` may go."""
    if multiline != "never":
        if place.opened is not None:
            return EndOfBlock(place, place.opened)
        if multiline == "always" and not place.tail.strip():
            # what is less indented than the cursor's line is no part of its block
            return EndOfBlock(place, Opened(indentation(place.line) - 1, ""), paragraph=True)
    return EndOfLine(place)


class EndOfLine:
    """Ends with the cursor's line."""

    def __init__(self, place: Place) -> None:
        """Watches a suggestion at `place`."""
        self._line = place.line[-_STUTTER_CONTEXT:]

    def check(self, text: str) -> Stop | None:
        """See `Stopping.check`."""
        ends = [at for at in (text.find("\n"), text.find("\r")) if at >= 0]
        if ends:
            return Stop(min(ends), "end_of_line")
        return Stop(0, "repetition") if stutters(self._line + text) else None

    def finish(self, text: str, reason: str) -> Stop:
        """See `Stopping.finish`."""
        return self.check(text) or Stop(len(text), reason)


class EndOfBlock:
    """Ends with the first line that is indented less than the block's first."""

    def __init__(self, place: Place, opened: Opened, paragraph: bool = False) -> None:
        """Watches a suggestion at `place` that is to fill `opened`.

        A `paragraph` begins on the cursor's line, and ends with a blank line too.
        """
        self._opened = opened
        self._line = place.line
        self._paragraph = paragraph
        # Where the cursor ends the line that opens the block, the block begins on the next.
        self._first = 0 if place.is_blank or paragraph else 1
        self._next = place.next_line
        above = [line for line in (*place.above, *([] if place.is_blank else [place.line])) if line]
        self._above = [line.strip() for line in above[-CONTEXT_LINES:] if line.strip()]

    def check(self, text: str) -> Stop | None:
        """See `Stopping.check`."""
        lines = (self._line + text).split("\n")
        if self._first and len(lines) > 1 and text[: text.index("\n")].strip():
            return Stop(text.index("\n"), "end_of_line")  # the line went on: it is what was wanted
        body: int | None = None
        seen = list(self._above)
        begin = -len(self._line)  # of the line, in `text`
        for number, line in enumerate(lines):
            before = max(0, begin - 1)
            complete = number < len(lines) - 1
            end = begin + len(line)
            if self._paragraph and complete and body is not None and not line.strip():
                return Stop(before, "end_of_block")
            if line.strip() and number >= self._first:
                width = indentation(line)
                if body is None:
                    body = width
                    if width <= self._opened.indentation:
                        return Stop(before, "end_of_block")
                if width < body:
                    if not self._closes(line):
                        return Stop(before, "end_of_block")
                    if complete:
                        return Stop(end, "end_of_block")
                if complete:
                    if line.strip() == self._next.strip() and width == indentation(self._next):
                        return Stop(before, "end_of_block")
                    seen.append(line.strip())
                    period = repeated_lines(seen)
                    if period:
                        return Stop(self._drop(text[:end], period), "repetition")
            begin = end + 1
        if stutters(lines[-1][-_STUTTER_CONTEXT - len(text) :]):
            return Stop(max(0, text.rfind("\n")), "repetition")
        return None

    def finish(self, text: str, reason: str) -> Stop:
        """See `Stopping.finish`: "length" cuts back to a whole statement if there is one."""
        if reason == "length":
            return Stop(last_whole_statement(self._line, text, self._first), reason)
        return self.check(text + "\n") or Stop(len(text), reason)

    def _closes(self, line: str) -> bool:
        """Whether `line` closes the bracket that was opened, and no line below does."""
        closer = self._opened.closer
        return (
            bool(closer)
            and line.strip().startswith(closer)
            and indentation(line) == self._opened.indentation
            and not self._next.strip().startswith(closer)
        )

    @staticmethod
    def _drop(text: str, lines: int) -> int:
        """Length of `text` without its last `lines` lines that are not blank."""
        for _ in range(lines):
            text = text.rstrip()
            text = text[: max(0, text.rfind("\n"))]
        return len(text)


def stutters(line: str) -> bool:
    """Whether `line` ends in the same few characters many times on end: the model is in a loop.

    A line that holds nothing else, save for a comment sign, is a ruler.
    """
    for unit in range(1, min(_LONGEST_UNIT, len(line) // _STUTTERS) + 1):
        if line[-1] != line[-1 - unit]:
            continue  # as a rule: what follows takes longer
        times = max(_STUTTERS, _LONGEST_STUTTER // unit + 1)
        loop = line[-unit:] * times
        if line.endswith(loop) and loop.strip():
            code = line.strip().lstrip("#").strip()
            ruler = (loop * (len(code) // len(loop) + 1))[-len(code) :]
            return bool(code) and code != ruler
    return False


def repeated_lines(lines: Sequence[str]) -> int:
    """How many of the last lines repeat those before them; 0 if none do.

    Closing brackets and the like may stand twice on end, not three times.
    """
    for period in range(1, _LONGEST_PERIOD + 1):
        last = lines[-period:]
        if len(lines) >= 2 * period and last == lines[-2 * period : -period]:
            if any(len(line) > _TRIVIAL for line in last):
                return period
            return 2 * period if last == lines[-3 * period : -2 * period] else 0
    return 0


def last_whole_statement(line: str, text: str, first: int) -> int:
    """Length of `text` up to the last line that ends a statement, outside brackets and strings.

    `line` is what stands before `text` on its line and `first` the number of line ends to pass
    over. A header without its block is no whole statement. All of `text` if none ends.
    """
    scanner = Scanner()
    scanner.feed(line)
    depth = len(scanner.brackets)
    ends: list[int] = []
    whole: list[int] = []
    at = 0
    while (end := text.find("\n", at)) >= 0:
        row = text[at:end]
        scanner.feed(row + "\n")
        passed = text.count("\n", 0, end) >= first and text[:end].strip()
        if passed and not scanner.quote and len(scanner.brackets) <= depth:
            ends.append(end)
            if not row.lstrip().startswith("@") and not without_comment(row).endswith(":"):
                whole.append(end)
        at = end + 1
    return (whole or ends or [len(text)])[-1]
