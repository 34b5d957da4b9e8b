"""The engine: a place in a text to a suggestion."""

from __future__ import annotations

import time
from collections.abc import Callable, Container
from dataclasses import dataclass, field

from parrotlet_server.backends.base import Backend
from parrotlet_server.bundle import Bundle, BundleError
from parrotlet_tokenizer import CodeTokenizer

from .brackets import Brackets
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
"""Answers beyond those wanted that are tried where some are not worth showing."""

LIKELY = 0.1
"""Probability of the beginning of an answer that is shown in the place of a likelier one, unless
the user asked for several: of those below it one in fifty was right, of those above one in six."""


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
        # Imported here: whoever brings a backend needs none of these.
        from parrotlet_server.backends.processor import open_backend
        from parrotlet_server.bundle.resolve import resolve_model

        bundle = resolve_model(model)
        return cls(open_backend(bundle, threads), bundle.tokenizer, bundle)

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
            found = self._decode(request, place, stopping, cancelled)
        # what is shown without being asked for stays first; of the others the surest
        others = sorted(found.suggestions[1:], key=lambda one: one.score, reverse=True)
        return Completion(
            found.suggestions[0] if found.suggestions else None,
            found.reason,
            prompt_tokens=found.prompt_tokens,
            evaluated_tokens=sum(answer.evaluated for answer in found.answers),
            generated_tokens=sum(len(answer.tokens) for answer in found.answers),
            seconds=time.perf_counter() - start,
            others=tuple(others),
            passes=sum(answer.passes for answer in found.answers),
            drafted_tokens=sum(answer.drafted for answer in found.answers),
            accepted_tokens=sum(answer.accepted for answer in found.answers),
            dropped=tuple(found.dropped),
        )

    def _decode(
        self,
        request: Request,
        place: Place,
        stopping: Stopping,
        cancelled: Callable[[], bool],
    ) -> _Found:
        found = _Found()
        if cancelled():
            return found
        context, quality = self.backend.context_length, self._quality
        prompt = build_prompt(self.tokenizer, request, context, quality)
        found.prompt_tokens = len(prompt.ids)
        state, keep = self._states.take(prompt.ids, request.document)
        wanted = max(1, min(request.candidates, MOST_CANDIDATES))
        mixture = self.mixture(request, prompt, cancelled)
        if mixture is None and request.recall and self._paragraphs is not None:
            return found
        names = request.ngrams.names if request.ngrams else ()
        least = LIKELY if wanted == 1 else 0.0
        answers = self._decoder.several(
            prompt,
            state,
            keep,
            stopping,
            cancelled,
            mixture,
            least,
            place.is_indented,
            Brackets.at(place),
        )
        for decoded in answers:
            found.add(decoded, *suggestion_of(place, decoded, names))
            whole = decoded.reason == "cancelled" or len(found.suggestions) == wanted
            if whole or len(found.answers) == wanted + MORE_TRIED:
                break
            if found.dropped == ["empty"] and wanted == 1:
                break  # the line is complete, and nobody has asked for more
        return found

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


@dataclass
class _Found:
    """What came of a request.

    Attributes:
        prompt_tokens: length of the prompt.
        answers: all that was written.
        suggestions: what of it is worth showing, each another text.
        reason: why the first of them ended, or why there is none.
        dropped: why the answers before it were not worth showing.
    """

    prompt_tokens: int = 0
    answers: list[Decoded] = field(default_factory=list)
    suggestions: list[Suggestion] = field(default_factory=list)
    reason: str = "cancelled"
    dropped: list[str] = field(default_factory=list)

    def add(self, decoded: Decoded, suggestion: Suggestion | None, why: str) -> None:
        """Takes the next answer, of which `suggestion` is worth showing."""
        self.answers.append(decoded)
        if why == "cancelled":
            self.reason = why
            self.suggestions.clear()
        elif not self.suggestions:
            self.reason = why if suggestion or not self.dropped else self.dropped[0]
            if suggestion:
                self.suggestions.append(suggestion)
            else:
                self.dropped.append(why)
        elif suggestion and all(suggestion.text != one.text for one in self.suggestions):
            self.suggestions.append(suggestion)


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
