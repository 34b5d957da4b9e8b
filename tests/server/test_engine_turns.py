"""Whoever waits longest comes next."""

from __future__ import annotations

import threading
import time
from collections import Counter

from parrotlet_server.engine.turns import Turns


def test_turns_come_in_the_order_of_asking():
    turns, order = Turns(), []

    def work(number):
        with turns:
            order.append(number)

    threads = [threading.Thread(target=work, args=[number]) for number in range(20)]
    with turns:
        for number, thread in enumerate(threads):
            thread.start()
            while len(turns._waiting) <= number:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert order == list(range(20))
    assert not turns._taken


def test_one_who_comes_again_at_once_does_not_keep_the_others_out():
    turns, counts, over = Turns(), Counter(), threading.Event()
    inside = []

    def work(name):
        while not over.is_set():
            with turns:
                inside.append(name)
                assert inside == [name]  # alone
                counts[name] += 1
                time.sleep(0.001)
                inside.remove(name)

    threads = [threading.Thread(target=work, args=[name]) for name in "abc"]
    for thread in threads:
        thread.start()
    while counts.total() < 150:
        time.sleep(0.001)
    over.set()
    for thread in threads:
        thread.join()
    assert max(counts.values()) - min(counts.values()) <= 2 + max(counts.values()) // 10


def test_an_error_inside_gives_the_turn_away():
    turns = Turns()
    for _ in range(2):
        try:
            with turns:
                raise OSError
        except OSError:
            pass
    with turns:
        pass
