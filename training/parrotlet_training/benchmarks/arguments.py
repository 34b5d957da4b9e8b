"""Options of the benchmarks, apart from what they import."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_corpus_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `parrotlet bench corpus`."""
    parser.add_argument("place", type=Path, metavar="CORPUS_OR_FOLDER")
    parser.add_argument("--documents", type=int, default=2000, help="default: %(default)s")
    parser.add_argument("--processes", type=int, default=2, help="default: %(default)s")
    parser.add_argument(
        "--scale",
        type=int,
        default=10,
        help="memory is measured at 1 and at this many times the input (default: %(default)s)",
    )
    parser.add_argument("--memory-only", action="store_true", help=argparse.SUPPRESS)
