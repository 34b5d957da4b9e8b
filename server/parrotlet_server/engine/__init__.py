"""The engine: a place in a text to a suggestion. It knows no editor."""

from .cache import Found, SuggestionCache
from .engine import MOST_CANDIDATES, Engine, never
from .foresight import next_request
from .types import Completion, Request, Suggestion

__all__ = [
    "MOST_CANDIDATES",
    "Completion",
    "Engine",
    "Found",
    "Request",
    "Suggestion",
    "SuggestionCache",
    "never",
    "next_request",
]
