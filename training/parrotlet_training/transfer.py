"""A model's weights under another vocabulary.

Each new entry begins as the mean of the old entries that spelt its bytes (Gee et al. 2022, Fast
Vocabulary Transfer for Language Model Compression, section 3); what stands in both vocabularies is
kept as it is. The blocks and the positions stay. Such a model has to be trained on: until then it
is worse than the one that it comes from.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from parrotlet_tokenizer import CodeTokenizer
from parrotlet_tokenizer.specials import SPECIAL_TOKENS


@dataclass(frozen=True)
class Spelling:
    """How the entries of one vocabulary are spelt in another.

    Attributes:
        ids: for each entry, the other's ids that spell it; a special token's is its own.
        same: how many are one and the same entry in both.
    """

    ids: list[list[int]]
    same: int


def spelt(new: CodeTokenizer, old: CodeTokenizer) -> Spelling:
    """Each entry of `new` in ids of `old`."""
    known = {text: index for index, text in enumerate(old.token_bytes) if text}
    ids: list[list[int]] = []
    same = 0
    for index, text in enumerate(new.token_bytes):
        if index < len(SPECIAL_TOKENS):
            ids.append([index])
        elif text in known:
            ids.append([known[text]])
        else:
            ids.append(_pieces(text, old, known))
            continue
        same += 1
    return Spelling(ids, same)


def with_vocabulary(embedding: Tensor, spelling: Spelling) -> Tensor:
    """The embedding of the new entries, float32 of shape (new entries, width).

    Args:
        embedding: of the old entries, shape (old entries, width).
        spelling: of the new entries in the old ones.
    """
    return torch.stack([embedding[ids].float().mean(dim=0) for ids in spelling.ids])


def _pieces(text: bytes, old: CodeTokenizer, known: dict[bytes, int]) -> list[int]:
    try:
        return old.encode(text.decode())
    except UnicodeDecodeError:  # part of a character: no text has it, but its bytes have entries
        return [known[text[at : at + 1]] for at in range(len(text))]
