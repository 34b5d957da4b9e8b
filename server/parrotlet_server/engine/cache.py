"""Suggestions that were made before, also for one who types what they say."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

from .filters.closers import fit_closers
from .place import only_closers
from .types import Completion, Request

ENDS = 2_000
"""Characters each side of the cursor that are kept to be compared; the others by their hash."""


@dataclass(frozen=True)
class Found:
    """A completion out of the cache.

    Attributes:
        number: of the completion that it is or is the rest of; see `SuggestionCache.put`.
        completion: fit for the place that was asked for.
    """

    number: int
    completion: Completion


@dataclass(frozen=True)
class _Entry:
    number: int
    request: Request  # prefix and suffix are emptied: see the fields below
    candidates: int
    size: int  # of the text before the cursor
    end: str
    before: int  # hash
    tail: str
    below: str
    after: int  # hash
    completion: Completion

    def serves(self, candidates: int, typed: int) -> bool:
        """Whether so many suggestions can be had of it once `typed` characters of it are there."""
        if candidates > self.candidates:
            return False
        # who did not ask is shown only what is likely enough, but may type on what he asked for
        return typed > 0 or candidates == self.candidates or not self.completion.dropped


class SuggestionCache:
    """Completions by the text around the cursor: all of it, on both sides.

    An entry also answers for the places that are reached by typing what it suggests, at once or
    piece by piece, and by going back to where it was made. Brackets and quotes that an editor
    closes on the way may have come or gone right of the cursor.
    """

    def __init__(self, most: int = 64) -> None:
        """Keeps up to `most` completions, those used last."""
        self._most = most
        self._entries: OrderedDict[int, _Entry] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, request: Request, completion: Completion) -> int:
        """Keeps a completion, which was not cancelled; gives the number that it gets."""
        self._count += 1
        tail, newline, below = request.suffix.partition("\n")
        below = newline + below
        self._entries[self._count] = _Entry(
            self._count,
            replace(request, prefix="", suffix="", candidates=1, ngrams=None),
            request.candidates,
            len(request.prefix),
            request.prefix[-ENDS:],
            hash(request.prefix),
            tail,
            below[:ENDS],
            hash(below),
            completion,
        )
        while len(self._entries) > self._most:
            self._entries.popitem(last=False)
        return self._count

    def get(self, request: Request) -> Found | None:
        """What is known for `request`: the newest that fits."""
        tail, newline, below = request.suffix.partition("\n")
        below = newline + below
        after: int | None = None
        for entry in reversed(self._entries.values()):
            typed = len(request.prefix) - entry.size
            suggestion = entry.completion.suggestion
            if typed < 0 or typed > (len(suggestion.text) - 1 if suggestion else 0):
                continue
            if not request.prefix.startswith(entry.end, max(0, entry.size - ENDS)):
                continue
            if not below.startswith(entry.below) or (typed == 0 and tail != entry.tail):
                continue
            if suggestion and not suggestion.text.startswith(request.prefix[entry.size :]):
                continue
            after = hash(below) if after is None else after
            if after != entry.after or hash(request.prefix[: entry.size]) != entry.before:
                continue
            if not entry.serves(request.candidates, typed):
                continue
            if replace(request, prefix="", suffix="", candidates=1) != entry.request:
                continue
            completion = _rest(entry, request.prefix, tail, typed)
            if completion is not None:
                self._entries.move_to_end(entry.number)
                return Found(entry.number, completion)
        return None

    def clear(self, keep: int | None = None) -> None:
        """Forgets all, or all but the completion of the number `keep`."""
        for number in [one for one in self._entries if one != keep]:
            del self._entries[number]


def _rest(entry: _Entry, prefix: str, tail: str, typed: int) -> Completion | None:
    """What is left to suggest; None where it does not fit before `tail`."""
    suggestion = entry.completion.suggestion
    if suggestion is None or typed == 0:
        return entry.completion
    text = suggestion.text[typed:]
    fitting, overwrite = fit_closers(prefix[prefix.rfind("\n") + 1 :], text, tail)
    if fitting != text or not text.strip():
        return None
    # what is right of the cursor may only have changed by what editors close themselves
    if not only_closers(tail) or (tail[overwrite:] and "\n" in text):
        return None
    left = replace(suggestion, text=text, overwrite=overwrite)
    return replace(entry.completion, suggestion=left, others=())
