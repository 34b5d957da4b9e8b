"""The card of a published model: what ``parrotlet_run.json`` says, for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CARD_FILE = "README.md"
RUN_FILE = "parrotlet_run.json"


def checkpoint_card(folder: Path, repo_id: str) -> str:
    """The text of ``README.md`` for the checkpoint in `folder`; it states no licence."""
    configuration = _read(folder / "config.json")
    facts = _read(folder / RUN_FILE)
    run, corpus = _mapping(facts, "run"), _mapping(facts, "corpus")
    evaluation = _mapping(facts, "evaluation")
    rows = [
        ("Architecture", f"GPT-2, {configuration.get('n_layer')} layers × "
         f"{configuration.get('n_embd')}, {configuration.get('n_head')} heads"),
        ("Vocabulary", _number(configuration.get("vocab_size"))),
        ("Context", _number(configuration.get("n_positions"))),
        ("Parameters", _number(run.get("parameters"))),
        ("Steps", _number(run.get("step"))),
        ("Tokens", _number(run.get("tokens"))),
        ("Tokens of the runs before it", _number(run.get("tokens_before"))),
        ("Documents learnt from", _number(_mapping(corpus, "documents").get("train"))),
        ("Repositories learnt from", _number(corpus.get("repositories"))),
        ("Validation, bits per byte", _rounded(evaluation.get("validation_bits_per_byte"))),
    ]  # fmt: skip
    table = "\n".join(f"| {name} | {value} |" for name, value in rows if value)
    return f"""---
library_name: transformers
pipeline_tag: text-generation
tags: [code, python, fill-in-the-middle, parrotlet]
---

# {repo_id}

A small GPT-2 that completes Python, trained by `parrotlet train`. `parrotlet_run.json` holds its
recipe and what is known of its corpus.

| | |
|---|---|
{table}

It reads plain text, or a place in a text in the order suffix, prefix, middle:
`<|fim_prefix|><|fim_suffix|>` suffix `<|fim_middle|>` prefix. Special tokens are put in by id;
text that spells one is encoded as text.

```python
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("{repo_id}")
```

`parrotlet serve --model {repo_id}@COMMIT` serves it; checkpoints of the run stand on the branch
that is named after it.
"""


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _mapping(content: dict[str, Any], key: str) -> dict[str, Any]:
    value = content.get(key)
    return value if isinstance(value, dict) else {}


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and value else ""


def _rounded(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else ""
