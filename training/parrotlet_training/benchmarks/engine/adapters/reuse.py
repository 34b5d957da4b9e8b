"""What prompt caches share."""

from __future__ import annotations

from collections.abc import Sequence


def common(held: Sequence[int], prompt: Sequence[int]) -> int:
    """Tokens at the beginning of `prompt` that need not be read: never all, the last is needed."""
    most = min(len(held), len(prompt) - 1)
    return next((at for at in range(most) if held[at] != prompt[at]), most)
