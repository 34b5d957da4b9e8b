"""The special tokens, which take the first ids of the vocabulary.

They are entries of the vocabulary that no merge leads to, so no text ever encodes to one: a file
that spells ``<|endoftext|>`` gives ordinary tokens. Programs put them in by id.
"""

from __future__ import annotations

END_OF_TEXT = "<|endoftext|>"
FIM_PREFIX = "<|fim_prefix|>"
FIM_SUFFIX = "<|fim_suffix|>"
FIM_MIDDLE = "<|fim_middle|>"
REPOSITORY = "<|repo_name|>"
FILE = "<|file_sep|>"

QUALITY_LEVELS = 5
QUALITY = tuple(f"<|quality_{level}|>" for level in range(QUALITY_LEVELS))

RESERVED = tuple(f"<|reserved_{index}|>" for index in range(21))

SPECIAL_TOKENS: tuple[str, ...] = (
    END_OF_TEXT,
    FIM_PREFIX,
    FIM_SUFFIX,
    FIM_MIDDLE,
    REPOSITORY,
    FILE,
    *QUALITY,
    *RESERVED,
)
"""In the order of their ids, from 0."""

SPECIAL_IDS: dict[str, int] = {token: index for index, token in enumerate(SPECIAL_TOKENS)}

END_OF_TEXT_ID = SPECIAL_IDS[END_OF_TEXT]
FIM_PREFIX_ID = SPECIAL_IDS[FIM_PREFIX]
FIM_SUFFIX_ID = SPECIAL_IDS[FIM_SUFFIX]
FIM_MIDDLE_ID = SPECIAL_IDS[FIM_MIDDLE]
REPOSITORY_ID = SPECIAL_IDS[REPOSITORY]
FILE_ID = SPECIAL_IDS[FILE]
