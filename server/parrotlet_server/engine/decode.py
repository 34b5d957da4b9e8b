"""The decoding loop: greedy, held to the text before the cursor, cancellable at each token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from parrotlet_server.backends.base import Backend, State
from parrotlet_tokenizer.specials import END_OF_TEXT_ID

from .prompt import Prompt
from .stopping import Stop, Stopping
from .vocabulary import Vocabulary

CHUNK = 64
"""Tokens of a prompt that are read between two looks at the cancellation: 10 to 50 ms."""

_NONE = np.empty(0, dtype=np.float32)


@dataclass
class Decoded:
    """What the model wrote.

    Attributes:
        text: the part after the cursor, up to where it was stopped.
        reason: why it ended, as in `Completion.reason`; "cancelled" leaves the text unfinished.
        evaluated: tokens of the prompt that were read.
        ends: for each token written, the end of its bytes, counted from the cursor.
        log_probabilities: of each token written.
    """

    text: str = ""
    reason: str = "cancelled"
    evaluated: int = 0
    ends: list[int] = field(default_factory=list)
    log_probabilities: list[float] = field(default_factory=list)

    def score(self, text: str) -> float:
        """Mean log-probability of the tokens that wrote `text`, the beginning of the answer."""
        size = len(text.encode())
        begins = [0, *self.ends]
        own = [
            value
            for begin, end, value in zip(begins, self.ends, self.log_probabilities, strict=False)
            if end > 0 and begin < size
        ]
        return sum(own) / len(own) if own else 0.0


class Decoder:
    """Runs prompts through a model."""

    def __init__(self, backend: Backend, vocabulary: Vocabulary) -> None:
        self._backend = backend
        self._vocabulary = vocabulary

    def run(
        self,
        prompt: Prompt,
        state: State,
        keep: int,
        stopping: Stopping,
        cancelled: Callable[[], bool],
    ) -> Decoded:
        """Reads `prompt`, of which `state` holds `keep` tokens, and writes until `stopping` says.

        Whenever it returns or raises, `state` holds what its tokens say.
        """
        decoded = Decoded()
        keep = min(keep, len(prompt.ids) - 1)  # the last token's logits are needed
        logits = _NONE
        for start in range(keep, len(prompt.ids), CHUNK):
            if cancelled():
                return decoded
            chunk = prompt.ids[start : start + CHUNK]
            logits = self._backend.evaluate(state, start, chunk)
            decoded.evaluated += len(chunk)
        self._write(prompt, state, logits, stopping, cancelled, decoded)
        return decoded

    def _write(
        self,
        prompt: Prompt,
        state: State,
        logits: NDArray[np.float32],
        stopping: Stopping,
        cancelled: Callable[[], bool],
        decoded: Decoded,
    ) -> None:
        rest = prompt.rest
        written = b""
        room = self._backend.context_length - len(state.tokens)
        shown = 0
        while not cancelled():
            token, value = self._choose(logits, rest)
            if token == END_OF_TEXT_ID:
                _end(decoded, stopping.finish(decoded.text, "end_of_text"))
                return
            text = self._vocabulary.bytes[token]
            written += text[len(rest) :]
            rest = rest[len(text) :]
            shown += bool(written)
            decoded.ends.append(len(written))
            decoded.log_probabilities.append(value)
            decoded.text, broken = decode_whole(written)
            stop = stopping.check(decoded.text)
            if stop is None and (broken or shown == prompt.limit or len(decoded.ends) > room):
                stop = stopping.finish(decoded.text, "length")
            if stop is not None:
                _end(decoded, stop)
                return
            logits = self._backend.evaluate(state, len(state.tokens), [token])

    def _choose(self, logits: NDArray[np.float32], rest: bytes) -> tuple[int, float]:
        """The likeliest token that may follow, and its log-probability among these."""
        if rest:
            allowed = self._vocabulary.continuing(rest)
            logits = logits[allowed]
        else:
            self._vocabulary.ban_specials(logits)
        best = int(logits.argmax())
        value = -float(np.log(np.exp(logits - logits[best]).sum()))
        return (int(allowed[best]) if rest else best), value


def decode_whole(written: bytes) -> tuple[str, bool]:
    """The whole characters that `written` begins with, and whether what follows is no UTF-8."""
    try:
        return written.decode(), False
    except UnicodeDecodeError as error:
        unfinished = error.reason == "unexpected end of data"
        return written[: error.start].decode(), not unfinished


def _end(decoded: Decoded, stop: Stop) -> None:
    decoded.text = decoded.text[: stop.end]
    decoded.reason = stop.reason
