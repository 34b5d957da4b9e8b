"""Errors of measuring, which are shown to the user in one line."""

from __future__ import annotations

from parrotlet_server.errors import CommandError, UsageError


class EvaluationError(CommandError):
    """A measure cannot be taken; the message says what to do."""


class OptionError(EvaluationError, UsageError):
    """Options that do not go together; the message says which do."""
