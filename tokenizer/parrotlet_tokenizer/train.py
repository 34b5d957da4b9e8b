"""Training the vocabulary: byte-level BPE with a split made for Python."""

from __future__ import annotations

import json
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from .specials import SPECIAL_TOKENS
from .tokenizer import CodeTokenizer, TokenizerError

VOCABULARY_SIZE = 16_384

_LINES = r"(?:\r?\n)+[ \t]*"  # line ends with the indentation that follows
_SIGNS = r" ?[^\s\p{L}\p{N}]+"  # runs of operators, brackets and quotes
_DIGITS = r" ?\p{N}{1,2}"  # in ones and twos, so that numbers share entries
_BLANKS = (
    r"[^\S\r\n]+(?=\r?\n)",  # trailing blanks
    r"[^\S\r\n]+(?!\S)|\s",  # other blanks
)
_ONE = r"[^\r\n\p{L}\p{N}]?"  # the sign before a word: " x", ".x", "_x", "(x"
_TWO = rf"(?:[^\s\p{{L}}\p{{N}}]{{0,2}} ?|{_ONE})"  # or two and a space: ", x", "('x", "= x"
_WORD = r"\p{L}+"
_KEYWORDS = (
    r"(?:(?:False|None|True|and|as|assert|async|await|class|def|del|elif|else|except|finally|for|"
    r"from|global|if|import|in|is|lambda|nonlocal|not|or|pass|raise|return|try|while|with|yield) )"
)

SPLITS = {
    "signs": "|".join((_LINES, _ONE + _WORD, _DIGITS, _SIGNS, *_BLANKS)),
    "lines": "|".join((_LINES, _ONE + _WORD, _DIGITS, rf"{_SIGNS}(?:{_LINES})?", *_BLANKS)),
    "spaces": "|".join((_LINES, _TWO + _WORD, _DIGITS, rf"{_SIGNS}(?:{_LINES}| )?", *_BLANKS)),
    "keywords": "|".join(
        (
            rf"{_LINES}{_KEYWORDS}*(?:{_WORD})?",
            rf"{_TWO}{_KEYWORDS}+(?:{_WORD})?",
            _TWO + _WORD,
            _DIGITS,
            rf"{_SIGNS}(?:{_LINES}| )?",
            *_BLANKS,
        )
    ),
}
"""Where pieces end; a merge never crosses such a place. Each joins more than the one before it:

- ``signs``: newline and indentation are one piece; a word takes one sign or space before it;
- ``lines``: a run of signs also takes the line end and indentation after it (``):`` + newline);
- ``spaces``: or the one space after it (`` = ``), and a word takes two signs and a space (``, x``);
- ``keywords``: a word also takes the keywords before it (`` not in``, ``for x``, ``def __init__``
  up to the word), and the line end and indentation before those.

In each, whatever stands before the last piece of a text is cut the same way however the text goes
on. Token healing (`CodeTokenizer.encode_healed`) rests on that: a rule for a piece that only
forms once more is typed (two words and the space between, say) would break it.
"""

DEFAULT_SPLIT = "spaces"


def train_tokenizer(
    texts: Iterable[str],
    vocabulary_size: int = VOCABULARY_SIZE,
    split: str = DEFAULT_SPLIT,
) -> CodeTokenizer:
    """Learns the merges from `texts` (Sennrich et al. 2016, on bytes as in GPT-2).

    Args:
        texts: to learn from.
        vocabulary_size: entries, special tokens included.
        split: where merges must stop, a key of `SPLITS`.

    Raises:
        TokenizerError: if there is no such split, or the texts are too few for
            `vocabulary_size` entries.
    """
    if split not in SPLITS:
        raise TokenizerError(f"there is no split {split!r}: take one of {', '.join(SPLITS)}")
    smallest = len(SPECIAL_TOKENS) + 256
    if vocabulary_size < smallest:
        raise TokenizerError(f"a vocabulary holds at least {smallest} entries (bytes and specials)")
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLITS[split]), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        max_token_length=48,
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    if core.get_vocab_size() != vocabulary_size:
        raise TokenizerError(
            f"the text gives only {core.get_vocab_size()} entries of {vocabulary_size}: "
            "give more text or a smaller --vocabulary-size"
        )
    # As added tokens the specials would be matched inside text; as plain entries they are not.
    content = json.loads(core.to_str())
    content["added_tokens"] = []
    return CodeTokenizer.from_json(json.dumps(content, ensure_ascii=False))
