"""The row loader: constant-length rows from logical streams.

A recipe fixes S logical streams. The corpus is a list of units (row groups of its shards); each
epoch permutes them by seed, and stream i walks through units i, i + S, i + 2S, … of that
permutation, `window` of them at a time: their documents are cut into pieces, which are permuted
by seed too, so that a long file does not fill row after row (rows that follow each other out of
the same few files teach those files, not Python). Each stream has its own packer, cursor and random
numbers. A global batch takes rows in stream order, and rank r of w owns the streams i
with i mod w = r. Hence the data order depends neither on the number of ranks nor on a restart.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from parrotlet_tokenizer import CodeTokenizer

from .corpus.shards import shard_files
from .fim import FimOptions, pieces, sequence


class DataError(ValueError):
    """The corpus cannot feed the recipe; the message says what to change."""


class Text(NamedTuple):
    """What training reads of a document.

    Attributes:
        content: its text.
        path: inside its repository.
        quality: level, 0 to 4; None where unknown.
    """

    content: str
    path: str
    quality: int | None


class Units:
    """Random access to the row groups of a corpus split."""

    def __init__(self, corpus: Path, split: str) -> None:
        """Opens the shards (footers alone).

        Raises:
            DataError: if there are none, or one cannot be read.
        """
        files = shard_files(corpus, split)
        if not files:
            raise DataError(f"{corpus} holds no {split} shards: run `parrotlet corpus build` first")
        try:
            self._files = [parquet.ParquetFile(file) for file in files]
        except (OSError, ValueError) as error:
            raise DataError(f"a shard of {corpus} cannot be read: {error}") from error
        self._ends = np.cumsum([file.num_row_groups for file in self._files]).tolist()

    def __len__(self) -> int:
        return int(self._ends[-1])

    def read(self, unit: int) -> list[Text]:
        """Documents of a unit."""
        index = bisect_right(self._ends, unit)
        group = unit - (self._ends[index - 1] if index else 0)
        file = self._files[index]
        rated = "quality" in file.schema_arrow.names
        columns = ["content", "path", *(["quality"] if rated else [])]
        return [
            Text(row["content"], row["path"], row.get("quality"))
            for row in file.read_row_group(group, columns=columns).to_pylist()
        ]


def characters_per_token(units: Units, tokenizer: CodeTokenizer, samples: int = 8) -> float:
    """Estimated over a few units, evenly spread."""
    characters = tokens = 0
    for unit in range(0, len(units), max(1, len(units) // samples)):
        texts = [text.content for text in units.read(unit)]
        characters += sum(map(len, texts))
        tokens += sum(map(len, tokenizer.encode_batch(texts)))
    return characters / max(1, tokens)


@dataclass(frozen=True)
class RowOptions:
    """What all streams of a run share.

    Attributes:
        context: tokens the model sees; a row has one more, so that each token is predicted once.
        streams: number of logical streams, S.
        seed: of every permutation and draw.
        fim: how pieces become sequences.
        window: units whose pieces a stream permutes together, and holds in memory.
    """

    context: int
    streams: int
    seed: int
    fim: FimOptions
    window: int = 16


class Stream:
    """One logical stream: an endless run of rows, whose state can be saved and restored."""

    def __init__(
        self,
        index: int,
        units: Units,
        tokenizer: CodeTokenizer,
        options: RowOptions,
        piece_characters: int,
    ) -> None:
        self.index = index
        self._units = units
        self._tokenizer = tokenizer
        self._options = options
        self._piece_characters = piece_characters
        self._epoch = self._turn = self._piece = 0
        self._buffer: NDArray[np.int32] = np.empty(0, np.int32)
        self._loaded: tuple[int, int] | None = None
        self._pieces: list[tuple[int, int, int, Text]] = []

    def next_row(self) -> NDArray[np.int32]:
        """The next row: int32, shape (context + 1,); its last token is the next one's first."""
        length = self._options.context + 1
        parts = [self._buffer]
        held = len(self._buffer)
        while held < length:
            part = np.asarray(self._next_piece(), np.int32)
            parts.append(part)
            held += len(part)
        self._buffer = np.concatenate(parts)
        row = self._buffer[:length].copy()
        self._buffer = self._buffer[length - 1 :]
        return row

    def _next_piece(self) -> list[int]:
        """Token ids of the next piece; moves the cursor on."""
        if self._loaded != (self._epoch, self._turn):
            self._load()
        unit, document, number, piece = self._pieces[self._piece]
        random = np.random.default_rng((self._options.seed, 1, self._epoch, unit, document, number))
        ids = sequence(
            self._tokenizer, piece.content, piece.path, self._options.fim, random, piece.quality
        )
        self._piece += 1
        if self._piece == len(self._pieces):
            self._piece = 0
            self._turn += 1
            if self._turn * self._options.window >= len(self._units_of_epoch()):
                self._turn = 0
                self._epoch += 1
        return ids

    def _units_of_epoch(self) -> NDArray[np.int64]:
        seed = (self._options.seed, 2, self._epoch)
        if getattr(self, "_order_seed", None) != seed:
            order = np.random.default_rng(seed).permutation(len(self._units))
            self._order = order[self.index :: self._options.streams]
            self._order_seed = seed
        return self._order

    def _load(self) -> None:
        window = self._options.window
        units = self._units_of_epoch()[self._turn * window : (self._turn + 1) * window]
        cut = [
            (unit, document, number, text._replace(content=piece))
            for unit in map(int, units)
            for document, text in enumerate(self._units.read(unit))
            for number, piece in enumerate(pieces(text.content, self._piece_characters))
        ]
        random = np.random.default_rng((self._options.seed, 3, self._epoch, int(units[0])))
        self._pieces = [cut[index] for index in random.permutation(len(cut))]
        self._loaded = (self._epoch, self._turn)

    def state(self) -> dict[str, Any]:
        """All that `restore` needs: the cursor and the tokens packed but not yet given."""
        return {
            "index": self.index,
            "epoch": self._epoch,
            "turn": self._turn,
            "piece": self._piece,
            "buffer": self._buffer.tolist(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where `state` was taken.

        Raises:
            DataError: if it is of another stream.
        """
        if state["index"] != self.index:
            raise DataError(f"state of stream {state['index']} given to stream {self.index}")
        self._epoch, self._turn = state["epoch"], state["turn"]
        self._piece = state["piece"]
        self._buffer = np.asarray(state["buffer"], np.int32)
        self._loaded = None


class RowLoader:
    """The rows of one rank."""

    def __init__(
        self,
        corpus: Path,
        tokenizer: CodeTokenizer,
        options: RowOptions,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """Opens the training split of `corpus`.

        Raises:
            DataError: if it has fewer units than streams, or `world` does not divide the streams.
        """
        if options.streams % world:
            raise DataError(
                f"{options.streams} streams cannot be shared by {world} processes: "
                "choose data.streams as a multiple of the number of processes"
            )
        units = Units(corpus, "train")
        if len(units) < options.streams:
            raise DataError(
                f"the corpus has {len(units)} row groups for {options.streams} streams: "
                f"set data.streams to at most {len(units)} or build a larger corpus"
            )
        piece_characters = int(characters_per_token(units, tokenizer) * options.context * 0.9)
        self._streams = [
            Stream(index, units, tokenizer, options, max(64, piece_characters))
            for index in range(rank, options.streams, world)
        ]

    def next_rows(self, rows_per_stream: int) -> NDArray[np.int32]:
        """This rank's share of a global batch, in stream order.

        Returns:
            int32, shape (rows_per_stream × own streams, context + 1).
        """
        return np.stack(
            [stream.next_row() for _ in range(rows_per_stream) for stream in self._streams]
        )

    def state(self) -> list[dict[str, Any]]:
        """States of the own streams."""
        return [stream.state() for stream in self._streams]

    def restore(self, states: Sequence[dict[str, Any]]) -> None:
        """Takes the own streams' states out of those of all streams.

        Raises:
            DataError: if one is missing.
        """
        by_index = {state["index"]: state for state in states}
        for stream in self._streams:
            if stream.index not in by_index:
                raise DataError(f"the checkpoint has no state of stream {stream.index}")
            stream.restore(by_index[stream.index])


def text_rows(
    corpus: Path, split: str, tokenizer: CodeTokenizer, context: int, max_bytes: int
) -> Iterator[NDArray[np.int32]]:
    """Rows of plain documents for evaluation: every n-th document, about `max_bytes` in all.

    No fill-in-the-middle and no header, so that the score depends on the text alone. The last row
    is filled with end-of-text, which is not scored.

    Yields:
        int32, shape (context + 1,), each row beginning with its forerunner's last token.
    """
    from parrotlet_tokenizer.specials import END_OF_TEXT_ID

    units = Units(corpus, split)
    sample = [text.content for text in units.read(len(units) // 2)]
    mean = sum(len(content.encode()) for content in sample) / len(sample)
    kept = np.random.default_rng(0).permutation(len(units))
    wanted = max(1, int(max_bytes / mean))
    per_unit = max(1, -(-wanted // len(units)))
    buffer: list[int] = [END_OF_TEXT_ID]
    taken = 0
    for unit in kept:
        for text in units.read(int(unit))[:per_unit]:
            buffer += [*tokenizer.encode(text.content), END_OF_TEXT_ID]
            taken += len(text.content.encode())
            while len(buffer) > context:
                yield np.asarray(buffer[: context + 1], np.int32)
                buffer = buffer[context:]
        if taken >= max_bytes:
            break
    if len(buffer) > 1:
        padding = [END_OF_TEXT_ID] * (context + 1 - len(buffer))
        yield np.asarray(buffer + padding, np.int32)
