"""Completions of a model that runs elsewhere, through the same places, stops and trimming."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator

from parrotlet_server.backends.errors import EndpointCancelledError, EndpointError
from parrotlet_server.backends.openai import OpenAIClient, Piece
from parrotlet_server.backends.options import PROMPTS, BackendOptions
from parrotlet_server.bundle import Bundle

from .decode import Decoded
from .engine import never, suggestion_of
from .place import Place, skipped
from .prompt import build_prompt
from .stopping import Stopping, stopping_at
from .types import Completion, Request

PREFIX_CHARACTERS, SUFFIX_CHARACTERS = 6_000, 2_000
"""Text around the cursor that a foreign model is sent, in whole lines."""


class RemoteEngine:
    """Completes text with a model behind OpenAI's ``/v1/completions``.

    It gives one suggestion, whose score is 0: these servers tell no common kind of score.
    """

    def __init__(self, options: BackendOptions, bundle: Bundle | None = None) -> None:
        """Asks the server that `options` name.

        Args:
            options: of kind "openai".
            bundle: gives vocabulary and context length where ``options.prompt`` is "tokens".

        Raises:
            EndpointError: if address or prompt make no sense.
        """
        template = PROMPTS.get(options.prompt, options.prompt)
        if template not in ("tokens", "suffix") and not (
            template.count("{prefix}") == 1 and template.count("{suffix}") <= 1
        ):
            raise EndpointError(
                f"{options.prompt!r} is no prompt: give tokens, suffix, {', '.join(PROMPTS)} or a "
                "template with {prefix} and {suffix}"
            )
        if template == "tokens" and bundle is None:
            raise EndpointError("to send tokens takes a model, for its vocabulary")
        self._template = template
        self._bundle = bundle
        self._client = OpenAIClient(options)

    def complete(self, request: Request, cancelled: Callable[[], bool] = never) -> Completion:
        """As `Engine.complete`.

        Raises:
            EndpointError: if the server cannot be used; one line says why.
        """
        start = time.perf_counter()
        place = Place.of(request)
        if reason := skipped(request, place):
            return Completion(None, f"skipped:{reason}")
        answer = _Answer(stopping_at(place, request.multiline))
        try:
            prompt_tokens = self._ask(request, answer, cancelled)
        except EndpointCancelledError:
            return Completion(None, "cancelled", seconds=time.perf_counter() - start)
        suggestion, reason = suggestion_of(place, answer.decoded)
        return Completion(
            suggestion,
            reason,
            prompt_tokens=prompt_tokens,
            generated_tokens=answer.pieces,
            seconds=time.perf_counter() - start,
            dropped=() if suggestion or reason == "cancelled" else (reason,),
        )

    def _ask(self, request: Request, answer: _Answer, cancelled: Callable[[], bool]) -> int:
        """Fills `answer`; the number of tokens sent, 0 where text was."""
        stream = self._client.stream
        if self._template == "tokens":
            return self._ask_tokens(request, answer, cancelled)
        before, after = _around(request)
        if self._template == "suffix":
            answer.take(stream(before, request.max_tokens, cancelled, suffix=after))
        else:
            head, _, tail = self._template.partition("{prefix}")
            text = head.replace("{suffix}", after) + before + tail.replace("{suffix}", after)
            answer.take(stream(text, request.max_tokens, cancelled))
        return 0

    def _ask_tokens(self, request: Request, answer: _Answer, cancelled: Callable[[], bool]) -> int:
        assert self._bundle is not None
        manifest, tokenizer = self._bundle.manifest, self._bundle.tokenizer
        context = manifest.architecture.context_length
        prompt = build_prompt(tokenizer, request, context, manifest.best_quality)
        rest = prompt.rest.decode("utf-8", "replace")
        # Nothing holds a server's answer to the piece before the cursor. Most answers spell it by
        # themselves; where one does not, the piece is sent as it stands.
        spelling = tokenizer.encode(rest)
        if answer.take(
            self._client.stream(prompt.ids, prompt.limit + len(spelling), cancelled), rest
        ):
            return len(prompt.ids)
        ids = [*prompt.ids, *spelling]
        answer.take(self._client.stream(ids, prompt.limit, cancelled))
        return len(ids)


class _Answer:
    """What has come, until it is over.

    Attributes:
        decoded: the text and why it ended.
        pieces: that came.
    """

    def __init__(self, stopping: Stopping) -> None:
        self.decoded = Decoded()
        self.pieces = 0
        self._stopping = stopping

    def take(self, stream: Generator[Piece, None, None], rest: str = "") -> bool:
        """Reads `stream` until its end or where the text is to stop.

        Returns:
            False if the answer does not begin with `rest`, which is no part of the text.
        """
        written, finish = "", "stop"
        try:
            for piece in stream:
                self.pieces += 1
                written += piece.text
                finish = piece.finish or finish
                if not written.startswith(rest):
                    if not rest.startswith(written):
                        return False
                    continue
                stop = self._stopping.check(written[len(rest) :])
                if stop is not None:
                    return self._end(written[len(rest) :], stop.end, stop.reason)
        finally:
            stream.close()
        if not written.startswith(rest):
            return False
        text = written[len(rest) :]
        stop = self._stopping.finish(text, "length" if finish == "length" else "end_of_text")
        return self._end(text, stop.end, stop.reason)

    def _end(self, text: str, end: int, reason: str) -> bool:
        self.decoded.text, self.decoded.reason = text[:end], reason
        return True


def _around(request: Request) -> tuple[str, str]:
    """Text before and after the cursor, from a line start and to a line end where it is cut."""
    before = request.prefix.replace("\r\n", "\n")
    after = request.suffix.replace("\r\n", "\n")
    if len(before) > PREFIX_CHARACTERS:
        before = before[-PREFIX_CHARACTERS:]
        before = before[before.find("\n") + 1 :]
    if len(after) > SUFFIX_CHARACTERS:
        after = after[:SUFFIX_CHARACTERS]
        after = after[: after.rfind("\n") + 1] or after
    return _sendable(before), _sendable(after)


def _sendable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
