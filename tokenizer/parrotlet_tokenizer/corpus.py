"""Reading a corpus: text to learn a vocabulary from, and text to measure one on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .tokenizer import TokenizerError

HELD_OUT = ("holdout", "validation", "train")
"""Splits to measure on, the fairest first."""

_SURPLUS = 16  # read so many times what is asked for, so that each repository has its share


@dataclass(frozen=True)
class _Group:
    """A row group of a shard: `size` is the bytes of its text as stored, before compression."""

    shard: Path
    index: int
    size: int


def corpus_texts(corpus: Path, max_bytes: int) -> Iterator[str]:
    """Document texts of a corpus folder's training split, evenly over its row groups.

    Reads about `max_bytes` of UTF-8 text, and all if there is less.

    Raises:
        TokenizerError: if `max_bytes` is not positive, the folder holds no training shards, or
            one of them is damaged.
    """
    for _, text in _rows(_groups(corpus, "train"), _positive(max_bytes), ("content",)):
        yield text


def held_out_texts(corpus: Path, max_bytes: int) -> dict[str, list[str]]:
    """A sample of about `max_bytes`, by repository, each with the same share where it has it.

    Takes the first split of `HELD_OUT` that the corpus has, or the ``.py`` files below a folder
    that is no corpus, where each folder at its top counts as a repository. The order is that of
    the texts' SHA-256, so the sample does not depend on that of the shards. A text longer than a
    quarter of its repository's share is cut there, at a line end.

    Raises:
        TokenizerError: if `max_bytes` is not positive, a shard is damaged, or no text is found.
    """
    _positive(max_bytes)
    texts: dict[str, list[str]] = {}
    split = next((s for s in HELD_OUT if _shards(corpus, s)), None)
    if split is not None:
        groups = _groups(corpus, split)
        rows = _rows(groups, max_bytes * _SURPLUS, ("content", "repository"))
    else:
        rows = _files(corpus)
    for repository, text in rows:
        texts.setdefault(repository, []).append(text)
    if not texts:
        raise TokenizerError(
            f"{corpus} holds neither data/*.parquet of a corpus nor Python files to measure on"
        )
    return _even(texts, max_bytes)


def _positive(max_bytes: int) -> int:
    if max_bytes < 1:
        raise TokenizerError(f"at least one byte of text is needed, not {max_bytes}: raise it")
    return max_bytes


def _even(texts: dict[str, list[str]], max_bytes: int) -> dict[str, list[str]]:
    sizes = {name: sum(map(_size, of_one)) for name, of_one in texts.items()}
    shares = {}
    left = max_bytes
    # the smallest first: what one repository lacks, the others share
    for place, name in enumerate(sorted(sizes, key=lambda name: (sizes[name], name))):
        shares[name] = min(sizes[name], left // (len(sizes) - place))
        left -= shares[name]
    result = {}
    for name in sorted(texts):
        taken: list[str] = []
        size = 0
        for text in sorted(texts[name], key=_digest):
            if size >= shares[name]:
                break
            piece = _cut(text, max(shares[name] // 4, 1)) if sizes[name] > shares[name] else text
            taken.append(piece)
            size += _size(piece)
        if taken:
            result[name] = taken
    return result


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()


def _cut(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    return text[: text.rfind("\n", 0, length) + 1] or text[:length]


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    for file in sorted(folder.rglob("*.py")):
        place = file.relative_to(folder).parts
        try:
            yield place[0] if len(place) > 1 else ".", file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):  # a corpus build leaves such files out too
            continue


def _shards(corpus: Path, split: str) -> list[Path]:
    return sorted((corpus / "data").glob(f"{split}-*.parquet"))


def _groups(corpus: Path, split: str) -> list[_Group]:
    shards = _shards(corpus, split)
    if not shards:
        raise TokenizerError(f"{corpus} holds no data/{split}-*.parquet: build a corpus first")
    result = []
    for shard in shards:  # one at a time: a large corpus has more shards than a process may open
        with _open(shard) as file:
            column = file.schema_arrow.get_field_index("content")
            if column < 0:
                raise TokenizerError(f"{shard} has no column `content`: it is no corpus shard")
            for index in range(file.num_row_groups):
                part = file.metadata.row_group(index).column(column)
                result.append(_Group(shard, index, part.total_uncompressed_size))
    return result


def _rows(
    groups: list[_Group], max_bytes: int, columns: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """(repository or "", text) of so many groups, evenly spread, that they hold `max_bytes`."""
    total = sum(group.size for group in groups)
    passed = taken = 0
    chosen: dict[Path, list[int]] = {}
    for group in groups:
        if taken * total <= passed * max_bytes:
            chosen.setdefault(group.shard, []).append(group.index)
            taken += group.size
        passed += group.size
    for shard, indices in chosen.items():
        with _open(shard) as file:
            for index in indices:
                try:
                    table = file.read_row_group(
                        index, columns=[c for c in columns if c in file.schema_arrow.names]
                    )
                    contents = table["content"].to_pylist()
                except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
                    raise _damaged(shard, error) from error
                if "repository" in table.column_names:
                    repositories = table["repository"].to_pylist()
                else:
                    repositories = [""] * len(contents)
                for repository, text in zip(repositories, contents, strict=True):
                    if text:
                        yield repository or "", text


def _open(shard: Path) -> Any:
    import pyarrow.parquet as parquet

    try:
        return parquet.ParquetFile(shard)
    except (OSError, ValueError) as error:
        raise _damaged(shard, error) from error


def _damaged(shard: Path, error: Exception) -> TokenizerError:
    reason = " ".join(str(error).split())[:200]
    return TokenizerError(
        f"{shard} is damaged or no Parquet file: build the corpus anew, or restore the file "
        f"({reason})"
    )
