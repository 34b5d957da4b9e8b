"""The engine: a place in a text to a suggestion. It knows no editor."""

from .engine import Engine, never
from .types import Completion, Request, Suggestion

__all__ = ["Completion", "Engine", "Request", "Suggestion", "never"]
