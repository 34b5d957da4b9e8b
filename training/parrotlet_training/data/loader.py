"""The row loader: the rows of one rank, read ahead of their use.

Rank r of w owns the streams i with i mod w = r, and a global batch takes rows in stream order.
Hence the order of the data depends neither on the number of ranks nor on a restart.

A thread reads ahead. Tokenising is the bulk of its work, releases the interpreter and uses all
processors, so a second process would add nothing but its start and its copies.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from queue import Empty, Queue

import numpy as np
from numpy.typing import NDArray

from .sequences import Sequences
from .stream import RowOptions, Stream
from .units import DataError

State = dict[str, int]
_Round = tuple[NDArray[np.int32], list[State]]
"""One row of each own stream, in their order, and the streams' states after it."""

AHEAD = 64
"""Rows of each stream that are ready before they are asked for."""


class RowLoader:
    """The rows of one rank. To be closed, or used in a ``with`` block."""

    def __init__(
        self,
        sequences: Sequences,
        options: RowOptions,
        rank: int = 0,
        world: int = 1,
        ahead: int = AHEAD,
    ) -> None:
        """Stands before the first rows; nothing is read yet.

        Args:
            sequences: of the training split.
            options: of the streams.
            rank: of this process.
            world: number of processes.
            ahead: rows of each stream to read ahead.

        Raises:
            DataError: if there are fewer units than streams, or `world` does not divide the
                streams.
        """
        if options.streams % world:
            raise DataError(
                f"{options.streams} streams cannot be shared by {world} processes: "
                "choose data.streams as a multiple of the number of processes"
            )
        if len(sequences) < options.streams:
            raise DataError(
                f"the data has {len(sequences)} units (of 256 KiB of text) for {options.streams} "
                f"streams: set data.streams to at most {len(sequences)} or take more text"
            )
        self._streams = [
            Stream(index, sequences, options) for index in range(rank, options.streams, world)
        ]
        self._states = [stream.state() for stream in self._streams]
        self._ahead = ahead
        self._reader: _Reader | None = None

    def next_rows(self, rows_per_stream: int) -> NDArray[np.int32]:
        """This rank's share of a global batch, in stream order.

        Returns:
            int32, shape (rows_per_stream × own streams, context + 1).

        Raises:
            DataError: if the data cannot be read.
        """
        if self._reader is None:
            self._reader = _Reader(self._streams, self._ahead)
            # ends the thread with the loader, or with the process
            weakref.finalize(self, self._reader.stop)
        rounds = [self._reader.get() for _ in range(rows_per_stream)]
        self._states = rounds[-1][1]
        return np.concatenate([rows for rows, _ in rounds])

    def state(self) -> list[State]:
        """States of the own streams after the rows handed out."""
        return [dict(state) for state in self._states]

    def restore(self, states: Sequence[State]) -> None:
        """Takes the own streams' states out of those of all streams.

        Raises:
            DataError: if one is missing or does not fit.
        """
        by_index = {state["index"]: state for state in states}
        for stream in self._streams:
            if stream.index not in by_index:
                raise DataError(f"the checkpoint has no state of stream {stream.index}")
        self._stop()
        for stream in self._streams:
            stream.restore(by_index[stream.index])
        self._states = [stream.state() for stream in self._streams]

    def close(self) -> None:
        """Stops reading ahead; rows asked for later go on where those handed out ended."""
        self._stop()
        for stream, state in zip(self._streams, self._states, strict=True):
            stream.restore(state)

    def _stop(self) -> None:
        if self._reader is not None:
            self._reader.stop()
            self._reader = None

    def __enter__(self) -> RowLoader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Reader:
    """A thread that keeps rounds ready."""

    def __init__(self, streams: list[Stream], ahead: int) -> None:
        self._rounds: Queue[_Round | BaseException] = Queue(max(1, ahead))
        self._asked_to_stop = threading.Event()
        self._thread = threading.Thread(
            target=self._work, args=(streams,), name="read-ahead", daemon=True
        )
        self._thread.start()

    def _work(self, streams: list[Stream]) -> None:
        try:
            while not self._asked_to_stop.is_set():
                rows = np.stack([stream.next_row() for stream in streams])
                self._rounds.put((rows, [stream.state() for stream in streams]))
        except BaseException as error:  # whatever it is, the one who asks shall get it
            self._rounds.put(error)

    def get(self) -> _Round:
        """The next round."""
        item = self._rounds.get()
        if isinstance(item, BaseException):
            self._rounds.put(item)  # for whoever asks again
            raise item
        return item

    def stop(self) -> None:
        """Ends the thread."""
        self._asked_to_stop.set()
        try:
            while True:
                self._rounds.get_nowait()  # it may be waiting for room
        except Empty:
            self._thread.join()
