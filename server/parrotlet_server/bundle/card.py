"""The model card: a bundle's manifest for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .checkpoint import RUN_KEYS
from .manifest import Manifest

CARD_FILE = "README.md"


def model_card(manifest: Manifest) -> str:
    """The text of a bundle's ``README.md``."""
    shape = manifest.architecture
    weights = (
        "float32"
        if manifest.bits == 32
        else f"{manifest.bits}-bit, a scale for each output; embedding: blocks of {manifest.block}"
    )
    lines = [
        "# Parrotlet model bundle",
        "",
        f"Written by {manifest.made_by} from `parrotlet.json`, which holds the same and is what "
        "programs read. `parrotlet restore` turns the bundle back into a checkpoint.",
        "",
        "| | |",
        "|---|---|",
        f"| Licence of the weights | {_cell(manifest.licence or 'not stated')} |",
        f"| Architecture | GPT-2, {shape.layers} layers × {shape.width}, {shape.heads} heads |",
        f"| Vocabulary | {shape.vocabulary_size:,} tokens |",
        f"| Context | {shape.context_length:,} tokens |",
        f"| Weights | {weights} |",
    ]
    for key in RUN_KEYS:
        facts = list(_flat(manifest.notes.get(key, {})))
        if facts:
            lines += ["", f"## {key.capitalize()}", "", "| | |", "|---|---|"]
            lines += [f"| {_cell(name)} | {_cell(value)} |" for name, value in facts]
    return "\n".join(lines) + "\n"


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
