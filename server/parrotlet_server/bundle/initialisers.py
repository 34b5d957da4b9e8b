"""The tensors inside an ONNX file, without the package that is made for it.

Importing `onnx` takes a quarter of a second, half of a server's start. What is read here is the
little of its format (protocol buffers; onnx.proto3) that `bundle/graph.py` writes: a model's graph
(field 7) has initialisers (field 5), with their sizes (1), type (2), name (8) and bytes (9).
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import BundleError

_GRAPH, _INITIALISER = 7, 5
_DIMENSIONS, _TYPE, _NAME, _BYTES = 1, 2, 8, 9
_TYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 7: np.int64}
_FIXED = {1: 8, 5: 4}
_MOST_DIMENSIONS = 8


def initialisers(file: Path) -> dict[str, NDArray[Any]]:
    """The tensors of the ONNX file `file` by name: read-only, and read from disk when looked at.

    Raises:
        BundleError: if it is no such file, or a tensor is of another type or size than it says.
    """
    try:
        with file.open("rb") as opened:
            content = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise BundleError(f"{file} cannot be read: {error}") from error
    try:
        tensors = {}
        for graph in _fields(memoryview(content), _GRAPH):
            for tensor in _fields(graph, _INITIALISER):
                name, values = _tensor(tensor)
                tensors[name] = values
    except (KeyError, ValueError, IndexError, UnicodeDecodeError) as error:
        raise BundleError(f"{file} is no ONNX file that can be read: {error}") from error
    return tensors


def _tensor(message: memoryview) -> tuple[str, NDArray[Any]]:
    shape: list[int] = []
    kind, name, content = 0, "", memoryview(b"")
    for field, value in _message(message):
        if field == _DIMENSIONS:
            shape += [value] if isinstance(value, int) else _numbers(value)
            if len(shape) > _MOST_DIMENSIONS:
                raise ValueError(f"{name} has {len(shape)} dimensions")
        elif field == _TYPE and isinstance(value, int):
            kind = value
        elif field == _NAME and not isinstance(value, int):
            name = bytes(value).decode()
        elif field == _BYTES and not isinstance(value, int):
            content = value
    found: NDArray[Any] = np.frombuffer(content, _TYPES[kind])
    if math.prod(shape) != found.size:
        raise ValueError(f"{name} has {found.size} values, not {shape}")
    return name, found.reshape(shape)


def _fields(message: memoryview, wanted: int) -> Iterator[memoryview]:
    for field, value in _message(message):
        if field == wanted and not isinstance(value, int):
            yield value


def _message(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Numbers and values of a message's fields; a fixed-size one counts as its bytes."""
    at = 0
    while at < len(message):
        key, at = _number(message, at)
        field, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _number(message, at)
            yield field, value
            continue
        if kind == 2:
            size, at = _number(message, at)
        else:
            size = _FIXED[kind]
        if at + size > len(message):
            raise ValueError("it ends too early")
        yield field, message[at : at + size]
        at += size


def _numbers(message: memoryview) -> list[int]:
    found, at = [], 0
    while at < len(message):
        value, at = _number(message, at)
        found.append(value)
    return found


def _number(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")
