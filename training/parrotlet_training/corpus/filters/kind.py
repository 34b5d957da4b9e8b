"""CodeParrot's filters on what a file is for; it drops a share of those that match.

Source: ``preprocessing.py`` of CodeParrot (huggingface/transformers-research-projects). All are off
by default. CodeParrot draws at random; here the text's own hash decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .base import draw


@dataclass(frozen=True)
class FewAssignments:
    """Files in which next to nothing is assigned.

    Attributes:
        minimum: equals signs, at least (CodeParrot).
    """

    name: ClassVar[str] = "few assignments"
    minimum: int = 5

    def __call__(self, text: str, path: str = "") -> bool:
        """See `Filter`."""
        # nearly all have them in the beginning
        return text.count("=", 0, 1000) < self.minimum and text.count("=") < self.minimum


_TEST_MARKS = ("unit tests", "test file", "configuration file")


@dataclass(frozen=True)
class ConfigOrTest:
    """Configuration and test files, by their first lines or by how often they use the words.

    Attributes:
        probability: share of the matching files that goes (CodeParrot).
        density: the words "config" or "test" per line, at most (CodeParrot).
        first_lines: lines in which "unit tests", "test file" or "configuration file" counts
            (CodeParrot).
    """

    name: ClassVar[str] = "config or test"
    probability: float = 0.7
    density: float = 0.05
    first_lines: int = 5

    def __call__(self, text: str, path: str = "") -> bool:
        """See `Filter`."""
        return self._matches(text) and draw(text, self.name) < self.probability

    def _matches(self, text: str) -> bool:
        lowered = text.lower()
        head = "\n".join(lowered.split("\n", self.first_lines)[: self.first_lines])
        if any(mark in head for mark in _TEST_MARKS):
            return True
        most = int(self.density * lowered.count("\n"))
        return lowered.count("config") > most or lowered.count("test") > most


_KEYWORDS = ("def ", "class ", "for ", "while ")


@dataclass(frozen=True)
class NoKeywords:
    """Files that define no function or class and hold no loop.

    Attributes:
        probability: share of the matching files that goes (CodeParrot).
    """

    name: ClassVar[str] = "no keywords"
    probability: float = 0.7

    def __call__(self, text: str, path: str = "") -> bool:
        """See `Filter`."""
        if any(word in text for word in _KEYWORDS):
            return False
        lowered = text.lower()
        found = any(word in lowered for word in _KEYWORDS)
        return not found and draw(text, self.name) < self.probability
