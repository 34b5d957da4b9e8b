"""The engine: a place in a text to a suggestion. It knows no editor."""

from .cache import Found, SuggestionCache
from .engine import Engine, never
from .foresight import next_request
from .types import Completion, Related, Request, Suggestion

__all__ = [
    "Completion",
    "Engine",
    "Found",
    "Related",
    "Request",
    "Suggestion",
    "SuggestionCache",
    "never",
    "next_request",
]
