"""What `parrotlet adapt` runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from transformers.utils import logging

from parrotlet_server.bundle import BundleError
from parrotlet_tokenizer import TokenizerError

from ..corpus.commands import cache_folder
from ..corpus.sources import Source, SourceError, parse_source
from ..data import DataError
from ..evaluate.loading import ModelError
from ..recipe import RecipeError
from ..train import DivergedError, MemoryShortError
from .adapt import Adapted, AdaptError, StoppedError
from .adapt import adapt as run_adapt
from .code import TooLittleCodeError

_REFUSALS = (
    AdaptError,
    BundleError,
    DataError,
    DivergedError,
    MemoryShortError,
    ModelError,
    OSError,
    RecipeError,
    SourceError,
    TokenizerError,
    TooLittleCodeError,
)


def adapt(arguments: argparse.Namespace) -> int:
    """Runs `parrotlet adapt`."""
    logging.disable_progress_bar()
    try:
        sources = [
            source for place in arguments.places for source in parse_source(place, cache_folder())
        ]
        out = arguments.out or Path("adapted") / _name(sources[0])
        done = run_adapt(
            sources,
            out,
            arguments.model,
            arguments.minutes,
            arguments.fresh,
            say=lambda line: print(line, flush=True),
        )
    except StoppedError:  # the training loop has said so
        return 130
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on", file=sys.stderr)
        return 130
    except _REFUSALS as error:
        print(f"parrotlet: {error}", file=sys.stderr)
        return 1
    print("\n".join(report(done)))
    return 0


def report(done: Adapted) -> list[str]:
    """What came of it, and how to use it and how not to."""
    lines = [_change("your files kept out", done.before.own, done.after.own)]
    if done.before.general is not None and done.after.general is not None:
        lines.append(_change("general Python", done.before.general, done.after.general))
    folder = done.bundle.folder
    size = sum(size for size, _ in done.bundle.manifest.files.values())
    return [
        *lines,
        f"{size / 1e6:.1f} MB written to {folder}; it holds traces of your code: share it with "
        "nobody who may not see that",
        f'to use it, in VS Code\'s settings: "parrotlet.model": "{folder}"',
        f"elsewhere: parrotlet serve --model {folder}",
        "to undo it: remove the setting, and the folder",
    ]


def _change(name: str, before: float, after: float) -> str:
    percent = 100 * (after / before - 1)
    return f"{name}: {before:.4f} bits per byte before, {after:.4f} after ({percent:+.1f} %)"


def _name(source: Source) -> str:
    return source.repository.rpartition("/")[2] or "model"
