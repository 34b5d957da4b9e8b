"""What the engine needs of whatever runs the model. A backend knows no document, only tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class State(Protocol):
    """Keys and values of a run of tokens, kept between calls.

    Attributes:
        tokens: the ids whose keys and values are held, in order.
    """

    tokens: list[int]


class Backend(Protocol):
    """A model that can be asked for the next token.

    Attributes:
        context_length: most tokens that a state holds.
        vocabulary_size: number of logits.
    """

    context_length: int
    vocabulary_size: int

    def new_state(self) -> State:
        """An empty state."""
        ...

    def evaluate(self, state: State, keep: int, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Cuts `state` to its first `keep` tokens, appends `tokens`, gives the next token's logits.

        Cutting costs nothing. It runs to its end: a caller that wants to stop a long prompt gives
        it in pieces. `state.tokens` is up to date afterwards, also when an error is
        raised (then it is cut to what is valid).

        Returns:
            Logits after the last of `tokens`, float32, shape (vocabulary_size,).

        Raises:
            ValueError: if `tokens` is empty, or the state would exceed `context_length`.
        """
        ...

    def evaluate_rows(
        self, state: State, keep: int, tokens: Sequence[int], rows: int
    ) -> NDArray[np.float32]:
        """As `evaluate`, for the last `rows` of `tokens`.

        Returns:
            Logits after each of the last `rows` tokens, float32, shape (rows, vocabulary_size).
            They are the caller's own and may be written to.

        Raises:
            ValueError: also if `rows` does not lie between 1 and the number of tokens.
        """
        ...


def check_evaluation(
    backend: Backend, state: State, keep: int, tokens: Sequence[int], rows: int
) -> None:
    """Refuses what `Backend.evaluate_rows` cannot do.

    Raises:
        ValueError: see there.
    """
    new, total = len(tokens), keep + len(tokens)
    if not 0 <= keep <= len(state.tokens):
        raise ValueError(f"cannot keep {keep} of {len(state.tokens)} tokens")
    if not 1 <= rows <= new:
        raise ValueError(f"{rows} rows of logits are wanted of {new} new tokens")
    if total > backend.context_length:
        raise ValueError(f"{total} tokens exceed the context of {backend.context_length}")
    if min(tokens) < 0 or max(tokens) >= backend.vocabulary_size:
        raise ValueError(f"ids lie between 0 and {backend.vocabulary_size - 1}")
