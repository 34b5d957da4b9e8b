"""A bundle at 8 bits, run by the compiled kernels."""

from __future__ import annotations

import ctypes
import platform
import sys
import threading
import weakref
from array import array
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parrotlet_server.bundle import Bundle, BundleError
from parrotlet_server.bundle.initialisers import initialisers

from ..base import State, check_evaluation
from ..threads import default_threads

_P, _I, _F = ctypes.c_void_p, ctypes.c_int, ctypes.c_float
_MATRICES = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
_HEADS = (32, 64)
_BLOCKS = (16, 32, 64)
_LANES, _TILES = 16, 64  # numbers that sizes come in multiples of
_LINE = 32  # numbers of 16 bits in a line of the cache, where a state begins
_LARGEST_STATE = 2**32
_MOST_THREADS = 16
_LONGEST = 65_536
"""Inputs of a matrix: as many products of bytes as fit into 32 bits."""
_VERSION = 3
"""As in `processor.c`."""


class UnavailableError(Exception):
    """The kernels cannot run a model here; the message says why."""


class NativeState:
    """Keys and values for the full context length; memory is taken as rows are written.

    Attributes:
        tokens: the ids whose keys and values are held, in order.
        halves: keys and values, in 16 bits, as the kernel wants them; uint16, [2][size].
        keys, values: where they lie.
    """

    def __init__(self, size: int) -> None:
        """For `size` numbers each."""
        self.tokens: list[int] = []
        room = np.zeros(2 * size + _LINE, np.uint16)
        skip = -room.ctypes.data % (2 * _LINE) // 2
        self.halves = room[skip : skip + 2 * size].reshape(2, size)
        self.keys, self.values = (part.ctypes.data for part in self.halves)


class NativeBackend:
    """A `Backend` that runs a bundle at 8 bits on an x86 processor.

    Attributes:
        context_length: most tokens that a state holds.
        vocabulary_size: number of logits.
        threads: that a run uses.
        level: of the processor's instructions that are used.
    """

    def __init__(
        self, bundle: Bundle, threads: int | None = None, level: str | None = None
    ) -> None:
        """Loads the weights of `bundle`, which the caller has verified.

        Args:
            bundle: to run.
            threads: None is the number of physical cores, at most 4.
            level: "avx512", "avxvnni" or "avx2"; None is the best of this processor.

        Raises:
            UnavailableError: if the kernels are not there, the processor lacks what they take,
                or the model has another shape than they are written for.
            BundleError: if the bundle's tensors are not those of its manifest.
        """
        shape, block = bundle.manifest.architecture, bundle.manifest.block
        library = _library()
        self.level = _level(library, level)
        if (
            bundle.manifest.bits != 8
            or type(block) is not int
            or block not in _BLOCKS
            or shape.width % block
            or shape.width % shape.heads
            or shape.width // shape.heads not in _HEADS
            or max(shape.width, shape.inner) > _LONGEST
            or any(size % _TILES for size in (shape.vocabulary_size, shape.context_length))
            or any(size % _LANES for size in (shape.width, shape.inner))
        ):
            raise UnavailableError("the model has another shape, or other weights, than they take")
        self.context_length = shape.context_length
        self.vocabulary_size = shape.vocabulary_size
        self.threads = min(threads or default_threads(), _MOST_THREADS)
        self._size = shape.layers * shape.context_length * shape.width
        if 4 * self._size > _LARGEST_STATE:
            raise BundleError(f"{bundle.folder} asks for {4 * self._size:,} bytes for each file")
        self._turn = threading.Lock()
        kernel = _Kernel(library, self.level)
        self._model = kernel.open(
            shape.layers,
            shape.width,
            shape.heads,
            shape.context_length,
            shape.vocabulary_size,
            shape.inner,
            block,
            shape.epsilon,
            self.threads,
        )
        if not self._model:
            raise UnavailableError("there is no memory for them")
        # at the interpreter's end a thread may still be inside the model, which ends with it
        weakref.finalize(self, kernel.close, self._model).atexit = False
        self._run = kernel.run
        self._load(kernel, _Tensors(bundle), shape.layers)

    def _load(self, kernel: _Kernel, tensors: _Tensors, layers: int) -> None:
        shape = tensors.shape
        width, inner = shape.width, shape.inner
        sizes = ((width, 3 * width), (width, width), (width, inner), (inner, width))
        for layer in range(layers):
            for which, (name, size) in enumerate(zip(_MATRICES, sizes, strict=True)):
                name = f"h.{layer}.{name}"
                weights = tensors.get(f"{name}.weight.quantised", np.int8, size)
                scales = tensors.get(f"{name}.weight.scales", np.float32, size[1:])
                bias = tensors.get(f"{name}.bias", np.float32, size[1:])
                step = float(tensors.get(f"{name}.step", np.float32, (1,))[0])
                zero = int(tensors.get(f"{name}.zero", np.uint8, (1,))[0])
                if not step > 0:
                    raise BundleError(f"{name}.step is {step}: the bundle is damaged")
                pointers = (weights.ctypes.data, scales.ctypes.data, bias.ctypes.data)
                kernel.matrix(self._model, layer, which, *pointers, step, zero)
            for which in (0, 1):
                self._norm(kernel, tensors, f"h.{layer}.ln_{which + 1}", layer, which)
        self._norm(kernel, tensors, "ln_f", 0, 2)
        words, block = shape.vocabulary_size, tensors.block
        embedding = (
            tensors.get("wte.weight.quantised", np.uint8, (words, width // block, block)),
            tensors.get("wte.weight.scales", np.float32, (words, width // block)),
            tensors.get("wpe.weight", np.float32, (shape.context_length, width)),
        )
        kernel.embeddings(self._model, *(one.ctypes.data for one in embedding))

    def _norm(self, kernel: _Kernel, tensors: _Tensors, name: str, layer: int, which: int) -> None:
        pair = [
            tensors.get(f"{name}.{part}", np.float32, (tensors.shape.width,))
            for part in ("weight", "bias")
        ]
        kernel.norm(self._model, layer, which, *(one.ctypes.data for one in pair))

    def new_state(self) -> NativeState:
        """An empty state; it takes 4 x layers x width bytes per token it will hold."""
        return NativeState(self._size)

    def evaluate(self, state: State, keep: int, tokens: Sequence[int]) -> NDArray[np.float32]:
        """See `Backend.evaluate`."""
        last: NDArray[np.float32] = self.evaluate_rows(state, keep, tokens, 1)[0]
        return last

    def evaluate_rows(
        self, state: State, keep: int, tokens: Sequence[int], rows: int
    ) -> NDArray[np.float32]:
        """See `Backend.evaluate_rows`."""
        assert isinstance(state, NativeState)
        check_evaluation(self, state, keep, tokens, rows)
        if state.halves.shape[1] != self._size:
            raise ValueError("the state is another model's")
        ids = array("q", tokens)
        logits = np.empty((rows, self.vocabulary_size), np.float32)
        place = ctypes.addressof(ctypes.c_char.from_buffer(logits.data))  # a third of `ctypes.data`
        del state.tokens[keep:]
        with self._turn:  # the call lets other Python threads run
            self._run(
                self._model,
                state.keys,
                state.values,
                keep,
                *ids.buffer_info(),
                rows,
                place,
            )
        state.tokens.extend(tokens)
        return logits


class _Kernel:
    """The functions of one level; see `kernel.c`."""

    def __init__(self, library: ctypes.CDLL, level: str) -> None:
        def function(name: str, result: Any, *arguments: Any) -> Any:
            # a copy: the library's own attribute would be shared by all who set its types
            found = library[f"parrotlet_{name}_{level}"]
            found.restype, found.argtypes = result, arguments
            return found

        self.open = function("open", _P, *[_I] * 7, _F, _I)
        self.close = function("close", None, _P)
        self.matrix = function("matrix", None, _P, _I, _I, _P, _P, _P, _F, _I)
        self.norm = function("norm", None, _P, _I, _I, _P, _P)
        self.embeddings = function("embeddings", None, _P, _P, _P, _P)
        self.run = function("run", None, _P, _P, _P, _I, _P, _I, _I, _P)


class _Tensors:
    """A bundle's tensors, each looked at before the kernel reads it.

    Attributes:
        shape: of the model.
        block: weights per scale of the embedding.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.shape = bundle.manifest.architecture
        self.block = bundle.manifest.block or 1
        self._folder = bundle.folder
        self._found = initialisers(bundle.model_file)

    def get(self, name: str, kind: type[np.generic], size: tuple[int, ...]) -> NDArray[Any]:
        """The tensor `name`, in one piece.

        Raises:
            BundleError: if it is not there, or of another type or size.
        """
        found = self._found.get(name)
        if found is None or found.dtype != kind or found.shape != size:
            raise BundleError(f"{self._folder}: {name} is not as the manifest says")
        return np.require(found, requirements=("C", "A"))  # in the file they lie anywhere


@cache
def _library() -> ctypes.CDLL:
    file = Path(__file__).with_name(f"kernel-{sys.platform}-{platform.machine().lower()}.so")
    if not file.is_file():
        raise UnavailableError("Parrotlet was built without them")
    try:
        library = ctypes.CDLL(str(file))
        version = library.parrotlet_version()
    except (OSError, AttributeError) as error:
        raise UnavailableError(f"they do not load: {error}") from error
    if version != _VERSION:
        raise UnavailableError(f"they are of version {version}, not {_VERSION}: build them again")
    return library


def levels() -> list[str]:
    """The levels that this processor can run, the best first; empty where there are no kernels."""
    try:
        library = _library()
    except UnavailableError:
        return []
    library.parrotlet_level.restype = ctypes.c_char_p
    best = library.parrotlet_level().decode()
    # those of AVX2 run wherever a better one does
    return {"avx512": ["avx512", "avx2"], "avxvnni": ["avxvnni", "avx2"], "avx2": ["avx2"]}.get(
        best, []
    )


def _level(library: ctypes.CDLL, wanted: str | None) -> str:
    found = levels()
    if not found or (wanted is not None and wanted not in found):
        raise UnavailableError(f"the processor lacks {wanted or 'AVX2'}")
    return wanted or found[0]
