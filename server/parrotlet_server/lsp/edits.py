"""Where the user has edited last."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from lsprotocol import types

MOST = 16
"""Places that are remembered."""

NEAR = 10
"""Lines; edits that are closer are one place."""


@dataclass(frozen=True)
class Edit:
    """A place that was edited.

    Attributes:
        uri: of the document.
        line: of the edit, at that time.
    """

    uri: str
    line: int


class RecentEdits:
    """The last places that were edited, the newest last."""

    def __init__(self) -> None:
        """Starts with none."""
        self.places: list[Edit] = []
        self._counts: Counter[str] = Counter()

    def note(self, uri: str, change: types.TextDocumentContentChangeEvent) -> None:
        """Takes note of a change; one of a whole text says nothing of its place."""
        self._counts[uri] += 1
        if isinstance(change, types.TextDocumentContentChangeWholeDocument):
            return
        edit = Edit(uri, change.range.start.line)
        far = [one for one in self.places if one.uri != uri or abs(one.line - edit.line) > NEAR]
        self.places = [*far, edit][-MOST:]

    def elsewhere(self, uri: str) -> int:
        """How many changes other documents have had."""
        return self._counts.total() - self._counts[uri]
