"""The decoding loop: greedy, held to the text before the cursor, cancellable at each token."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from parrotlet_server.backends.base import Backend, State
from parrotlet_tokenizer.specials import END_OF_TEXT_ID

from .brackets import Brackets
from .lookup import Lookup
from .prompt import Prompt
from .recall import LONGEST, Mixture, log_sum
from .states import common_length
from .stopping import Stop, Stopping
from .vocabulary import Vocabulary

CHUNK = 112
"""Tokens of a prompt that are read between two looks at the cancellation: 5 to 50 ms.

A tenth slower in pieces of half as many, and no faster in larger ones."""

_MOST_SAME = 8
"""Answers that may turn out to be known already before no further one is tried."""

_MOST_WRONG = 32
"""Tokens that are passed over in one place since they close a wrong bracket."""

_UNLIKELY = math.log(0.01)
"""Log-probability of the token with which another answer begins to differ, at least."""

Logits = NDArray[np.float32]


@dataclass
class Decoded:
    """What the model wrote.

    Attributes:
        text: the part after the cursor, up to where it was stopped.
        reason: why it ended, as in `Completion.reason`; "cancelled" leaves the text unfinished.
        evaluated: tokens of the prompt that were read.
        tokens: that were written.
        ends: for each token written, the end of its bytes, counted from the cursor.
        log_probabilities: of each token written.
        passes: runs of the model for what was written, the one that ends the prompt among them.
        drafted: tokens of drafts that were read.
        accepted: of these, those that the model wrote itself.
    """

    text: str = ""
    reason: str = "cancelled"
    evaluated: int = 0
    tokens: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    log_probabilities: list[float] = field(default_factory=list)
    passes: int = 0
    drafted: int = 0
    accepted: int = 0

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


@dataclass(eq=False)
class _Choice:
    """A token of the answer, and those that might stand in its place.

    Attributes:
        logits: of the likely tokens, the likeliest among them, float32, shape (n,); -inf for what
            was taken already.
        ids: of the n tokens.
        total: logarithm of the sum of the exponentials of the logits of all tokens.
        rest: text before the cursor that the token had to spell.
        written: bytes of the answer before it.
        before: tokens that were written before it.
        log_probabilities: of these.
    """

    logits: Logits
    ids: NDArray[np.int64]
    total: float
    rest: bytes
    written: bytes = b""
    before: list[int] = field(default_factory=list)
    log_probabilities: list[float] = field(default_factory=list)

    @property
    def best(self) -> int:
        """The likeliest token that is left."""
        return int(self.ids[self.logits.argmax()])

    @property
    def value(self) -> float:
        """Its log-probability."""
        return float(self.logits.max()) - self.total

    @property
    def beginning(self) -> float:
        """Log-probability of all up to it."""
        return sum(self.log_probabilities) + self.value

    def take(self) -> None:
        """Leaves the next one as the likeliest."""
        self.logits[self.logits.argmax()] = -np.inf


class Decoder:
    """Runs prompts through a model."""

    def __init__(self, backend: Backend, vocabulary: Vocabulary, speculate: bool = True) -> None:
        """Writes with `backend`; `speculate` lets it check drafts of several tokens at once."""
        self._backend = backend
        self._vocabulary = vocabulary
        # of the last prompt, most of which the next one has too
        self._lookup = Lookup([], vocabulary.bytes) if speculate else None

    def run(
        self,
        prompt: Prompt,
        state: State,
        keep: int,
        stopping: Stopping,
        cancelled: Callable[[], bool],
        mixture: Mixture | None = None,
    ) -> Decoded:
        """Reads `prompt`, of which `state` holds `keep` tokens, and writes until `stopping` says.

        Whenever it returns or raises, `state` holds what its tokens say: the prompt's as far as
        they were read, then what was written, and perhaps the end of a draft that was wrong.
        """
        return next(self.several(prompt, state, keep, stopping, cancelled, mixture))

    def several(
        self,
        prompt: Prompt,
        state: State,
        keep: int,
        stopping: Stopping,
        cancelled: Callable[[], bool],
        mixture: Mixture | None = None,
        least: float = 0.0,
        flush: bool = False,
        brackets: Brackets | None = None,
    ) -> Iterator[Decoded]:
        """As `run`, and after its answer others, each a different text.

        They are those of the likeliest beginning: one of the answers so far up to some token, and
        another token in the place of that one. There is none whose beginning is less likely than
        `least`. Once one is cancelled, no other follows. `mixture` has a say in each token. With
        `flush` none begins with a space or a tab; with `brackets` none closes what is not open.
        """
        if self._lookup:
            self._lookup.turn(prompt.ids)
        writing = _Writing(
            self._backend,
            self._vocabulary,
            self._lookup,
            prompt,
            state,
            stopping,
            mixture,
            flush,
            brackets,
        )
        decoded = Decoded()
        if writing.read(keep, decoded, cancelled):
            writing.write(decoded, cancelled)
        texts, written, same = {decoded.text}, [writing.written], 0
        yield decoded
        while decoded.reason != "cancelled" and (choice := writing.fork(least)) is not None:
            token, value = choice.best, choice.value
            choice.take()
            shown = choice.written + self._vocabulary.bytes[token][len(choice.rest) :]
            if not shown or any(text.startswith(shown) for text in written):
                continue  # most likely other tokens of the same text
            if not writing.allows(token, choice.rest, choice.written):
                continue
            decoded = writing.branch(choice, token, value, cancelled)
            written.append(writing.written)
            if decoded.reason != "cancelled" and decoded.text in texts:
                same += 1  # the stop cut off what is different
                if same == _MOST_SAME:
                    return
                continue
            texts.add(decoded.text)
            yield decoded


class _Writing:
    """One prompt, and what is written after it.

    Attributes:
        written: bytes after the cursor, of the newest answer, what is stopped at among them.
    """

    def __init__(
        self,
        backend: Backend,
        vocabulary: Vocabulary,
        lookup: Lookup | None,
        prompt: Prompt,
        state: State,
        stopping: Stopping,
        mixture: Mixture | None,
        flush: bool,
        brackets: Brackets | None,
    ) -> None:
        self._flush = flush
        self._brackets = brackets
        self._choices: list[_Choice] = []
        self._open: list[_Choice] = []
        self._backend = backend
        self._vocabulary = vocabulary
        self._prompt = prompt
        self._state = state
        self._stopping = stopping
        self._mixture = mixture
        self._lookup = lookup
        self._rest = prompt.rest
        self.written = b""
        self._shown = 0
        self._draft: list[int] = []
        # Logits after the last token written and after each of the draft; `_at` is the row to
        # choose from.
        self._rows: Logits = np.empty((0, 0), dtype=np.float32)
        self._at = 0

    def read(self, keep: int, decoded: Decoded, cancelled: Callable[[], bool]) -> bool:
        """Reads the prompt, and a first draft with its end; False if it was cancelled."""
        return self._read(keep, self._prompt.ids, decoded, cancelled)

    def _read(
        self, keep: int, ids: list[int], decoded: Decoded, cancelled: Callable[[], bool]
    ) -> bool:
        """Reads `ids` from `keep` on, and a draft with their end; False if it was cancelled."""
        keep = min(keep, len(ids) - 1)  # the last token's logits are needed
        for start in range(keep, len(ids), CHUNK):
            if cancelled():
                return False
            chunk = ids[start : start + CHUNK]
            if start + CHUNK < len(ids):
                self._backend.evaluate(self._state, start, chunk)
            else:
                self._evaluate(start, chunk, decoded)
            decoded.evaluated += max(0, min(start + CHUNK, len(self._prompt.ids)) - start)
        return True

    def write(self, decoded: Decoded, cancelled: Callable[[], bool]) -> None:
        """Goes on with `decoded` until it is over or cancelled."""
        while not cancelled():
            choice = self._choice(self._mixed(self._rows[self._at], decoded), decoded)
            token = choice.best
            if len(self._vocabulary.bytes[token]) > len(self._rest):
                self._choices.append(choice)
            if self._take(token, choice.value, decoded):
                return
            if self._at < len(self._draft) and self._draft[self._at] == token:
                self._at += 1  # the model has read it already
                decoded.accepted += 1
            else:
                self._read_last(decoded)

    def fork(self, least: float) -> _Choice | None:
        """Where the likeliest other answer begins, if any is at least so likely."""
        for choice in self._choices:
            choice.take()  # that one was written
        self._open = [one for one in self._open + self._choices if one.value >= _UNLIKELY]
        self._choices = []
        choices = [one for one in self._open if math.exp(one.beginning) >= least]
        return max(choices, key=lambda one: one.beginning, default=None)

    def branch(
        self, choice: _Choice, token: int, value: float, cancelled: Callable[[], bool]
    ) -> Decoded:
        """Another answer, which has `token` in the place of `choice`."""
        decoded = Decoded()
        self._rest, self.written, self._shown = self._prompt.rest, b"", 0
        if self._lookup:
            self._lookup.cut(len(self._prompt.ids))
        for one, its in zip(choice.before, choice.log_probabilities, strict=True):
            self._add(one, its, decoded)
        if not cancelled() and not self._take(token, value, decoded):
            whole = [*self._prompt.ids, *decoded.tokens]
            # yet another answer may have been written over what stands before
            if self._read(common_length(self._state.tokens, whole), whole, decoded, cancelled):
                self.write(decoded, cancelled)
        return decoded

    def _mixed(self, logits: Logits, decoded: Decoded) -> Logits:
        """`logits` of the token after what was written; each row comes here once."""
        if self._mixture is not None:
            history = (self._prompt.ids[-LONGEST:] + decoded.tokens[-LONGEST:])[-LONGEST:]
            self._mixture.mix(logits, history)
        return logits

    def _choice(self, logits: Logits, decoded: Decoded) -> _Choice:
        """What may follow `decoded`."""
        ids = self._vocabulary.continuing(self._rest) if self._rest else None
        flush = self._flush and not self.written
        lost = 1.0
        if ids is None:
            if self._mixture is not None and not flush:
                lost = self._vocabulary.share_of_specials(logits)
            self._vocabulary.ban_specials(logits)
        else:
            logits = logits[ids]
        if flush:
            self._vocabulary.ban_blanks(logits, ids, len(self._rest))
        # the sum of a mixture is 1, so it is enough to know what was taken away
        total = math.log1p(-lost) if lost < 0.5 else log_sum(logits)
        self._pass_over(logits, ids)
        # all else is let go of: a row has as many logits as the vocabulary has tokens
        likely = (logits >= min(logits.max(), np.float32(total + _UNLIKELY))).nonzero()[0]
        logits, ids = logits[likely], likely if ids is None else ids[likely]
        tokens, values = list(decoded.tokens), list(decoded.log_probabilities)
        return _Choice(logits, ids, total, self._rest, self.written, tokens, values)

    def _pass_over(self, logits: Logits, ids: NDArray[np.int64] | None) -> None:
        """Makes the likeliest tokens impossible, in place, as far as they close a wrong bracket."""
        for _ in range(_MOST_WRONG if self._brackets else 0):
            best = int(logits.argmax())
            if self.allows(best if ids is None else int(ids[best]), self._rest, self.written):
                return
            logits[best] = -np.inf

    def allows(self, token: int, rest: bytes, written: bytes) -> bool:
        """Whether `token`, which spells `rest` after `written`, closes no wrong bracket."""
        if self._brackets is None or token not in self._vocabulary.closing:
            return True
        text = written + self._vocabulary.bytes[token][len(rest) :]
        return self._brackets.allow(text.decode(errors="ignore"))

    def _take(self, token: int, value: float, decoded: Decoded) -> bool:
        """Adds `token` to the answer; whether that ends it."""
        if token == END_OF_TEXT_ID:
            _end(decoded, self._stopping.finish(decoded.text, "end_of_text"))
            return True
        broken = self._add(token, value, decoded)
        stop = self._stopping.check(decoded.text)
        # the token has to be read before another one can be written
        full = len(self._prompt.ids) + len(decoded.tokens) > self._backend.context_length
        if stop is None and (broken or full or self._shown == self._prompt.limit):
            stop = self._stopping.finish(decoded.text, "length")
        if stop is not None:
            _end(decoded, stop)
        return stop is not None

    def _add(self, token: int, value: float, decoded: Decoded) -> bool:
        """Adds `token` to the text; whether that is no UTF-8."""
        text = self._vocabulary.bytes[token]
        self.written += text[len(self._rest) :]
        self._rest = self._rest[len(text) :]
        self._shown += bool(self.written)
        if self._lookup:
            self._lookup.extend([token])
        decoded.tokens.append(token)
        decoded.ends.append(len(self.written))
        decoded.log_probabilities.append(value)
        decoded.text, broken = decode_whole(self.written)
        return broken

    def _read_last(self, decoded: Decoded) -> None:
        """Reads the last token that was written."""
        written = len(self._prompt.ids) + len(decoded.tokens)
        self._evaluate(written - 1, decoded.tokens[-1:], decoded)

    def _evaluate(self, keep: int, tokens: list[int], decoded: Decoded) -> None:
        """Reads `tokens`, which end what there is, and a draft of what may follow."""
        room = self._backend.context_length - keep - len(tokens)
        draft = self._drafted(room) if self._lookup else []
        self._rows = self._backend.evaluate_rows(
            self._state, keep, [*tokens, *draft], 1 + len(draft)
        )
        self._draft, self._at = draft, 0
        decoded.passes += 1
        decoded.drafted += len(draft)

    def _drafted(self, room: int) -> list[int]:
        """A draft of at most `room` tokens that ends before the answer would be over.

        The last token of an answer is chosen from the logits before it and never read.
        """
        assert self._lookup is not None
        draft = self._lookup.draft(self._rest)[: min(room, self._prompt.limit - self._shown - 1)]
        rest, written = self._rest, self.written
        for at, token in enumerate(draft):
            text = self._vocabulary.bytes[token]
            written += text[len(rest) :]
            rest = rest[len(text) :]
            if self._stopping.check(decode_whole(written)[0]):
                return draft[:at]
        return draft


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
