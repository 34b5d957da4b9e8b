"""Errors of commands, which are shown to the user in one line."""

from __future__ import annotations


class CommandError(Exception):
    """A command cannot do what it was asked to; the message says why."""

    exit_code = 1


class UsageError(CommandError):
    """A command was asked wrongly; the message says what to write instead."""

    exit_code = 2
