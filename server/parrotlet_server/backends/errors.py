"""What can go wrong with a model that runs elsewhere."""

from __future__ import annotations


class EndpointError(Exception):
    """The server cannot be used; one line says why and never holds the key."""


class EndpointCancelledError(Exception):
    """The caller did not want the answer any more."""
