"""From a checkpoint to a bundle that says how good it is: measure, export, write the card."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from parrotlet_server.bundle import Bundle, open_bundle
from parrotlet_server.bundle.card import CARD_FILE, model_card
from parrotlet_server.bundle.export import export_checkpoint
from parrotlet_server.engine import Engine
from parrotlet_tokenizer import CodeTokenizer

from .checkpoint import RUN_FILE, STATE
from .data import text_rows
from .evaluate.bits import TextScore, score_rows
from .evaluate.examples import as_they_come, to_markdown
from .evaluate.loading import ModelError, load_model
from .evaluate.named import named_model
from .evaluate.samples import BEGINNINGS, DRAWS, samples
from .evaluate.samples import to_markdown as to_markdown_of

LICENCE = "Apache-2.0"


@dataclass(frozen=True)
class Release:
    """A written bundle and its scores on held-out text.

    Attributes:
        bundle: as it lies in its folder.
        full: score of the checkpoint's float32 weights.
        quantised: score of the weights that the bundle computes with.
    """

    bundle: Bundle
    full: TextScore
    quantised: TextScore


def release(checkpoint: Path, folder: Path, corpus: Path, max_bytes: int) -> Release:
    """Scores `checkpoint` on the hold-out, exports it to `folder`, and writes the model card.

    Args:
        checkpoint: a checkpoint of `parrotlet train`.
        folder: where the bundle goes; a bundle that lies there is replaced.
        corpus: a folder of `parrotlet corpus build --holdout`.
        max_bytes: text to score.

    Raises:
        ModelError: if `checkpoint` is no checkpoint.
        DataError: if `corpus` has no hold-out.
        BundleError: if the checkpoint cannot be exported.
    """
    if not (checkpoint / "config.json").is_file():
        raise ModelError(f"{checkpoint} is no checkpoint folder")
    full = score_held_out(checkpoint, corpus, max_bytes)
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "checkpoint"
        shutil.copytree(checkpoint, copy, ignore=shutil.ignore_patterns(STATE))
        trial = Path(scratch) / "bundle"
        export_checkpoint(copy, trial, licence=LICENCE)
        quantised = score_held_out(trial, corpus, max_bytes)
        facts_file = copy / RUN_FILE
        facts = json.loads(facts_file.read_text(encoding="utf-8")) if facts_file.is_file() else {}
        facts.setdefault("evaluation", {})["held_out"] = {
            "bytes": full.bytes,
            "bits_per_byte_float32": round(full.bits_per_byte, 4),
            "bits_per_byte_8_bit": round(quantised.bits_per_byte, 4),
            "cost_of_8_bits_percent": round(cost_percent(full, quantised), 3),
            "perplexity": round(full.perplexity, 2),
        }
        facts_file.write_text(json.dumps(facts), encoding="utf-8")
        bundle = export_checkpoint(copy, folder, licence=LICENCE, overwrite=True)
    write_examples_card(folder)
    return Release(bundle, full, quantised)


def write_examples_card(folder: Path) -> None:
    """Writes the card of the bundle in `folder` anew, with examples of what it suggests and writes.

    Raises:
        BundleError: if it is damaged.
    """
    parts = [model_card(open_bundle(folder).manifest), _examples(folder), _samples(folder)]
    card = "\n".join(parts)
    (folder / CARD_FILE).write_text(card, encoding="utf-8")


def cost_percent(full: TextScore, quantised: TextScore) -> float:
    """By how many percent 8 bits raise the bits per byte."""
    return 100 * (quantised.bits_per_byte / full.bits_per_byte - 1)


def score_held_out(model: Path, corpus: Path, max_bytes: int) -> TextScore:
    """Score of a checkpoint or bundle on the hold-out split of `corpus`."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with load_model(str(model)) as (weights, folder):
        tokenizer = CodeTokenizer.load(folder)
        context = weights.config.n_positions
        rows = text_rows(corpus, "holdout", tokenizer, context, max_bytes)
        return score_rows(weights.to(device), rows, tokenizer, device)


def _examples(folder: Path) -> str:
    return (
        "## Examples\n\n"
        "What it suggests, good or bad: the text between ⟦ and ⟧ is the suggestion, as "
        "`parrotlet release` wrote it here.\n\n"
        f"{to_markdown(as_they_come(Engine.load(str(folder))))}\n"
    )


def _samples(folder: Path) -> str:
    context = open_bundle(folder).manifest.architecture.context_length
    sampling = replace(DRAWS, max_tokens=min(DRAWS.max_tokens, context // 4))
    shown = samples(named_model(str(folder)), BEGINNINGS, sampling)
    return (
        "## Samples\n\n"
        "What it writes by itself, always the likeliest token, up to the end of the block or "
        f"{sampling.max_tokens} tokens (`parrotlet sample`). The beginnings are those that chapter "
        "10 of *Natural Language Processing with Transformers* gives CodeParrot.\n\n"
        f"{to_markdown_of(shown)}\n"
    )
