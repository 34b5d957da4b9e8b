"""Suggestions for a fixed set of beginnings, as the served engine really gives them."""

from __future__ import annotations

from dataclasses import dataclass

from parrotlet_server.engine import Completion, Engine, Request


@dataclass(frozen=True)
class Example:
    """A place in a text.

    Attributes:
        prefix: before the cursor.
        suffix: after the cursor.
    """

    prefix: str
    suffix: str = ""


EXAMPLES = (
    Example("import os\nimport sys\n\nitems = sys.argv[1:]\nfor i in range("),
    Example("class Animal:\n    def __init__(self, name):\n        "),
    Example("import numpy as"),
    Example("def main():\n    print('hello')\n\n\nif __name__ =="),
    Example("import json\n\n\ndef load(path):\n    with open(path) as"),
    Example("try:\n    value = int(text)\nexcept Val"),
    Example("def mean(values):\n    return sum(values) /"),
    Example("import argparse\n\nparser = argparse.Arg"),
    Example("names = []\nfor name in names:\n    "),
    Example("def is_even(number):\n    return number %"),
    Example("from collections import def"),
    Example(
        "class Point:\n    def __init__(self, x, y):\n        self.x = x\n        ",
        "\n\n    def norm(self):\n        return (self.x ** 2 + self.y ** 2) ** 0.5\n",
    ),
)


def as_they_come(engine: Engine) -> list[tuple[Example, Completion]]:
    """Each example with its completion."""
    return [
        (example, engine.complete(Request(prefix=example.prefix, suffix=example.suffix)))
        for example in EXAMPLES
    ]


def to_markdown(shown: list[tuple[Example, Completion]]) -> str:
    """The examples as code, the suggestion between ``⟦`` and ``⟧``."""
    parts = []
    for example, completion in shown:
        text = completion.suggestion.text if completion.suggestion else ""
        after = example.suffix[completion.suggestion.overwrite if completion.suggestion else 0 :]
        parts.append(f"```python\n{example.prefix}⟦{text}⟧{after.rstrip()}\n```")
    return "\n\n".join(parts)
