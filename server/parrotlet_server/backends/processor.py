"""Whatever runs a bundle fastest on this processor."""

from __future__ import annotations

import logging
import os

from parrotlet_server.bundle import Bundle

from .base import Backend

logger = logging.getLogger(__name__)

KERNELS = "PARROTLET_KERNELS"
"""Set to 0 in the environment, models run in ONNX Runtime everywhere."""


def described(backend: Backend) -> str:
    """What runs a model, for people."""
    level = getattr(backend, "level", None)
    return f"kernels for {level}" if level else "ONNX Runtime"


def open_backend(bundle: Bundle, threads: int | None = None) -> Backend:
    """A backend that runs `bundle`: kernels of our own where they can, else ONNX Runtime.

    Args:
        bundle: verified by the caller.
        threads: None is the number of physical cores, at most 4.

    Raises:
        BundleError: if the model is damaged.
    """
    if os.environ.get(KERNELS) != "0":
        from .native import NativeBackend, UnavailableError

        try:
            return NativeBackend(bundle, threads)
        except UnavailableError as error:
            logger.debug("no kernels: %s", error)
    from .onnx import OnnxBackend

    return OnnxBackend(bundle.model_file, threads)
