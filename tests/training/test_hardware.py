"""What a training asks of the machine that it runs on."""

from __future__ import annotations

import subprocess
import sys

import torch

from parrotlet_training.hardware import has_fast_bf16

PROGRAM = """
import resource
import sys
import torch
from parrotlet_training.hardware import kept_memory, release_memory

kept = kept_memory()
if sys.argv[1] == "keep":
    kept.__enter__()

def touched():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(8, 1024, 1024)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

touched()
print(touched())
release_memory()
if sys.argv[1] == "keep":
    assert touched() > 4096
    kept.__exit__(None, None, None)
    touched()
    assert touched() > 4096
"""


def faults(word):
    command = [sys.executable, "-c", PROGRAM, word]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_freed_memory_is_kept_so_that_no_pages_are_asked_for_again():
    kept, usual = faults("keep"), faults("give back")
    # 20 times 32 MB; where the C library keeps them by itself there is nothing to gain
    assert kept < 10 * 8192
    assert kept <= usual


def test_bf16_is_fast_where_the_processor_has_instructions_for_it():
    assert has_fast_bf16(torch.device("cpu")) == torch.cpu._is_avx512_bf16_supported()
    assert not has_fast_bf16(torch.device("meta"))
