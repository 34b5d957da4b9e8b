"""A model that is loaded while the rest of the program is still being imported."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

from .worker import beside

if TYPE_CHECKING:
    from parrotlet_server.engine.completer import BackendOptions, Completer


class Preload:
    """Begins to load a model, and hands it to the first who asks for just that one.

    Loading is mostly reading, checking and ONNX Runtime's own work, which run beside Python's.
    """

    def __init__(
        self,
        options: BackendOptions,
        load: Callable[[BackendOptions], Completer] | None = None,
    ) -> None:
        """Begins, in a thread; `load` is `open_completer` unless it is given."""
        self._options = options
        self._load = load
        self._lock = Lock()
        self._waiting: Future[Completer] | None = Future()
        beside(partial(self._run, self._waiting))

    def __call__(self, options: BackendOptions) -> Completer:
        """What `options` ask for; waits until it is loaded.

        What was begun is given away once. Another question than that for it drops it, and is
        answered as by `open_completer`.

        Raises:
            BundleError, EndpointError: as `open_completer` does.
        """
        with self._lock:
            waiting, self._waiting = self._waiting, None
        if waiting is not None and options == self._options:
            return waiting.result()
        return self._open(options)

    def _open(self, options: BackendOptions) -> Completer:
        if self._load is not None:
            return self._load(options)
        from parrotlet_server.engine.completer import open_completer

        return open_completer(options)

    def _run(self, waiting: Future[Completer]) -> None:
        try:
            waiting.set_result(self._open(self._options))
        except BaseException as error:  # whoever asks is told
            waiting.set_exception(error)
