"""Training the vocabulary: byte-level BPE with a split made for Python."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from .specials import SPECIAL_TOKENS
from .tokenizer import CodeTokenizer, TokenizerError

VOCABULARY_SIZE = 16_384

SPLIT = "|".join(
    (
        r"(?:\r?\n)+[ \t]*",  # line ends with the indentation that follows
        r"[^\r\n\p{L}\p{N}]?\p{L}+",  # a word with the one sign before it: " x", ".x", "_x", "(x"
        r" ?\p{N}{1,2}",  # digits in ones and twos, so that numbers share entries
        r" ?[^\s\p{L}\p{N}]+",  # runs of operators, brackets and quotes
        r"[^\S\r\n]+(?=\r?\n)",  # trailing blanks
        r"[^\S\r\n]+(?!\S)|\s",  # other blanks
    )
)
"""Where pieces end; a merge never crosses such a place."""


def train_tokenizer(texts: Iterable[str], vocabulary_size: int = VOCABULARY_SIZE) -> CodeTokenizer:
    """Learns the merges from `texts` (Sennrich et al. 2016, on bytes as in GPT-2).

    Raises:
        TokenizerError: if the texts are too few for `vocabulary_size` entries.
    """
    smallest = len(SPECIAL_TOKENS) + 256
    if vocabulary_size < smallest:
        raise TokenizerError(f"a vocabulary holds at least {smallest} entries (bytes and specials)")
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
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


def corpus_texts(corpus: Path, max_bytes: int) -> Iterator[str]:
    """Document texts of a corpus folder's training split, evenly over its row groups.

    Reads about `max_bytes` of UTF-8 text: every n-th row group, so that each source is seen.

    Raises:
        TokenizerError: if the folder holds no training shards.
    """
    import pyarrow.parquet as parquet

    shards = sorted((corpus / "data").glob("train-*.parquet"))
    if not shards:
        raise TokenizerError(f"{corpus} holds no data/train-*.parquet: build a corpus first")
    files = [parquet.ParquetFile(shard) for shard in shards]
    places = [(file, group) for file in files for group in range(file.num_row_groups)]
    column = files[0].schema_arrow.get_field_index("content")
    total = sum(f.metadata.row_group(g).column(column).total_uncompressed_size for f, g in places)
    step = max(1, -(-total // max_bytes))
    for file, group in places[::step]:
        yield from file.read_row_group(group, columns=["content"])["content"].to_pylist()
