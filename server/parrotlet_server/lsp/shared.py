"""What is costly to make and serves several at once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Shared(Generic[Key, Value]):
    """Makes the value of each key once, as long as somebody still holds it; from any thread."""

    def __init__(self, make: Callable[[Key], Value]) -> None:
        """Makes values with `make`; its errors reach each who asks."""
        self._make = make
        self._values: WeakValueDictionary[Key, Value] = WeakValueDictionary()
        self._locks: dict[Key, Lock] = {}
        self._guard = Lock()

    def __call__(self, key: Key) -> Value:
        """The value of `key`; who asks while it is made waits for it."""
        with self._guard:
            lock = self._locks.setdefault(key, Lock())
        with lock:
            value = self._values.get(key)
            if value is None:
                value = self._values[key] = self._make(key)
            return value
