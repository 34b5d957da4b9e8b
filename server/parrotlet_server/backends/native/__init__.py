"""The model in kernels of our own, compiled when Parrotlet is built; see `kernel.c`."""

from .backend import NativeBackend, UnavailableError

__all__ = ["NativeBackend", "UnavailableError"]
