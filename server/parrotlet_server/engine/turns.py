"""A lock for several who come again and again: none is passed over."""

from __future__ import annotations

from collections import deque
from threading import Lock


class Turns:
    """A lock that goes to whoever has waited longest; `threading.Lock` lets the quickest win."""

    def __init__(self) -> None:
        """Nobody has it."""
        self._guard = Lock()
        self._taken = False
        self._waiting: deque[Lock] = deque()

    def __enter__(self) -> None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            turn = Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()  # until the one before hands over

    def __exit__(self, *_: object) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False
