"""What other files have to say about a place: definitions that it imports, passages like it."""

from .choice import PARTS, Part, Sources, choose
from .similar import Passage

__all__ = ["PARTS", "Part", "Passage", "Sources", "choose"]
