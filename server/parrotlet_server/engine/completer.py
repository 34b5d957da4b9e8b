"""Whatever completes text, and how it is had."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from parrotlet_server.backends.errors import EndpointError
from parrotlet_server.backends.options import PROMPTS, BackendOptions

from .engine import Engine, never
from .types import Completion, Request

__all__ = ["PROMPTS", "BackendOptions", "Completer", "EndpointError", "open_completer"]


class Completer(Protocol):
    """Gives suggestions; `Engine` and `RemoteEngine` are such."""

    def complete(self, request: Request, cancelled: Callable[[], bool] = never) -> Completion:
        """The continuation of ``request.prefix``; see `Engine.complete`."""
        ...


def open_completer(options: BackendOptions) -> Completer:
    """What `options` ask for, ready to complete.

    Raises:
        BundleError: if there is no such model or device, torch is not installed, or the model is
            damaged; one line says what to do.
        EndpointError: if the address of a server makes no sense. Nothing is sent to it yet.
    """
    if options.kind == "onnx":
        return Engine.load(options.model, options.threads)
    from parrotlet_server.bundle import BundleError
    from parrotlet_server.bundle.resolve import resolve_model

    if options.kind == "openai":
        from .remote import RemoteEngine

        bundle = resolve_model(options.model) if options.prompt == "tokens" else None
        return RemoteEngine(options, bundle)
    if options.kind != "torch":
        raise BundleError(f"there is no backend {options.kind!r}: give onnx, torch or openai")
    try:
        from parrotlet_server.backends.torch import TorchBackend
    except ImportError as error:
        raise BundleError(
            'the backend torch needs PyTorch, which is not installed: pip install "torch"'
        ) from error
    from parrotlet_server.bundle.weights import restored

    bundle = resolve_model(options.model)
    weights = restored(bundle)
    backend = TorchBackend(weights.architecture, weights.tensors, options.device, options.threads)
    return Engine(backend, bundle.tokenizer, bundle)
