"""What the engine suggests as what the editor shows."""

from __future__ import annotations

import re

from lsprotocol import types

from parrotlet_server.engine import Suggestion

from .documents import Place
from .settings import SECTION

ACCEPTED = f"{SECTION}.accepted"
"""The command by which the editor tells that a suggestion was taken."""

_WORD_END = re.compile(r"\w*\Z")
_FIRST = " "
"""Sorts before every letter and digit, so that the suggestion stands first in a list."""


def inline_item(
    place: Place, inserted: str, suggestion: Suggestion, number: int
) -> types.InlineCompletionItem:
    """Ghost text.

    Args:
        place: the cursor, or what the popup's selected item replaces.
        inserted: the text of that item, which stands before the suggestion.
        suggestion: of the engine.
        number: that is told when the user takes it.
    """
    return types.InlineCompletionItem(
        insert_text=inserted + suggestion.text.replace("\n", place.newline),
        range=place.extended(0, suggestion.overwrite),
        command=_accepted(number),
    )


def popup_item(place: Place, suggestion: Suggestion, number: int) -> types.CompletionItem:
    """An entry of the completion list: it takes in the word that it goes on, as others do."""
    match = _WORD_END.search(place.before)
    word = match.group() if match is not None else ""
    text = word + suggestion.text
    first, *more = text.strip().split("\n")
    return types.CompletionItem(
        label=f"{first}…" if more else first,
        kind=types.CompletionItemKind.Text,
        detail="Parrotlet",
        sort_text=_FIRST,
        # editors match it with what stands before the cursor in the replaced range
        filter_text=text.split("\n", 1)[0] or word,
        insert_text_format=types.InsertTextFormat.PlainText,
        # the suggestion is indented as it shall be
        insert_text_mode=types.InsertTextMode.AsIs,
        text_edit=types.TextEdit(
            place.extended(len(word), suggestion.overwrite), text.replace("\n", place.newline)
        ),
        command=_accepted(number),
    )


def _accepted(number: int) -> types.Command:
    return types.Command(title="", command=ACCEPTED, arguments=[number])
