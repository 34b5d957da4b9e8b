"""The prompt grammar: in which order the parts of a prompt stand.

Training rows and serving prompts are both made here, so that they cannot drift apart::

    header = [quality] [<|repo_name|> repository] {other} [<|file_sep|> path "\\n"]
    other  = <|file_sep|> path "\\n" text
    plain  = header text <|endoftext|>
    psm    = header <|fim_prefix|> prefix <|fim_suffix|> suffix <|fim_middle|> middle <|endoftext|>
    spm    = header <|fim_prefix|> <|fim_suffix|> suffix <|fim_middle|> prefix middle <|endoftext|>

PSM and SPM are those of Bavarian et al. 2022, "Efficient Training of Language Models to Fill in
the Middle", section 3; SPM in its second variant (appendix D), which shares the tokens with PSM.
In SPM, prefix and middle are encoded as one text, so that each place in it trains the
continuation that serving asks for. Serving uses SPM, or the plain form where nothing follows the
cursor: the suffix stands first, so a typed character leaves the model's state valid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .specials import (
    END_OF_TEXT_ID,
    FILE_ID,
    FIM_MIDDLE_ID,
    FIM_PREFIX_ID,
    FIM_SUFFIX_ID,
    QUALITY,
    REPOSITORY_ID,
    SPECIAL_IDS,
)
from .tokenizer import CodeTokenizer


@dataclass(frozen=True)
class Header:
    """What stands before the text itself.

    Attributes:
        quality: level of the document, 0 to 4, best last; None leaves it out.
        repository: ``owner/name``; None leaves it out.
        related: other files as (path, text), the most relevant last.
        path: the file's path inside its repository; None leaves it out.
    """

    quality: int | None = None
    repository: str | None = None
    related: tuple[tuple[str, str], ...] = ()
    path: str | None = None

    def encode(self, tokenizer: CodeTokenizer) -> list[int]:
        """Ids of the header."""
        return self._encode(tokenizer.encode)

    def _encode(self, encode: Callable[[str], list[int]]) -> list[int]:
        ids: list[int] = []
        if self.quality is not None:
            ids.append(SPECIAL_IDS[QUALITY[self.quality]])
        if self.repository is not None:
            ids += [REPOSITORY_ID, *encode(self.repository)]
        for path, text in self.related:
            ids += [FILE_ID, *encode(f"{path}\n{text}")]
        if self.path is not None:
            ids += [FILE_ID, *encode(f"{self.path}\n")]
        return ids


def plain(tokenizer: CodeTokenizer, header: Header, text: str) -> list[int]:
    """A training sequence of `text` as it stands."""
    return [*header.encode(tokenizer), *tokenizer.encode(text), END_OF_TEXT_ID]


def psm(
    tokenizer: CodeTokenizer, header: Header, prefix: str, middle: str, suffix: str
) -> list[int]:
    """A training sequence in the order prefix, suffix, middle."""
    before, between, after = tokenizer.encode_batch([prefix, middle, suffix])
    return [
        *header.encode(tokenizer),
        FIM_PREFIX_ID,
        *before,
        FIM_SUFFIX_ID,
        *after,
        FIM_MIDDLE_ID,
        *between,
        END_OF_TEXT_ID,
    ]


def spm(
    tokenizer: CodeTokenizer, header: Header, prefix: str, middle: str, suffix: str
) -> list[int]:
    """A training sequence in the order suffix, prefix + middle."""
    text = tokenizer.encode(prefix + middle)
    return [*_head(tokenizer.encode, header, suffix), *text, END_OF_TEXT_ID]


def serving_head(tokenizer: CodeTokenizer, header: Header, suffix: str) -> list[int]:
    """The ids of a serving prompt before the prefix's own: they stay as one types."""
    return _head(tokenizer.encode_again, header, suffix)


def _head(encode: Callable[[str], list[int]], header: Header, suffix: str) -> list[int]:
    head = header._encode(encode)
    if suffix:
        head += [FIM_PREFIX_ID, FIM_SUFFIX_ID, *encode(suffix), FIM_MIDDLE_ID]
    return head
