"""A few model states, kept between requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from parrotlet_server.backends.base import Backend, State


@dataclass
class Slot:
    """A state, the document it was last used for, and when."""

    state: State
    document: str
    used: int


class States:
    """Picks the state that shares the longest beginning with a prompt."""

    def __init__(self, backend: Backend, most: int) -> None:
        """Keeps up to `most` states, each made when first needed."""
        self._backend = backend
        self._most = most
        self._slots: list[Slot] = []
        self._clock = 0

    def take(self, tokens: Sequence[int], document: str) -> tuple[State, int]:
        """A state for `tokens`, and how many of them it holds already.

        A state of another document is left alone where most of it would be lost.
        """
        self._clock += 1
        slot, common = self._pick(tokens, document)
        slot.document, slot.used = document, self._clock
        return slot.state, common

    def _pick(self, tokens: Sequence[int], document: str) -> tuple[Slot, int]:
        shared = [(common_length(slot.state.tokens, tokens), slot) for slot in self._slots]
        best = max(shared, key=lambda s: (s[0], s[1].document == document), default=None)
        if best is not None:
            common, slot = best
            if 2 * common >= len(slot.state.tokens):
                return slot, common
        own = [s for s in shared if s[1].document == document]
        if own:
            common, slot = max(own, key=lambda s: s[0])
            return slot, common
        if len(self._slots) < self._most:
            slot = Slot(self._backend.new_state(), document, self._clock)
            self._slots.append(slot)
            return slot, 0
        common, slot = min(shared, key=lambda s: s[1].used)
        return slot, common


def common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """Number of leading items that are equal."""
    size = min(len(first), len(second))
    if first[:size] == second[:size]:
        return size
    return next(at for at in range(size) if first[at] != second[at])
