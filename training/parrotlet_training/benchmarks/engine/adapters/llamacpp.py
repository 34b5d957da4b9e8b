"""llama.cpp by llama-cpp-python, through the C functions, so that no Python loop is charged to it.

The context keeps its default settings, as `llama-server` does; its key/value cache is cut to the
prefix that it shares with the next prompt, as that server's slots do.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llama_cpp
import numpy as np
from reuse import common

if TYPE_CHECKING:
    from .host import Clock


class Adapter:
    """See `host.Adapter`; the model is a GGUF file."""

    def __init__(self, model: str, threads: int, context: int) -> None:
        llama_cpp.llama_log_set(_quiet, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        options = llama_cpp.llama_model_default_params()
        options.use_extra_bufts = not _has_amx()
        self._model = llama_cpp.llama_model_load_from_file(model.encode(), options)
        if not self._model:
            raise SystemExit(f"llama.cpp does not load {model}")
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = context
        settings.n_threads = settings.n_threads_batch = threads
        self._context = llama_cpp.llama_init_from_model(self._model, settings)
        if not self._context:
            raise SystemExit(f"llama.cpp makes no context of {context} tokens")
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))
        self._batch = int(settings.n_batch)
        self._held: list[int] = []

    def forget(self) -> None:
        """See `host.Adapter`."""
        self._cut(0)

    def suggest(self, prompt: list[int], answer: list[int], clock: Clock) -> list[int]:
        """See `host.Adapter`."""
        keep = common(self._held, prompt)
        self._cut(keep)
        for start in range(keep, len(prompt), self._batch):
            self._read(prompt[start : start + self._batch])
        chosen = [self._likeliest()]
        clock.first()
        for token in answer[:-1]:
            self._read([token])
            chosen.append(self._likeliest())
        return chosen

    def _cut(self, keep: int) -> None:
        if keep < len(self._held):
            llama_cpp.llama_memory_seq_rm(self._memory, 0, keep, -1)
            del self._held[keep:]

    def _read(self, tokens: list[int]) -> None:
        array = (llama_cpp.llama_token * len(tokens))(*tokens)
        batch = llama_cpp.llama_batch_get_one(array, len(tokens))
        if code := llama_cpp.llama_decode(self._context, batch):
            raise SystemExit(f"llama_decode failed with {code}")
        self._held += tokens

    def _likeliest(self) -> int:
        logits = llama_cpp.llama_get_logits_ith(self._context, -1)
        return int(np.ctypeslib.as_array(logits, (self._size,)).argmax())


def _has_amx() -> bool:
    """Whether llama.cpp would use AMX, at which the pinned version crashes (gcc 12).

    Without it, 8 bits are read as on any processor with VNNI; 4 bits are not laid out anew either.
    """
    try:
        return "amx_int8" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _quiet(level: int, text: bytes, data: Any) -> None:
    """Drops what llama.cpp tells while it loads."""


def quantise(source: str, target: str, kind: str) -> None:
    """llama.cpp's own quantisation of a GGUF in float32, to "q4_0" or "q8_0"."""
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind.upper()}")
    settings.nthread = 1
    code = llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(settings))
    if code:
        raise SystemExit(f"llama_model_quantize failed with {code}")
