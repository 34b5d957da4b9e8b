"""The engine: a place in a text to a suggestion."""

from __future__ import annotations

import time
from collections.abc import Callable, Container

from parrotlet_server.backends.base import Backend
from parrotlet_server.bundle import Bundle, BundleError
from parrotlet_tokenizer import CodeTokenizer

from .decode import Decoded, Decoder
from .filters import post_process
from .filters.names import PENALTY, has_unknown_name
from .place import Place, skipped
from .prompt import SMALLEST_CONTEXT, Prompt, build_prompt, clean
from .recall import LARGEST_VOCABULARY, LONGEST_PIECE, Mixture, Paragraphs
from .states import States
from .stopping import Stopping, stopping_at
from .turns import Turns
from .types import Completion, Request, Suggestion
from .vocabulary import Vocabulary

STATES = 3
"""Model states that are kept: about as many files as one edits in turn."""

NEAR = 50_000
"""Characters each side of the cursor whose n-grams count, or somewhat more."""

MOST_CANDIDATES = 3
MORE_TRIED = 2
"""Answers beyond those wanted that are tried where some are not worth showing or no other text."""


def never() -> bool:
    """The answer of a request that nobody cancels."""
    return False


class Engine:
    """Completes text with a model, one request at a time; others wait for their turn.

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
        speculate: bool = True,
    ) -> None:
        """Serves `backend`, whose tokens are `tokenizer`'s; keeps up to `states` model states.

        `speculate` lets the model check drafts out of the text, several tokens in one run.

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
        self._decoder = Decoder(backend, Vocabulary(tokenizer), speculate)
        self._states = States(backend, states)
        self._turns = Turns()
        fits = tokenizer.vocabulary_size <= LARGEST_VOCABULARY
        self._paragraphs = Paragraphs(tokenizer) if fits else None

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
        with self._turns:
            prompt_tokens, answers, suggestions, reason = self._decode(
                request, place, stopping, cancelled
            )
        return Completion(
            suggestions[0] if suggestions else None,
            reason,
            prompt_tokens=prompt_tokens,
            evaluated_tokens=sum(answer.evaluated for answer in answers),
            generated_tokens=sum(len(answer.tokens) for answer in answers),
            seconds=time.perf_counter() - start,
            others=tuple(suggestions[1:]),
            passes=sum(answer.passes for answer in answers),
            drafted_tokens=sum(answer.drafted for answer in answers),
            accepted_tokens=sum(answer.accepted for answer in answers),
        )

    def _decode(
        self,
        request: Request,
        place: Place,
        stopping: Stopping,
        cancelled: Callable[[], bool],
    ) -> tuple[int, list[Decoded], list[Suggestion], str]:
        """Length of the prompt, all that was written, what is worth showing of it, the reason."""
        if cancelled():
            return 0, [], [], "cancelled"
        context, quality = self.backend.context_length, self._quality
        prompt = build_prompt(self.tokenizer, request, context, quality)
        state, keep = self._states.take(prompt.ids, request.document)
        wanted = max(1, min(request.candidates, MOST_CANDIDATES))
        answers: list[Decoded] = []
        suggestions: list[Suggestion] = []
        reason = ""
        mixture = self.mixture(request, prompt, cancelled)
        if mixture is None and request.recall and self._paragraphs is not None:
            return len(prompt.ids), [], [], "cancelled"
        for decoded in self._decoder.several(prompt, state, keep, stopping, cancelled, mixture):
            answers.append(decoded)
            names = request.ngrams.names if request.ngrams else ()
            suggestion, why = suggestion_of(place, decoded, names)
            if why == "cancelled":
                return len(prompt.ids), answers, [], why
            if suggestion and all(suggestion.text != one.text for one in suggestions):
                reason = reason if suggestions else why
                suggestions.append(suggestion)
            reason = reason or why
            if len(suggestions) == wanted or len(answers) == wanted + MORE_TRIED * (wanted > 1):
                break
        # what is shown without being asked for stays first; of the others the surest
        others = sorted(suggestions[1:], key=lambda one: one.score, reverse=True)
        return len(prompt.ids), answers, [*suggestions[:1], *others], reason

    def mixture(
        self, request: Request, prompt: Prompt, cancelled: Callable[[], bool] = never
    ) -> Mixture | None:
        """What the texts around `request` say beside the model.

        None if they shall not, or if `cancelled` says so.
        """
        if self._paragraphs is None or not request.recall:
            return None
        # it begins at a place that moves in steps, so that a key changes only the end
        begin = max(0, len(request.prefix) - NEAR) // LONGEST_PIECE * LONGEST_PIECE
        before = clean(request.prefix[begin:])
        before = before[: len(before) - len(prompt.rest.decode(errors="ignore"))]
        # the rest of the cursor's own line is not what a line goes on with
        line = request.suffix.find("\n")
        after = clean(request.suffix[line : line + NEAR]) if line >= 0 else ""
        own = self._paragraphs.run((before, after), cancelled)
        return None if own is None else Mixture(own, request.ngrams, request.file_number)


def suggestion_of(
    place: Place, decoded: Decoded, known: Container[str] = ()
) -> tuple[Suggestion | None, str]:
    """What of `decoded` is worth showing at `place`, if anything, and the reason.

    Names of `known` are none that the model has made up.
    """
    if decoded.reason == "cancelled":
        return None, "cancelled"
    left = post_process(place, decoded.text, finished=decoded.reason != "length")
    if left.reason is not None:
        return None, "repetition" if decoded.reason == "repetition" else left.reason
    score = decoded.score(left.text)
    if has_unknown_name(place, left.text, known):
        score -= PENALTY
    return Suggestion(left.text, left.overwrite, score), decoded.reason
