"""The engine: a place in a text to a suggestion."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from parrotlet_server.backends.base import Backend
from parrotlet_server.bundle import Bundle, BundleError
from parrotlet_tokenizer import CodeTokenizer

from .decode import Decoded, Decoder
from .filters import post_process
from .filters.names import PENALTY, has_unknown_name
from .place import Place, skipped
from .prompt import SMALLEST_CONTEXT, build_prompt
from .states import States
from .stopping import Stopping, stopping_at
from .types import Completion, Request, Suggestion
from .vocabulary import Vocabulary

STATES = 3
"""Model states that are kept: about as many files as one edits in turn."""


def never() -> bool:
    """The answer of a request that nobody cancels."""
    return False


class Engine:
    """Completes text with a model, one request at a time; others wait.

    Attributes:
        backend: what runs the model.
        tokenizer: the model's vocabulary.
        bundle: where the model comes from; None if it was given as a backend.
    """

    def __init__(
        self,
        backend: Backend,
        tokenizer: CodeTokenizer,
        bundle: Bundle | None = None,
        states: int = STATES,
    ) -> None:
        """Serves `backend`, whose tokens are `tokenizer`'s; keeps up to `states` model states.

        Raises:
            BundleError: if the two do not belong together, or the context is too short.
        """
        if tokenizer.vocabulary_size > backend.vocabulary_size:
            raise BundleError(
                f"the tokenizer has {tokenizer.vocabulary_size} entries, the model "
                f"{backend.vocabulary_size}: they do not belong together"
            )
        if backend.context_length < SMALLEST_CONTEXT:
            raise BundleError(
                f"the model's context is {backend.context_length} tokens; completing takes "
                f"{SMALLEST_CONTEXT}"
            )
        self.backend = backend
        self.tokenizer = tokenizer
        self.bundle = bundle
        self._quality = bundle.manifest.best_quality if bundle else None
        self._decoder = Decoder(backend, Vocabulary(tokenizer))
        self._states = States(backend, states)
        self._lock = Lock()

    @classmethod
    def load(cls, model: str | None = None, threads: int | None = None) -> Engine:
        """Finds, verifies and loads a model.

        Args:
            model: a bundle folder, a checkpoint folder or ``owner/name@commit`` on the Hub; None
                is the bundled model.
            threads: threads of the model; None is the number of physical cores, at most 4.

        Raises:
            BundleError: if there is no such model or it is damaged; one line says what to do.
        """
        # Imported here: whoever brings a backend needs no ONNX Runtime.
        from parrotlet_server.backends.onnx import OnnxBackend
        from parrotlet_server.bundle.resolve import resolve_model

        bundle = resolve_model(model)
        return cls(OnnxBackend(bundle.model_file, threads), bundle.tokenizer, bundle)

    def complete(self, request: Request, cancelled: Callable[[], bool] = never) -> Completion:
        """The continuation of ``request.prefix``.

        `cancelled` is asked before each token and between chunks of the prompt; once it answers
        True the call returns within about 0.1 seconds with the reason "cancelled".
        """
        start = time.perf_counter()
        place = Place.of(request)
        if reason := skipped(request, place):
            return Completion(None, f"skipped:{reason}")
        stopping = stopping_at(place, request.multiline)
        with self._lock:
            prompt_tokens, decoded = self._decode(request, stopping, cancelled)
        suggestion, reason = _suggestion(place, decoded)
        return Completion(
            suggestion,
            reason,
            prompt_tokens=prompt_tokens,
            evaluated_tokens=decoded.evaluated,
            generated_tokens=len(decoded.ends),
            seconds=time.perf_counter() - start,
        )

    def _decode(
        self, request: Request, stopping: Stopping, cancelled: Callable[[], bool]
    ) -> tuple[int, Decoded]:
        if cancelled():
            return 0, Decoded()
        context, quality = self.backend.context_length, self._quality
        prompt = build_prompt(self.tokenizer, request, context, quality)
        state, keep = self._states.take(prompt.ids, request.document)
        return len(prompt.ids), self._decoder.run(prompt, state, keep, stopping, cancelled)


def _suggestion(place: Place, decoded: Decoded) -> tuple[Suggestion | None, str]:
    if decoded.reason == "cancelled":
        return None, "cancelled"
    left = post_process(place, decoded.text, finished=decoded.reason != "length")
    if left.reason is not None:
        return None, "repetition" if decoded.reason == "repetition" else left.reason
    score = decoded.score(left.text)
    if has_unknown_name(place, left.text):
        score -= PENALTY
    return Suggestion(left.text, left.overwrite, score), decoded.reason
