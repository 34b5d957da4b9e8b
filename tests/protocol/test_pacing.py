"""Waits before the model is asked."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parrotlet_server.lsp.pacing import LONGEST, SHORTEST, Pause, Rhythm


def rhythm(interval, latency, keys=10):
    result = Rhythm()
    for number in range(keys):
        result.key(number * interval)
    result.answered(latency)
    return result


def test_nothing_known_means_no_wait():
    assert Rhythm().wait == 0
    assert rhythm(0.1, 0.2, keys=2).wait == 0
    slow = rhythm(0.1, 0.2)
    slow.forget_model()
    assert slow.wait == 0


def test_a_slow_model_is_asked_when_the_typing_stops():
    assert 0.1 < rhythm(0.1, 2.0).wait < 0.15
    assert rhythm(0.2, 2.0).wait == pytest.approx(0.24)
    assert rhythm(0.5, 2.0).wait == LONGEST


def test_a_quick_model_is_hardly_waited_for():
    assert rhythm(0.2, 0.05).wait == 0.05
    assert rhythm(0.2, 0.01).wait == 0


def test_pauses_are_no_typing():
    result = rhythm(0.1, 2.0)
    before = result.wait
    for number in range(20):
        result.key(100 + 5 * number)
    assert result.wait == before


@given(
    st.lists(st.floats(0, 3, allow_nan=False)), st.lists(st.floats(0, 100), min_size=1, max_size=30)
)
def test_the_wait_is_bounded(intervals, latencies):
    result, now = Rhythm(), 0.0
    for interval in intervals:
        now += interval
        result.key(now)
    for latency in latencies:
        result.answered(latency)
    assert result.wait == 0 or SHORTEST <= result.wait <= LONGEST


async def test_a_newer_key_ends_the_wait():
    pause = Pause()
    older = asyncio.create_task(pause.wait("a", 60))
    await asyncio.sleep(0)
    newer = asyncio.create_task(pause.wait("ab", 0))
    assert await asyncio.wait_for(older, 5) is False
    assert await newer is True


async def test_the_same_key_waits_no_longer():
    pause = Pause()
    first = asyncio.create_task(pause.wait("a", 0.05))
    await asyncio.sleep(0)
    assert await asyncio.wait_for(pause.wait("a", 60), 30) is True
    assert await first is True


async def test_one_who_does_not_want_to_wait_for_the_same_key_need_not():
    pause = Pause()
    first = asyncio.create_task(pause.wait("a", 60))
    await asyncio.sleep(0)
    assert await asyncio.wait_for(pause.wait("a", 0), 5) is True
    assert not first.done()
    pause.end()
    assert await first is False


async def test_the_wait_can_be_ended_and_cancelled():
    pause = Pause()
    pause.end()
    waiting = asyncio.create_task(pause.wait("a", 60))
    await asyncio.sleep(0)
    pause.end()
    assert await asyncio.wait_for(waiting, 5) is False
    waiting = asyncio.create_task(pause.wait("a", 60))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert await pause.wait("b", 0) is True


async def test_a_wait_for_what_has_come_goes_on():
    pause = Pause()
    waiting = asyncio.create_task(pause.wait("a", 0.05))
    await asyncio.sleep(0)
    pause.end(keep="a")
    assert await asyncio.wait_for(waiting, 5) is True
    waiting = asyncio.create_task(pause.wait("b", 60))
    await asyncio.sleep(0)
    pause.end(keep="a")
    assert await asyncio.wait_for(waiting, 5) is False
    pause.end(keep="a")
    assert await asyncio.wait_for(pause.wait("a", 0), 5) is True
