"""Which repositories are never trained on, and which of the others validate."""

from __future__ import annotations

import hashlib
from fractions import Fraction


def _bucket(text: str) -> int:
    return int(hashlib.sha256(text.lower().encode("utf-8")).hexdigest(), 16)


MOVED = {"authlib/authlib": "lepture/authlib"}
"""Repositories whose distributions name another home than the one they were held out under."""


def is_held_out(repository: str) -> bool:
    """Whether `repository` (``owner/name``) is kept for evaluation alone: one in twenty is.

    The rule depends on nothing but the name, so that every corpus ever built agrees on it; a
    repository that moved keeps the place of its first name.
    """
    name = repository.lower()
    return _bucket(MOVED.get(name, name)) % 20 == 0


def is_validation(repository: str, share: float) -> bool:
    """Whether `repository` belongs to the validation split of about `share` of all repositories."""
    exact = Fraction(share).limit_denominator(10_000)
    return _bucket(f"validation:{repository}") % exact.denominator < exact.numerator
