"""What goes into the engine and what comes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .recall import Ngrams

Multiline = Literal["auto", "always", "never"]


@dataclass(frozen=True)
class Related:
    """Text of another file.

    Attributes:
        path: of the file.
        text: in whole lines.
    """

    path: str
    text: str


@dataclass(frozen=True)
class Request:
    """A place in a text where a completion is wanted.

    Attributes:
        prefix: all text before the cursor.
        suffix: all text after the cursor.
        path: the file's path inside its workspace, told to the model; None leaves it out.
        document: identity of the text; requests with the same one share the model's state first.
        multiline: "auto" allows several lines where a block is to be written, "always" wherever
            the cursor ends a line, "never" nowhere.
        max_tokens: most tokens that the model writes.
        candidates: most suggestions that are wanted, 1 to 3; each further one costs about as much
            as writing the first did.
        comments: whether to complete inside comments.
        strings: whether to complete inside string literals.
        related: text of other files, the most important last.
        related_tokens: most tokens that it takes of the prompt.
        recall: whether what the text itself repeats has a say beside the model.
        ngrams: n-grams of other files, which have their say too; None where there are none. It is
            no part of a request's identity.
        file_number: of this file in `ngrams`, which then does not count.
    """

    prefix: str
    suffix: str
    path: str | None = None
    document: str = ""
    multiline: Multiline = "auto"
    max_tokens: int = 96
    candidates: int = 1
    comments: bool = True
    strings: bool = True
    related: tuple[Related, ...] = ()
    related_tokens: int = 256
    recall: bool = True
    ngrams: Ngrams | None = field(default=None, compare=False, repr=False)
    file_number: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Suggestion:
    """Text to be inserted at the cursor.

    Attributes:
        text: never empty, never only white space.
        overwrite: characters right of the cursor, on its line, that `text` replaces, since it
            brings the same closing brackets and quotes itself.
        score: mean log-probability of the model's tokens, at most 0; less where the text holds a
            name that stands nowhere else.
    """

    text: str
    overwrite: int
    score: float


@dataclass(frozen=True)
class Completion:
    """A suggestion or the reason why there is none, and what it cost.

    Attributes:
        suggestion: None where nothing sensible is to be shown.
        reason: why the text ended ("end_of_line", "end_of_block", "end_of_text", "repetition",
            "length") or why there is none ("cancelled", "empty", "skipped:…").
        prompt_tokens: length of the prompt.
        evaluated_tokens: tokens of the prompt that the model read for this request; the others'
            state was kept from earlier requests.
        generated_tokens: tokens that the model wrote.
        seconds: wall time.
        others: further suggestions, each another text, the surest first, where the request asks
            for them. Where there is a suggestion without them, it is `suggestion` with them too.
        passes: runs of the model for what it wrote, fewer than tokens where drafts were right.
        drafted_tokens: tokens of drafts out of the text that the model read.
        accepted_tokens: of these, those that were what the model writes.
        dropped: why likelier answers than `suggestion`, or than none, were not worth showing: the
            names of the filters that took them.
    """

    suggestion: Suggestion | None
    reason: str
    prompt_tokens: int = 0
    evaluated_tokens: int = 0
    generated_tokens: int = 0
    seconds: float = 0.0
    others: tuple[Suggestion, ...] = ()
    passes: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    dropped: tuple[str, ...] = ()
