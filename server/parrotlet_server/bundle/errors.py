"""The one error of this package."""

from __future__ import annotations


class BundleError(Exception):
    """A model is missing, damaged or not one that Parrotlet runs; one line says what to do."""
