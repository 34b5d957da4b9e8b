"""In a process of its own, since what is set stays."""

import subprocess
import sys

import pytest

PROBE = """
import sys
import psutil
from parrotlet_server.lsp.heap import keep_compact

if "set" in sys.argv:
    keep_compact()
size = 8 * 2**20

def touched():
    block = bytearray(size)
    block[::4096] = b"x" * len(block[::4096])
    return block

for _ in range(4):
    touched()  # as it comes, glibc takes blocks of this size from the heap from now on
before = psutil.Process().memory_info().rss
large, small = [], []
for _ in range(10):
    large.append(touched())
    small.append([bytes(2000) for _ in range(100)])
large.clear()
print((psutil.Process().memory_info().rss - before) // 2**20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_large_blocks_are_given_back():
    def grown(*words):
        run = [sys.executable, "-c", PROBE, *words]
        done = subprocess.run(run, capture_output=True, text=True, check=True, timeout=60)
        return int(done.stdout)

    assert grown("set") < 10
    assert grown() > 40, "glibc does it by itself now: the setting may go"


def test_elsewhere_nothing_is_set(monkeypatch):
    from parrotlet_server.lsp import heap

    def other(name):
        raise ValueError(name)

    monkeypatch.setattr(heap.os, "confstr", other)
    assert not heap.keep_compact()
    monkeypatch.setattr(heap.sys, "platform", "darwin")
    assert not heap.keep_compact()
