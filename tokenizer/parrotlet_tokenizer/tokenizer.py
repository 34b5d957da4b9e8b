"""Loading and using a trained vocabulary."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from tokenizers import Tokenizer

from .specials import END_OF_TEXT, SPECIAL_TOKENS

TOKENIZER_FILE = "tokenizer.json"

_REMEMBERED = 16
"""Texts whose tokens are kept: those of a few prompts."""


class TokenizerError(ValueError):
    """A tokenizer file is missing, unreadable or not one of Parrotlet's; the message says which."""


@dataclass(frozen=True)
class Healed:
    """A text's tokens up to its last piece, and that piece as text.

    Attributes:
        ids: tokens of the text before the piece.
        rest: the last piece, which the model shall write anew (and go on from).
    """

    ids: list[int]
    rest: str


@dataclass(frozen=True)
class _Pieces:
    """A text, and where the pieces begin that no token crosses.

    Attributes:
        text: the whole of it.
        ids: its tokens.
        starts: of each piece, in characters.
        firsts: of each piece, the place of its first token in `ids`.
    """

    text: str
    ids: list[int]
    starts: list[int]
    firsts: list[int]


class CodeTokenizer:
    """Parrotlet's byte-level BPE: text to ids and back, without loss, never touching specials."""

    def __init__(self, core: Tokenizer) -> None:
        """Wraps `core`.

        Raises:
            TokenizerError: if the special tokens do not take the first ids.
        """
        for index, token in enumerate(SPECIAL_TOKENS):
            if core.token_to_id(token) != index:
                raise TokenizerError(
                    f"this vocabulary does not hold {token} at id {index}: it was not made by "
                    "`parrotlet tokenizer train`"
                )
        self._core = core
        self._last = _Pieces("", [], [], [])

    @classmethod
    def load(cls, path: Path) -> CodeTokenizer:
        """Reads `path`, a ``tokenizer.json`` or a folder that holds one.

        Raises:
            TokenizerError: if it is missing, corrupt or has other special tokens.
        """
        file = path / TOKENIZER_FILE if path.is_dir() else path
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TokenizerError(f"cannot read the tokenizer {file}: {error}") from error
        return cls.from_json(text, str(file))

    @classmethod
    def from_json(cls, text: str, name: str = TOKENIZER_FILE) -> CodeTokenizer:
        """Reads the text of a ``tokenizer.json``; `name` is used in errors.

        Raises:
            TokenizerError: if it is corrupt or has other special tokens.
        """
        try:
            core = Tokenizer.from_str(text)
        except Exception as error:  # the Rust side raises plain Exception
            raise TokenizerError(f"{name} is not a readable tokenizer: {error}") from error
        return cls(core)

    @property
    def vocabulary_size(self) -> int:
        """Number of entries, special tokens included."""
        return int(self._core.get_vocab_size())

    def encode(self, text: str) -> list[int]:
        """Ids of `text`; text that spells a special token gives ordinary ids.

        Raises:
            ValueError: if `text` holds a lone surrogate, which no encoding of text can carry.
        """
        return list(self._core.encode(_valid(text), add_special_tokens=False).ids)

    def encode_again(self, text: str) -> list[int]:
        """As `encode`, for a text that comes again and again: the last few are remembered."""
        return list(self._remembered(text))

    @cached_property
    def _remembered(self) -> Callable[[str], tuple[int, ...]]:
        return lru_cache(maxsize=_REMEMBERED)(lambda text: tuple(self.encode(text)))

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of each text, in parallel."""
        encoded = self._core.encode_batch_fast([_valid(t) for t in texts], add_special_tokens=False)
        return [list(item.ids) for item in encoded]

    def encode_healed(self, text: str) -> Healed:
        """Tokens of `text` without its last piece (word, symbol run or newline + indentation).

        A cursor stands inside a piece more often than not, and the tokens of half a piece are not
        the first half of the piece's tokens. So the model gets what stands before it and is held
        to begin with it ("token healing").
        """
        pieces = self._cut(_valid(text))
        if not pieces.starts:
            return Healed([], text)
        return Healed(pieces.ids[: pieces.firsts[-1]], text[pieces.starts[-1] :])

    def _cut(self, text: str) -> _Pieces:
        """The pieces of `text`; those that it shares with the text before it are not cut anew.

        Pieces are cut from the left, and where one ends is decided by a few characters behind it
        (`train.SPLITS`). So up to two pieces before the first change nothing is other than it was.
        """
        held = self._last
        known = max(0, bisect_right(held.starts, _common(held.text, text) - 2) - 2)
        begin, first = (held.starts[known], held.firsts[known]) if known else (0, 0)
        encoding = self._core.encode(text[begin:], add_special_tokens=False)
        words = encoding.word_ids
        firsts = [at for at, word in enumerate(words) if not at or word != words[at - 1]]
        offsets = encoding.offsets
        self._last = pieces = _Pieces(
            text,
            [*held.ids[:first], *encoding.ids],
            [*held.starts[:known], *(begin + offsets[at][0] for at in firsts)],
            [*held.firsts[:known], *(first + at for at in firsts)],
        )
        return pieces

    def decode(self, ids: Iterable[int]) -> str:
        """Text of `ids` without special tokens; bytes that are no UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """UTF-8 bytes of `ids`, special tokens left out."""
        return b"".join(self.token_bytes[index] for index in ids)

    @cached_property
    def token_bytes(self) -> list[bytes]:
        """The bytes each id stands for; empty for special tokens."""
        table = _byte_of_character()
        result = []
        for index in range(self.vocabulary_size):
            token = self._core.id_to_token(index) or ""
            if index < len(SPECIAL_TOKENS):
                result.append(b"")
            else:
                result.append(bytes(table[character] for character in token))
        return result

    @cached_property
    def json(self) -> str:
        """The text of ``tokenizer.json``."""
        return str(self._core.to_str())

    def save(self, folder: Path, context_length: int = 1024) -> None:
        """Writes ``tokenizer.json`` and the configuration that ``AutoTokenizer`` reads."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / TOKENIZER_FILE).write_text(self.json, encoding="utf-8")
        configuration = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": END_OF_TEXT,
            "eos_token": END_OF_TEXT,
            "unk_token": None,
            "add_prefix_space": False,
            "clean_up_tokenization_spaces": False,
            "split_special_tokens": True,
            "model_max_length": context_length,
        }
        (folder / "tokenizer_config.json").write_text(
            json.dumps(configuration, indent=2) + "\n", encoding="utf-8"
        )


def _common(one: str, other: str) -> int:
    """Length of what both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _valid(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the text holds a lone surrogate at character {error.start}; replace it by U+FFFD"
        ) from error
    return text


def _byte_of_character() -> dict[str, int]:
    """GPT-2's printable stand-in for each byte (openai/gpt-2, encoder.py), turned round."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in printable}
    others = [byte for byte in range(256) if byte not in printable]
    table.update({chr(256 + offset): byte for offset, byte in enumerate(others)})
    return table
