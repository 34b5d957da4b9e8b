"""What a device can compute at best, by its maker's data sheet or, of a processor, measured."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

Precision = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class Gpu:
    """One kind of GPU.

    Attributes:
        name: part of the name that its driver gives, in lower case.
        half: peak of dense products in bf16 (fp16 where it has no bf16), FLOP/s.
        single: peak in float32, FLOP/s, without TensorFloat-32.
        memory: bytes.
        bf16: whether it computes in bf16.
    """

    name: str
    half: float
    single: float
    memory: float
    bf16: bool = True


GPUS = (  # more special names first
    Gpu("b200", 2250e12, 80e12, 180e9),
    Gpu("h200", 989e12, 67e12, 141e9),
    Gpu("h100 nvl", 835e12, 60e12, 94e9),
    Gpu("h100 pcie", 756e12, 51e12, 80e9),
    Gpu("h100", 989e12, 67e12, 80e9),
    Gpu("a100-sxm4-40gb", 312e12, 19.5e12, 40e9),
    Gpu("a100-pcie-40gb", 312e12, 19.5e12, 40e9),
    Gpu("a100", 312e12, 19.5e12, 80e9),
    Gpu("l40s", 362e12, 91.6e12, 48e9),
    Gpu("l4", 121e12, 30.3e12, 24e9),
    Gpu("rtx a6000", 155e12, 38.7e12, 48e9),
    Gpu("a10g", 70e12, 35e12, 24e9),
    Gpu("a10", 125e12, 31.2e12, 24e9),
    Gpu("rtx 4090", 165e12, 82.6e12, 24e9),
    Gpu("rtx 3090", 71e12, 35.6e12, 24e9),
    Gpu("v100", 125e12, 15.7e12, 32e9, bf16=False),
    Gpu("t4", 65e12, 8.1e12, 16e9, bf16=False),
    Gpu("mi300x", 1307e12, 163e12, 192e9),
)
"""Peaks without sparsity, from the makers' data sheets."""


@dataclass(frozen=True)
class Device:
    """What trains.

    Attributes:
        name: for people.
        peak: FLOP/s in the precision asked for; None where it is not known.
        memory: bytes; None where it is not known.
        is_gpu: whether it is one.
        precision: that it computes in.
    """

    name: str
    peak: float | None
    memory: float | None
    is_gpu: bool
    precision: Precision


def gpu_named(name: str) -> Gpu | None:
    """The GPU that a driver, or a person, calls `name`."""
    wanted = name.lower()
    return next((gpu for gpu in GPUS if gpu.name in wanted or wanted == gpu.name), None)


def named_device(name: str, precision: str) -> Device:
    """A GPU of the table, for a plan made elsewhere.

    Args:
        name: as in `GPUS`.
        precision: of the recipe.

    Raises:
        ValueError: naming the known ones, if it is not among them.
    """
    gpu = gpu_named(name)
    if gpu is None:
        known = ", ".join(gpu.name.upper() for gpu in GPUS)
        raise ValueError(f"no figures for a GPU named {name}; known: {known}, and cpu for this one")
    return _of_table(gpu, gpu.name.upper(), gpu.memory, precision)


def this_device(precision: str) -> Device:
    """The GPU of this machine, or its processors, whose speed is measured in 0.1 seconds."""
    if torch.cuda.is_available():
        found = torch.cuda.get_device_properties(0)
        gpu = gpu_named(found.name)
        if gpu is not None:
            return _of_table(gpu, found.name, found.total_memory, precision)
        chosen = _chosen(precision, has_fast_bf16(torch.device("cuda")))
        return Device(found.name, None, found.total_memory, True, chosen)
    return this_processor(precision)


def this_processor(precision: str) -> Device:
    """The processors of this machine, whose speed is measured."""
    half = has_fast_bf16(torch.device("cpu"))
    chosen = _chosen(precision, half)
    dtype = torch.bfloat16 if chosen == "bf16" and half else torch.float32
    threads = torch.get_num_threads()
    return Device(f"{threads} processor threads", measured(dtype), _memory(), False, chosen)


def has_fast_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies matrices faster in bfloat16 than in float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # without these instructions it is emulated and many times slower
    native: bool = torch.cpu._is_avx512_bf16_supported()
    return native and device.type == "cpu"


@contextmanager
def kept_memory() -> Iterator[None]:
    """Has glibc keep the memory that is freed inside, instead of giving it back at once.

    Large tensors come from `mmap` otherwise, and each step pays for their pages anew. What is kept
    grows as tensors of many sizes come and go, so `release_memory` is to be called now and then; it
    is at the end. Does nothing with another C library.
    """
    mallopt = _libc("mallopt")
    if mallopt is None:
        yield
        return
    for option, value in _KEEPING.items():
        mallopt(option, value)
    try:
        yield
    finally:
        for option, value in _USUAL.items():
            mallopt(option, value)
        release_memory()


def release_memory() -> None:
    """Gives back what is free; does nothing with a C library other than glibc."""
    trim = _libc("malloc_trim")
    if trim is not None:
        trim(0)


def _libc(name: str) -> Callable[..., int] | None:
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), name, None)


_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4
"""Of glibc's malloc.h."""

_KEEPING = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 2**26}
_USUAL = {_MMAP_MAX: 65536, _MMAP_THRESHOLD: 2**25, _TRIM_THRESHOLD: 2**26, _TOP_PAD: 2**17}
"""Where glibc's thresholds end by themselves as large blocks are freed."""


def measured(dtype: torch.dtype, size: int = 1024, seconds: float = 0.1) -> float:
    """Speed of products of square matrices on the processors, FLOP/s: the best of several."""
    left, right = torch.randn(2, size, size).to(dtype)
    best = math_time = 0.0
    while math_time < seconds:
        began = time.perf_counter()
        left @ right
        took = time.perf_counter() - began
        math_time += took
        best = max(best, 2 * size**3 / took)
    return best


def _of_table(gpu: Gpu, name: str, memory: float, precision: str) -> Device:
    chosen = _chosen(precision, gpu.bf16)
    return Device(name, gpu.single if chosen == "fp32" else gpu.half, memory, True, chosen)


def _chosen(precision: str, has_bf16: bool) -> Precision:
    if precision == "auto":
        return "bf16" if has_bf16 else "fp32"
    return "fp32" if precision == "fp32" else "bf16" if precision == "bf16" else "fp16"


def _memory() -> float | None:
    try:
        import os

        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):  # no POSIX
        return None
