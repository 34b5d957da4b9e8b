"""What a benchmark cannot do."""

from __future__ import annotations


class BenchmarkError(ValueError):
    """There is nothing to measure, or a part of it failed; the message says what to do."""
