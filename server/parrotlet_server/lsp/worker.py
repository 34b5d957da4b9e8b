"""One thread that runs the newest of the jobs given to it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Result = TypeVar("Result")
T = TypeVar("T")


class _Job(Generic[Key, Result]):
    """A key to be worked on, and whoever waits for the result."""

    def __init__(self, key: Key, loop: asyncio.AbstractEventLoop) -> None:
        self.key = key
        self.loop = loop
        self.answer: asyncio.Future[Result | None] = loop.create_future()
        self.cancelled = threading.Event()
        self.waiters = 0

    def settle(self, result: Result | None = None, error: Exception | None = None) -> None:
        """Answers all who wait; only the first answer counts. To be called in the loop."""
        if self.answer.done():
            return
        if error is None:
            self.answer.set_result(result)
        else:
            self.answer.set_exception(error)
            self.answer.exception()  # nobody may be left who asks for it


class Worker(Generic[Key, Result]):
    """Works on one key at a time, in a thread of its own; the newest key wins.

    A key that comes while an older one is worked on or waits makes that one's answer None at once
    and tells its work to stop. A key equal to the current one shares its work.
    """

    def __init__(
        self,
        work: Callable[[Key, Callable[[], bool]], Result],
        keep: Callable[[Key, Result], None] | None = None,
    ) -> None:
        """Works on keys.

        Args:
            work: does it, given a key and a function that says whether to stop early.
            keep: is given each key and its result in the loop, before those who wait for it go
                on, so that no other can come in between; not what a newer key has replaced.
        """
        self._work = work
        self._keep = keep
        self._current: _Job[Key, Result] | None = None
        self._next: _Job[Key, Result] | None = None
        self._closed = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="completion", daemon=True)

    async def run(self, key: Key) -> Result | None:
        """The result for `key`, or None if a newer key took its place.

        Cancelling the awaiting task stops the work, unless someone else waits for the same.

        Raises:
            Exception: whatever the work raises.
        """
        job = self._current
        if job is None or job.answer.done() or job.cancelled.is_set() or job.key != key:
            self.supersede()
            job = self._submit(key)
        job.waiters += 1
        try:
            return await asyncio.shield(job.answer)
        finally:
            job.waiters -= 1
            if not job.waiters and not job.answer.done():
                job.cancelled.set()

    def supersede(self, *keep: Key | None) -> None:
        """Stops what runs or waits, unless it is one of `keep`; its answer is None."""
        if self._current is not None and self._current.key not in keep:
            self._current.cancelled.set()
            self._current.settle()

    def close(self, timeout: float) -> bool:
        """Stops the work and the thread.

        Args:
            timeout: most seconds to wait for it.

        Returns:
            Whether the thread has ended.
        """
        with self._wake:
            self._closed = True
            if self._current is not None:
                self._current.cancelled.set()
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _submit(self, key: Key) -> _Job[Key, Result]:
        job = _Job[Key, Result](key, asyncio.get_running_loop())
        self._current = job
        with self._wake:
            self._next = job
            self._wake.notify()
        if self._thread.ident is None:
            self._thread.start()
        return job

    def _run(self) -> None:
        while True:
            with self._wake:
                while self._next is None and not self._closed:
                    self._wake.wait()
                if self._closed:
                    return
                job, self._next = self._next, None
            assert job is not None
            if job.cancelled.is_set():
                _call(job.loop, job.settle)
                continue
            try:
                result = self._work(job.key, job.cancelled.is_set)
            except Exception as error:
                _call(job.loop, job.settle, None, error)
            else:
                _call(job.loop, self._finish, job, result)

    def _finish(self, job: _Job[Key, Result], result: Result) -> None:
        if self._keep is not None and not job.answer.done():
            try:
                self._keep(job.key, result)
            except Exception as error:  # or nobody would ever be answered
                job.settle(None, error)
        job.settle(result)


def in_thread(function: Callable[[], T]) -> asyncio.Future[T]:
    """Runs `function` in a thread that does not keep the process alive.

    The threads of `asyncio.to_thread` would: the interpreter waits for them when it ends.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if answer.cancelled():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type]

    context = contextvars.copy_context()  # what is logged there belongs to the same session

    def run() -> None:
        try:
            result = context.run(function)
        except Exception as error:
            _call(loop, settle, None, error)
        else:
            _call(loop, settle, result, None)

    beside(run)
    return answer


def beside(function: Callable[[], None]) -> None:
    """Runs `function` in a thread that does not keep the process alive."""
    threading.Thread(target=function, name=_BESIDE, daemon=True).start()


def threads_run() -> bool:
    """Whether a function given to `in_thread` or `beside` runs, be it that nobody waits for it."""
    return any(thread.name == _BESIDE for thread in threading.enumerate())


_BESIDE = "beside the session"


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *args: object) -> None:
    """Has `loop` call `function`, unless it has ended, in which case nobody waits any more."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *args)
