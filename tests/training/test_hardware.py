"""What a training asks of the machine that it runs on."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch

from parrotlet_training.hardware import has_fast_bf16

PROGRAM = """
import mmap
import torch
from parrotlet_training.hardware import kept_memory, release_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * mmap.PAGESIZE

def used():
    before = resident()
    held = [torch.ones(16, 1024, 1024) for _ in range(4)]
    del held
    return (resident() - before) / 2**20

used()
release_memory()
begun = resident()
with kept_memory():
    print(used())
    before = resident()
    release_memory()
    print((resident() - before) / 2**20)
    used()
print((resident() - begun) / 2**20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_freed_memory_is_kept_until_it_is_released_or_the_training_ends():
    command = [sys.executable, "-c", PROGRAM]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    kept, released, afterwards = map(float, printed.split())
    # 256 MB are allocated and freed each time
    assert kept > 200
    assert released < -200
    assert afterwards < 50


def test_bf16_is_fast_where_the_processor_has_instructions_for_it():
    assert has_fast_bf16(torch.device("cpu")) == torch.cpu._is_avx512_bf16_supported()
    assert not has_fast_bf16(torch.device("meta"))
