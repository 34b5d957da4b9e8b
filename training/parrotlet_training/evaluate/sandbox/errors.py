"""Errors of the sandbox."""

from __future__ import annotations

from parrotlet_server.errors import CommandError


class SandboxError(CommandError):
    """Code cannot be contained here, so it is not run; the message says what to install."""
