"""Notes which suggestions were shown and taken, without holding up the session."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime

from parrotlet_server.usage import Event, append, usage_file

from .worker import in_thread

logger = logging.getLogger(__name__)

_DELAY = 2.0
"""Seconds that events wait for others, to be written together."""

_REMEMBERED = 200


class Usage:
    """Gathers events, and writes them now and then.

    Attributes:
        enabled: whether anything is noted at all.
    """

    def __init__(self) -> None:
        """Starts with nothing noted."""
        self.enabled = True
        self._events: list[Event] = []
        self._shown: OrderedDict[int, list[tuple[int, int]]] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._failed = False

    def shown(self, number: int, texts: Sequence[str], seconds: float, cached: bool) -> None:
        """Suggestions to choose from go to the editor; the rest of one shown is the same one.

        The first counts as shown: the others are seen only by one who asks for them.
        """
        if not self.enabled or number in self._shown:
            return
        sizes = [(len(text), text.count("\n") + 1) for text in texts]
        self._shown[number] = sizes
        while len(self._shown) > _REMEMBERED:
            self._shown.popitem(last=False)
        self._note(Event("shown", _now(), *sizes[0], 1000 * seconds, cached))

    def accepted(self, number: int, which: int) -> bool:
        """The user took a suggestion; one of each number counts. Whether it was one."""
        if not self.enabled:
            return False
        known = self._shown.get(number, [])
        if not 0 <= which < len(known):
            return False
        self._shown[number] = []
        self._note(Event("accepted", _now(), *known[which]))
        return True

    def flush(self) -> None:
        """Writes what is left; a file that cannot be written is told once, in the log."""
        events, self._events = self._events, []
        if not events:
            return
        try:
            append(usage_file(), events)
        except OSError as error:
            if not self._failed:
                self._failed = True
                logger.warning("the statistics cannot be written: %s", error)

    def _note(self, event: Event) -> None:
        self._events.append(event)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_DELAY, self._write)

    def _write(self) -> None:
        self._timer = None
        in_thread(self.flush)


def _now() -> datetime:
    return datetime.now().astimezone()
