"""The newest job wins, equal jobs share, and cancelling stops the work."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from parrotlet_server.lsp.worker import Worker, in_thread, threads_run


class Work:
    """Work that lasts until it is let go or told to stop; it notes what it saw."""

    def __init__(self):
        self.begun = []
        self.stopped = []
        self.go = threading.Event()

    def __call__(self, key, cancelled):
        self.begun.append(key)
        if key == "fails":
            raise ValueError("no luck")
        while not self.go.is_set():
            if cancelled():
                self.stopped.append(key)
                return None
            time.sleep(0.001)
        return key.upper()


@pytest.fixture
async def work():
    work = Work()
    worker = Worker(work)
    work.run = lambda key: asyncio.create_task(worker.run(key))
    work.worker = worker
    yield work
    assert worker.close(5)


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def test_one_job(work):
    work.go.set()
    assert await work.run("a") == "A"
    assert await work.run("b") == "B"


async def test_the_newest_job_wins(work):
    running = work.run("a")
    await until(lambda: work.begun == ["a"])
    waiting = work.run("b")
    newest = work.run("c")
    # the older ones are answered before the running one has stopped
    assert await asyncio.gather(running, waiting) == [None, None]
    work.go.set()
    assert await newest == "C"
    assert "b" not in work.begun


async def test_a_superseded_job_is_stopped(work):
    running = work.run("a")
    await until(lambda: work.begun == ["a"])
    newest = work.run("b")
    await until(lambda: work.stopped == ["a"])
    assert await running is None
    work.go.set()
    assert await newest == "B"


async def test_equal_jobs_share_their_work(work):
    both = [work.run("a"), work.run("a")]
    await until(lambda: work.begun == ["a"])
    both.append(work.run("a"))
    work.go.set()
    assert await asyncio.gather(*both) == ["A", "A", "A"]
    assert work.begun == ["a"]


async def test_results_are_kept_before_anyone_else_can_ask():
    kept, begun = [], []

    def work(key, cancelled):
        begun.append(key)
        return key.upper()

    worker = Worker(work, lambda key, result: kept.append((key, result)))

    async def ask():
        # as one who finds what is kept, and otherwise has it made
        if not kept:
            await worker.run("a")
        return kept

    async with asyncio.timeout(5):
        first = asyncio.create_task(ask())
        others = []
        while not first.done():
            others.append(asyncio.create_task(ask()))
            await asyncio.sleep(0)
        await asyncio.gather(*others)
    assert kept == [("a", "A")]
    assert begun == ["a"]
    assert worker.close(5)


async def test_what_was_replaced_is_not_kept():
    work, kept = Work(), []
    worker = Worker(work, lambda key, _result: kept.append(key))
    older = asyncio.create_task(worker.run("a"))
    await until(lambda: work.begun == ["a"])
    worker.supersede("b", None, "c")
    assert await older is None
    work.go.set()
    assert await worker.run("b") == "B"
    assert kept == ["b"]
    assert worker.close(5)


async def test_what_cannot_be_kept_is_told():
    worker = Worker(lambda key, _cancelled: key, lambda key, _result: kept[key])
    kept = {}
    with pytest.raises(KeyError):
        await worker.run("a")
    assert worker.close(5)


async def test_some_are_spared(work):
    running = work.run("a")
    await until(lambda: work.begun == ["a"])
    work.worker.supersede("b", "a")
    work.worker.supersede(None, "a")
    work.go.set()
    assert await running == "A"


async def test_cancelling_stops_the_work(work):
    running = work.run("a")
    await until(lambda: work.begun == ["a"])
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: work.stopped == ["a"])


async def test_cancelling_one_of_two_leaves_the_other(work):
    one, other = work.run("a"), work.run("a")
    await until(lambda: work.begun == ["a"])
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    work.go.set()
    assert await other == "A"


async def test_a_cancelled_job_is_begun_anew(work):
    first = work.run("a")
    await until(lambda: work.begun == ["a"])
    first.cancel()
    second = work.run("a")
    work_again = asyncio.create_task(until(lambda: work.begun == ["a", "a"]))
    await work_again
    work.go.set()
    assert await second == "A"


async def test_a_job_that_is_cancelled_before_it_begins_never_begins(work):
    work.run("a")
    await until(lambda: work.begun == ["a"])
    waiting = work.run("b")
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    work.go.set()
    assert await work.run("c") == "C"
    assert "b" not in work.begun


async def test_a_failure_reaches_who_waits_and_no_other(work):
    with pytest.raises(ValueError, match="no luck"):
        await work.run("fails")
    work.go.set()
    assert await work.run("a") == "A"


async def test_closing_stops_the_work():
    work = Work()
    worker = Worker(work)
    running = asyncio.create_task(worker.run("a"))
    await until(lambda: work.begun == ["a"])
    started = time.monotonic()
    assert worker.close(5)
    assert time.monotonic() - started < 1
    assert work.stopped == ["a"]
    assert await running is None


async def test_closing_does_not_wait_for_work_that_will_not_stop():
    go = threading.Event()
    worker = Worker(lambda _key, _cancelled: go.wait(5))
    running = asyncio.create_task(worker.run("a"))
    await asyncio.sleep(0.01)
    assert not worker.close(0.05)
    go.set()
    assert worker.close(5)
    assert await running is True


async def test_in_thread_gives_results_and_errors():
    assert await in_thread(lambda: threading.current_thread().name) != "MainThread"
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0)


async def test_a_thread_that_nobody_waits_for_is_known_to_run():
    go = threading.Event()
    abandoned = in_thread(lambda: go.wait(5))
    abandoned.cancel()
    assert threads_run()
    go.set()
    await until(lambda: not threads_run())
