"""Options of `parrotlet evaluate`, apart from what they import."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

RECALL = ("workspace", "file", "off")
Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Needs: TypeAlias = Callable[..., bool]
"""Says which modules are missing, and whether any is."""


def register(subparsers: Verbs, missing: Needs) -> None:
    """Adds `evaluate` to the command line; `missing` tells the user what is not installed."""
    evaluate = subparsers.add_parser("evaluate", help="measure a model")
    measures = evaluate.add_subparsers(dest="measure", required=True)
    everything = _add_all(measures)
    everything.set_defaults(run=_run("everything", missing))
    for add in (_add_bits, _add_lines, _add_tasks, _add_infilling, _add_memorisation):
        parser = add(measures)
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
        parser.add_argument("--markdown", type=Path, metavar="FILE", help="write a table there")
        parser.set_defaults(run=_run(parser.prog.rpartition(" ")[2], missing))


def register_sample(subparsers: Verbs, missing: Needs) -> None:
    """Adds `sample` to the command line."""
    parser = subparsers.add_parser("sample", help="print what a model writes after a few prompts")
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="Python to go on from, - for standard input (default: five beginnings of functions)",
    )
    _add_model(parser)
    _add_sampling(parser, tokens=96)
    parser.add_argument(
        "--whole", action="store_true", help="do not end an answer where its block does"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write them there, too")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write them there, too")
    parser.set_defaults(run=_run("sample", missing))


def _run(measure: str, missing: Needs) -> Callable[[argparse.Namespace], int]:
    def run(arguments: argparse.Namespace) -> int:
        if missing(*_needed(measure, arguments)):
            return 2
        from . import commands

        command: Callable[[argparse.Namespace], int] = getattr(commands, measure)
        return command(arguments)

    return run


def _needed(measure: str, arguments: argparse.Namespace) -> tuple[str, ...]:
    if measure == "bits":
        return "torch", "transformers", "pyarrow"
    if measure == "lines":
        return "pyarrow", "rapidfuzz", "tqdm"
    if measure == "everything":
        return "torch", "transformers", "pyarrow", "rapidfuzz", "tqdm"
    if measure == "memorisation":
        return "pyarrow", "detect_secrets", "tqdm"
    if measure == "sample":  # the served engine answers, where it can
        return ("torch", "transformers") if any(arguments.temperature) else ()
    if arguments.reference or arguments.score:
        return ("tqdm",)
    if measure == "infilling" and not any(arguments.temperature):
        return ("tqdm",)  # the served engine answers
    return "torch", "transformers", "tqdm"


def _add_all(measures: Verbs) -> argparse.ArgumentParser:
    parser = measures.add_parser("all", help="all measures in turn, and one table of them")
    _add_model(parser)
    parser.add_argument(
        "--corpus", type=Path, required=True, metavar="DIR", help="built with --holdout"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="for results; run again to go on"
    )
    parser.add_argument(
        "--cursors", type=Path, metavar="FILE", help="of `holdout cursors` (default: the own list)"
    )
    parser.add_argument("--tasks", type=Path, metavar="FILE", help="in HumanEval's format")
    parser.add_argument(
        "--samples",
        type=positive,
        default=1,
        metavar="N",
        help="of each task at temperatures 0.2 and 0.8; 1 answers greedily alone (default: 1)",
    )
    parser.add_argument(
        "--infilling", type=Path, metavar="FILE", help="in HumanEval-Infilling's format"
    )
    parser.add_argument(
        "--run-generated-code", action="store_true", help="run answers, in a sandbox"
    )
    parser.add_argument(
        "--learnt", type=Path, metavar="DIR", help="the corpus it was trained on, for memorisation"
    )
    parser.add_argument(
        "--card", action="store_true", help="write the figures into the bundle's card"
    )
    return parser


def _add_bits(
    measures: Verbs,
) -> argparse.ArgumentParser:
    bits = measures.add_parser("bits", help="bits per byte on a corpus")
    bits.add_argument("model", metavar="MODEL", help="checkpoint folder or bundle")
    bits.add_argument("--corpus", type=Path, required=True, metavar="DIR")
    bits.add_argument("--split", default="holdout", help="default: %(default)s")
    bits.add_argument(
        "--max-bytes",
        type=positive,
        default=2_000_000,
        metavar="N",
        help="evenly sampled text to score (default: %(default)s)",
    )
    bits.add_argument(
        "--context",
        type=positive,
        metavar="N",
        help="tokens that are read at a time, beside a model that reads no more (default: as many "
        "as it can)",
    )
    return bits


def _add_lines(
    measures: Verbs,
) -> argparse.ArgumentParser:
    lines = measures.add_parser("lines", help="how often the served engine completes a line")
    _add_model(lines)
    where = lines.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--corpus", type=Path, metavar="DIR", help="built with --holdout; asked at its cursors"
    )
    where.add_argument("--folder", type=Path, metavar="DIR", help="any folder of Python files")
    lines.add_argument(
        "--cursors", type=Path, metavar="FILE", help="of `holdout cursors` (default: the own list)"
    )
    lines.add_argument(
        "--limit",
        type=positive,
        metavar="N",
        help="places, evenly over kinds (default: all cursors, or 400 of a folder)",
    )
    lines.add_argument(
        "--recall",
        choices=RECALL,
        default=RECALL[0],
        help="whose n-grams have a say beside the model: as the server's setting (default: "
        "%(default)s, the other files of the repository or the folder)",
    )
    lines.add_argument("--seed", type=int, default=0, help="of the places in a folder")
    lines.add_argument("--threads", type=positive, metavar="N", help="of the model")
    return lines


def _add_tasks(
    measures: Verbs,
) -> argparse.ArgumentParser:
    tasks = measures.add_parser(
        "tasks", help="pass@k on tasks with tests, in the format of HumanEval or MBPP"
    )
    _add_execution(tasks, tokens=256)
    return tasks


def _add_infilling(
    measures: Verbs,
) -> argparse.ArgumentParser:
    infilling = measures.add_parser(
        "infilling", help="pass rate on gaps to be filled, in the format of HumanEval-Infilling"
    )
    _add_execution(infilling, tokens=128)
    return infilling


def _add_memorisation(measures: Verbs) -> argparse.ArgumentParser:
    parser = measures.add_parser(
        "memorisation", help="how much of the corpus a model can say by heart"
    )
    _add_model(parser)
    parser.add_argument(
        "--corpus", type=Path, required=True, metavar="DIR", help="that it was trained on"
    )
    for option, default, meaning in (
        ("--documents", 500, "files of either split"),
        ("--prefix", 64, "tokens of a file that are given"),
        ("--tokens", 32, "tokens that are to follow"),
        ("--samples", 20, "drawn answers to each probe for secrets"),
    ):
        parser.add_argument(
            option,
            type=positive,
            default=default,
            metavar="N",
            help=f"{meaning} (default: {default})",
        )
    parser.add_argument("--seed", type=int, default=0, help="of all choices")
    parser.add_argument("--threads", type=positive, metavar="N", help="of the model")
    return parser


def _add_execution(parser: argparse.ArgumentParser, tokens: int) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help=".jsonl or .jsonl.gz")
    parser.add_argument(
        "--run-generated-code",
        action="store_true",
        help="run the answers, in a sandbox; without it they are only written (--completions)",
    )
    source = parser.add_mutually_exclusive_group()
    _add_model(source)
    source.add_argument(
        "--reference", action="store_true", help="the tasks' own solutions instead of a model's"
    )
    source.add_argument(
        "--score", type=Path, metavar="FILE", help="the answers in FILE instead of a model's"
    )
    parser.add_argument(
        "--completions",
        type=Path,
        metavar="FILE",
        help="keep the answers there; what it holds already is not asked again",
    )
    _add_sampling(parser, tokens)
    parser.add_argument(
        "--k",
        type=positive,
        nargs="+",
        default=[1, 10, 100],
        metavar="K",
        help="of pass@k, as far as there are samples (default: 1 10 100)",
    )
    parser.add_argument(
        "--batch", type=positive, default=16, metavar="N", help="answers at a time (default: 16)"
    )
    parser.add_argument(
        "--limit", type=positive, metavar="N", help="tasks, evenly from the file (default: all)"
    )
    parser.add_argument(
        "--workers",
        type=positive,
        default=os.cpu_count() or 1,
        metavar="N",
        help="sandboxes at a time (default: %(default)s)",
    )
    parser.add_argument(
        "--cpu-seconds", type=positive, default=10, metavar="N", help="of a program (default: 10)"
    )
    parser.add_argument(
        "--memory", type=positive, default=512, metavar="MIB", help="of a program (default: 512)"
    )


def _add_sampling(parser: argparse.ArgumentParser, tokens: int) -> None:
    parser.add_argument(
        "--temperature",
        type=_temperature,
        nargs="+",
        default=[0.0],
        metavar="T",
        help="one or several; 0 is greedy (default: 0)",
    )
    parser.add_argument(
        "--samples",
        type=positive,
        default=1,
        metavar="N",
        help="answers to each prompt at each temperature above 0 (default: 1)",
    )
    parser.add_argument("--top-p", type=_share, default=0.95, metavar="P", help="default: 0.95")
    parser.add_argument("--seed", type=int, default=0, help="of the sampling")
    parser.add_argument(
        "--max-tokens",
        type=positive,
        default=tokens,
        metavar="N",
        help="of an answer (default: %(default)s)",
    )


def _add_model(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="bundle or checkpoint folder, or owner/name@commit on the Hub "
        "(default: the model that comes with Parrotlet)",
    )


def positive(text: str) -> int:
    """A number of an option, from 1 on.

    Raises:
        argparse.ArgumentTypeError: if it is none.
    """
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return value


def _temperature(text: str) -> float:
    return _between(text, 0, 10)


def _share(text: str) -> float:
    return _between(text, 1e-6, 1)


def _between(text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from {low:g} to {high:g}")
    return value
