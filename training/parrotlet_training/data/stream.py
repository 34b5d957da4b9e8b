"""Logical streams: endless runs of rows, whose state is a place in the data.

A recipe fixes S logical streams. Each epoch permutes the units of the data by seed, and stream i
walks through units i, i + S, i + 2S, … of that permutation, `window` of them at a time: their
sequences are permuted by seed too, so that a long file does not fill row after row (rows that
follow each other out of the same few files teach those files, not Python). They are joined, and
each row is the next run of them, overlapping its forerunner by one token; nothing is lost between
rows, windows or epochs. All order and all draws follow from the seed and a place, so a place is all
that a resume needs.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .sequences import Sequences, Window
from .units import DataError

_AT_ONCE = 64
"""Sequences that are made together."""

_TRIES = 4
"""Epochs without text, after which a stream gives up: its units change from epoch to epoch."""


@dataclass(frozen=True)
class RowOptions:
    """What all streams of a run share.

    Attributes:
        context: tokens the model sees; a row has one more, so that each token is predicted once.
        streams: number of logical streams, S.
        seed: of every permutation.
        window: units whose sequences a stream permutes together, and holds in memory.
    """

    context: int
    streams: int
    seed: int
    window: int = 16


class Place(NamedTuple):
    """Where a sequence stands in its stream.

    Attributes:
        epoch: from 0.
        turn: number of its window in the epoch.
        piece: its number in the window's permutation.
    """

    epoch: int
    turn: int
    piece: int


class Stream:
    """One logical stream."""

    def __init__(self, index: int, sequences: Sequences, options: RowOptions) -> None:
        """Stands before the first row of stream `index` of `options.streams`."""
        self.index = index
        self._sequences = sequences
        self._options = options
        self._next = Place(0, 0, 0)
        self._held: deque[tuple[Place, NDArray[Any]]] = deque()
        self._offset = 0
        self._units: tuple[int, NDArray[np.int64]] | None = None
        self._loaded: tuple[int, int] | None = None
        self._window: Window
        self._order: NDArray[np.int64]

    def next_row(self) -> NDArray[np.int32]:
        """The next row: int32, shape (context + 1,); its last token is the next one's first.

        Raises:
            DataError: if the data cannot be read.
        """
        row = np.empty(self._options.context + 1, np.int32)
        done, number, start = 0, 0, self._offset
        while True:
            while number == len(self._held):
                self._read()
            ids = self._held[number][1]
            part = ids[start : start + len(row) - done]
            row[done : done + len(part)] = part
            done += len(part)
            if done == len(row):
                break
            number, start = number + 1, 0
        self._offset = start + len(part) - 1
        for _ in range(number):
            self._held.popleft()
        return row

    def _read(self) -> None:
        """Holds a few more sequences."""
        self._load()
        epoch, turn, piece = self._next
        places = self._order[piece : piece + _AT_ONCE].tolist()
        for number, ids in enumerate(self._window.ids(places), piece):
            self._held.append((Place(epoch, turn, number), ids))
        piece += len(places)
        self._next = Place(epoch, turn, piece) if piece < len(self._order) else self._after()

    def _load(self) -> None:
        """The window at the next place, past those that hold nothing."""
        tried = 0
        while self._loaded != self._next[:2]:
            epoch, turn, _ = self._next
            units = self._turn_units(epoch, turn)
            window = self._sequences.window(units, epoch)
            if not len(window):
                tried += 1
                if tried > _TRIES * self._turns():
                    raise DataError(
                        f"the units of stream {self.index} hold no text: set data.streams to less"
                    )
                self._next = self._after()
                continue
            self._window = window
            random = np.random.default_rng((self._options.seed, 3, epoch, units[0]))
            self._order = random.permutation(len(window))
            self._loaded = (epoch, turn)

    def _after(self) -> Place:
        """The place where the next window begins."""
        epoch, turn, _ = self._next
        return Place(epoch, turn + 1, 0) if turn + 1 < self._turns() else Place(epoch + 1, 0, 0)

    def _turns(self) -> int:
        own = len(range(self.index, len(self._sequences), self._options.streams))
        return -(-own // self._options.window)

    def _turn_units(self, epoch: int, turn: int) -> list[int]:
        if self._units is None or self._units[0] != epoch:
            random = np.random.default_rng((self._options.seed, 2, epoch))
            order = random.permutation(len(self._sequences))
            self._units = epoch, order[self.index :: self._options.streams]
        window = self._options.window
        return [int(unit) for unit in self._units[1][turn * window : (turn + 1) * window]]

    def state(self) -> dict[str, int]:
        """All that `restore` needs: the place of the next row's first token."""
        place = self._held[0][0] if self._held else self._next
        return {"index": self.index, **place._asdict(), "offset": self._offset}

    def restore(self, state: dict[str, int]) -> None:
        """Goes on where `state` was taken.

        Raises:
            DataError: if it is of another stream, or of another version of Parrotlet.
        """
        if set(state) != {"index", *Place._fields, "offset"}:
            raise DataError(
                "the checkpoint was made by another version of Parrotlet: begin a new run with its "
                "weights (--init-from)"
            )
        if state["index"] != self.index:
            raise DataError(f"state of stream {state['index']} given to stream {self.index}")
        self._next = Place(*(state[name] for name in Place._fields))
        self._offset = state["offset"]
        self._held.clear()
