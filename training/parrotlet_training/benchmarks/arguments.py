"""Options of the benchmarks, apart from what they import."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path

from ..evaluate.arguments import positive


def add_corpus_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `parrotlet bench corpus`."""
    parser.add_argument("place", type=Path, metavar="CORPUS_OR_FOLDER")
    parser.add_argument("--documents", type=int, default=2000, help="default: %(default)s")
    parser.add_argument("--processes", type=int, default=2, help="default: %(default)s")
    parser.add_argument(
        "--scale",
        type=int,
        default=10,
        help="whole builds are measured at 1 and at this many times the input (%(default)s)",
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="beside CodeParrot's (default: %(default)s)"
    )


def add_vocabulary_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `parrotlet bench vocabulary`."""
    parser.add_argument("corpus", type=Path, metavar="CORPUS", help="to learn from")
    parser.add_argument("held_out", type=Path, metavar="HELDOUT", help="to score on")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--candidates",
        nargs="+",
        default=["8192:spaces", "16384:spaces", "32768:spaces"],
        metavar="ENTRIES:SPLIT",
    )
    parser.add_argument(
        "--tokens",
        type=int,
        default=3_000_000,
        help="for 16,384 entries; others get what the same compute pays (default: %(default)s)",
    )
    parser.add_argument(
        "--shape", default="3x128", metavar="LAYERSxWIDTH", help="that is trained (%(default)s)"
    )
    parser.add_argument(
        "--target",
        default="12x512",
        metavar="LAYERSxWIDTH",
        help="whose compute is equal (%(default)s)",
    )
    parser.add_argument("--seeds", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--vocabulary-bytes", type=int, default=24_000_000)
    parser.add_argument("--held-out-bytes", type=int, default=1_000_000)


def add_scaling_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `parrotlet bench scaling`."""
    parser.add_argument("corpus", type=Path, metavar="CORPUS", help="to learn from")
    parser.add_argument("held_out", type=Path, metavar="HELDOUT", help="to score on")
    parser.add_argument("--tokenizer", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--shapes", nargs="+", default=["2x128", "3x192", "4x256"], metavar="LAYERSxWIDTH"
    )
    parser.add_argument(
        "--tokens",
        nargs="+",
        type=positive,
        default=[32_000_000, 64_000_000, 128_000_000],
        metavar="N",
        help="at which each is scored (default: 32, 64 and 128 million)",
    )
    parser.add_argument(
        "--fit-from",
        type=positive,
        default=1,
        metavar="N",
        help="leave scores after fewer tokens than these out of the fit: "
        "they are off the line until a model has learnt to copy from its context",
    )
    parser.add_argument(
        "--flops",
        type=_operations,
        default=1e17,
        metavar="N",
        help="the budget of which 1, 10 and 100 times is told: 6 x weights x tokens "
        "(default: %(default).0e, half an hour of a GPU at 55 TFLOPS)",
    )
    parser.add_argument("--held-out-bytes", type=positive, default=1_000_000, metavar="N")


def _operations(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError("is a positive number")
    return value


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `parrotlet bench train`."""
    parser.add_argument(
        "--recipe",
        default="cpu-9m",
        metavar="NAME",
        help="whose model and batch are taken; the optimiser is AdamW for all (%(default)s)",
    )
    parser.add_argument("--shape", metavar="LAYERSxWIDTH", help="of the model, heads of 64")
    parser.add_argument("--context", type=int, metavar="TOKENS", help="of a row")
    parser.add_argument("--rows", type=int, metavar="N", help="of a step")
    parser.add_argument("--micro-rows", type=int, metavar="N", help="of one forward pass")
    parser.add_argument(
        "--corpus",
        type=Path,
        metavar="DIR",
        help="a folder of `parrotlet corpus build` (default: the standard library)",
    )
    vocabulary = parser.add_mutually_exclusive_group()
    vocabulary.add_argument(
        "--tokenizer", type=Path, metavar="DIR", help="default: the bundled model's"
    )
    vocabulary.add_argument("--vocabulary", type=int, metavar="N", help="train one of N entries")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--precision", choices=("fp32", "bf16"), help="default: fp32 on a CPU, bf16 on a GPU"
    )
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count() or 1, help="default: %(default)s"
    )
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=3, help="of a turn (default: %(default)s)")
    parser.add_argument(
        "--warmup", type=int, default=2, help="steps before the first round (default: %(default)s)"
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="parrotlet, codeparrot, nanogpt, ..."
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="every round's values")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="the table")


def add_input_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `parrotlet bench input`."""
    parser.add_argument(
        "recipe",
        nargs="?",
        default="cpu-9m",
        metavar="RECIPE",
        help="whose data and model are measured (default: %(default)s)",
    )
    parser.add_argument("--corpus", metavar="DIR", help="instead of the recipe's")
    parser.add_argument("--tokenizer", metavar="DIR", help="instead of the recipe's")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override one field"
    )
    parser.add_argument(
        "--seconds", type=float, default=10, help="for each kind of input (default: %(default)s)"
    )
    parser.add_argument("--steps", type=int, default=3, help="of the model (default: %(default)s)")


def add_adapt_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `parrotlet bench adapt`."""
    _add_holdout(parser)
    parser.add_argument(
        "--repositories",
        nargs="+",
        default=["sissbruecker/linkding", "lepture/authlib", "pysb/pysb"],
        metavar="OWNER/NAME",
        help="of the hold-out, as if they were the user's own (default: %(default)s)",
    )
    parser.add_argument("--model", metavar="MODEL", help="default: the bundled one")
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="for each repository (default: %(default)g)"
    )
    parser.add_argument(
        "--lines", type=int, default=400, help="places in its held-out files (default: %(default)s)"
    )
    parser.add_argument(
        "--general-lines", type=int, default=200, help="places elsewhere (default: %(default)s)"
    )
    parser.add_argument(
        "--bytes", type=int, default=400_000, help="of text to score (default: %(default)s)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="try other settings: general_share, most_general_share, optimizer, learning_rate, "
        "muon_learning_rate, weight_decay",
    )
    parser.add_argument(
        "--work",
        type=Path,
        metavar="DIR",
        help="keep the adapted models there; run again, it goes on (default: thrown away)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")


def add_speculation_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `parrotlet bench speculation`."""
    _add_holdout(parser)
    parser.add_argument("--model", metavar="MODEL", help="default: the bundled one")
    parser.add_argument("--threads", type=int, metavar="N", help="default: as served")
    parser.add_argument(
        "--cursors", type=int, default=200, metavar="N", help="places (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the choice of places")
    parser.add_argument("--progress", action="store_true", help="tell how many are done")


def add_typing_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `parrotlet bench typing`."""
    _add_holdout(parser)
    parser.add_argument(
        "--cursors", type=Path, metavar="FILE", help="where passages begin (default: the shipped)"
    )
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help="type files of this folder instead"
    )
    parser.add_argument("--model", metavar="MODEL", help="default: the bundled one")
    parser.add_argument(
        "--passages", type=int, default=44, metavar="N", help="to type (default: %(default)s)"
    )
    parser.add_argument(
        "--lines", type=int, default=10, metavar="N", help="of each passage (default: %(default)s)"
    )
    parser.add_argument(
        "--scores",
        default="all,-1,-0.7",
        metavar="LIST",
        help="least scores at which suggestions are shown, in turn (default: %(default)s)",
    )
    parser.add_argument(
        "--alone", action="store_true", help="without the other files of the repository or folder"
    )
    parser.add_argument(
        "--open",
        type=int,
        default=0,
        metavar="N",
        help="other files of the same folder that are open too (default: %(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")


def add_context_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `parrotlet bench context`."""
    _add_holdout(parser)
    parser.add_argument("--model", metavar="MODEL", help="default: the bundled one")
    parser.add_argument("--threads", type=int, metavar="N", help="default: as served")
    parser.add_argument(
        "--cursors", type=int, default=300, metavar="N", help="places (default: %(default)s)"
    )
    parser.add_argument(
        "--tokens",
        type=int,
        default=256,
        metavar="N",
        help="of a prompt for text of other files (default: %(default)s)",
    )
    parser.add_argument(
        "--open",
        type=int,
        default=6,
        metavar="N",
        help="other files of the same folder that count as open (default: %(default)s)",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="also places whose file imports nothing of its repository",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the choice of places")
    parser.add_argument("--progress", action="store_true", help="tell how many are done")


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `parrotlet bench engine`."""
    _add_holdout(parser)
    parser.add_argument(
        "--model", metavar="MODEL", help="a bundle or a checkpoint (default: the bundled one)"
    )
    parser.add_argument("--threads", type=int, default=2, help="of each (default: %(default)s)")
    parser.add_argument(
        "--requests", type=int, default=200, metavar="N", help="replayed (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument(
        "--loads", type=int, default=3, metavar="N", help="processes of each (%(default)s)"
    )
    parser.add_argument(
        "--texts", type=int, default=40, metavar="N", help="rows of 512 tokens that are scored"
    )
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="that an idle process is watched (%(default)g)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the choice of files")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="parrotlet, llama.cpp, ..."
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="every round's values")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="the tables")
    parser.add_argument("--progress", action="store_true", help="tell how far it is")


def _add_holdout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--holdout", type=Path, default=Path("corpora/holdout"), metavar="DIR", help="%(default)s"
    )
