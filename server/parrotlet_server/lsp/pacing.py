"""How long to wait after a key before the model is asked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from statistics import median

LONGEST = 0.25
SHORTEST = 0.015
"""Seconds; the bounds of an adaptive wait, where a shorter one is none."""

_REMEMBERED = 15
_PAUSE = 1.0
"""Seconds between two keys from which on they do not belong to one burst of typing."""

_MARGIN = 1.2
"""Of the usual time between two keys: half of them take longer than that."""


class Rhythm:
    """The user's typing and the model's speed, as they were lately."""

    def __init__(self) -> None:
        """Knows nothing yet."""
        self._last: float | None = None
        self._intervals: deque[float] = deque(maxlen=_REMEMBERED)
        self._latencies: deque[float] = deque(maxlen=_REMEMBERED)

    def key(self, now: float) -> None:
        """Takes note of a typed key, at a time in seconds."""
        if self._last is not None and 0 < now - self._last < _PAUSE:
            self._intervals.append(now - self._last)
        self._last = now

    def answered(self, seconds: float) -> None:
        """Takes note of how long the model took."""
        self._latencies.append(seconds)

    def forget_model(self) -> None:
        """Another model may be quicker or slower."""
        self._latencies.clear()

    @property
    def wait(self) -> float:
        """Seconds to wait for the next key before the model is asked.

        As long as the next key usually takes, so that a burst of typing asks once; but no longer
        than the model itself takes: to start a quick model in vain costs little, and a wait that
        is felt costs more.
        """
        if len(self._intervals) < 3 or not self._latencies:
            return 0.0
        wait = min(_MARGIN * median(self._intervals), median(self._latencies), LONGEST)
        return wait if wait >= SHORTEST else 0.0


class Pause:
    """A wait that ends when something newer comes; one at a time."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._key: Hashable = None
        self._ended: asyncio.Future[None] | None = None
        self._until = 0.0

    async def wait(self, key: Hashable, seconds: float) -> bool:
        """Waits, and ends the wait for any other key; one for the same key is shared.

        Returns:
            Whether the time is over and nothing newer has come.
        """
        loop = asyncio.get_running_loop()
        if self._ended is None or self._ended.done() or self._key != key:
            self.end()
            self._key, self._ended = key, loop.create_future()
            self._until = loop.time() + seconds
        ended = self._ended
        left = min(seconds, self._until - loop.time())
        if left > 0:
            await asyncio.wait([ended], timeout=left)
        return not ended.done()

    def end(self, keep: Hashable = None) -> None:
        """Ends the wait that runs, if any and unless it is for `keep`: something newer has come."""
        if keep is not None and keep == self._key:
            return
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
        self._ended = None
        self._key = None
