"""The sub-commands of training. Heavy imports wait until one of them runs."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `corpus`, `train`, `evaluate` and `release` to the command line."""
    _register_corpus(subparsers)
    _register_train(subparsers)
    _register_evaluate(subparsers)
    _register_release(subparsers)


def _missing(*modules: str) -> bool:
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        print(
            f"parrotlet: this command needs {', '.join(missing)}: "
            'install them with pip install "parrotlet[train]"',
            file=sys.stderr,
        )
    return bool(missing)


def _register_corpus(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    corpus = subparsers.add_parser("corpus", help="build training sets from real Python")
    verbs = corpus.add_subparsers(dest="verb", required=True)
    build = verbs.add_parser(
        "build",
        help="sources to a folder of shards",
        epilog="SOURCE: a folder, a git repository (work tree or bare), git:PATH@REVISION, "
        "dist:NAME, dist:* (all installed distributions) or stdlib",
    )
    build.add_argument("sources", nargs="*", metavar="SOURCE")
    build.add_argument("--out", type=Path, required=True, metavar="DIR")
    build.add_argument("--recipe", type=Path, metavar="FILE", help="YAML list of repositories")
    build.add_argument(
        "--clones",
        default="clones/{owner}/{name}",
        metavar="PATTERN",
        help="where the recipe's repositories lie (default: %(default)s)",
    )
    build.add_argument("--min-bytes", type=int, default=64, help="default: %(default)s")
    build.add_argument("--max-bytes", type=int, default=1024 * 1024, help="default: %(default)s")
    build.add_argument(
        "--validation-share",
        type=_share,
        default=0.03,
        help="share of the repositories that validate (default: %(default)s)",
    )
    build.add_argument(
        "--holdout",
        action="store_true",
        help="keep only the repositories that are never trained on, for evaluation",
    )
    build.set_defaults(run=_corpus_build)


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError("a share lies between 0 and 1")
    return value


def _corpus_build(arguments: argparse.Namespace) -> int:
    if _missing("pyarrow", "yaml", "tqdm"):
        return 2
    from .corpus import commands

    return commands.build(arguments)


def _register_train(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    train = subparsers.add_parser("train", help="train a model by a recipe; run again to resume")
    train.add_argument(
        "recipe", metavar="RECIPE", help="a YAML file, or the name of one that is shipped"
    )
    train.add_argument("--out", type=Path, metavar="DIR", help="default: runs/NAME of the recipe")
    train.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override one field of the recipe, such as schedule.steps=2000",
    )
    train.add_argument(
        "--init-from",
        metavar="MODEL",
        help="begin a new run with the weights of a checkpoint folder or a bundle",
    )
    train.set_defaults(run=_train)


def _train(arguments: argparse.Namespace) -> int:
    if _missing("torch", "transformers", "accelerate", "pyarrow", "yaml", "tqdm"):
        return 2
    from . import commands

    return commands.train(arguments)


def _register_evaluate(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    evaluate = subparsers.add_parser("evaluate", help="measure a model")
    measures = evaluate.add_subparsers(dest="measure", required=True)
    bits = measures.add_parser("bits", help="bits per byte on a corpus")
    bits.add_argument("model", metavar="MODEL", help="checkpoint folder or bundle")
    bits.add_argument("--corpus", type=Path, required=True, metavar="DIR")
    bits.add_argument("--split", default="holdout", help="default: %(default)s")
    bits.add_argument(
        "--max-bytes",
        type=int,
        default=2_000_000,
        help="evenly sampled text to score (default: %(default)s)",
    )
    bits.add_argument("--json", action="store_true", help="print one JSON object")
    bits.set_defaults(run=_evaluate_bits)


def _evaluate_bits(arguments: argparse.Namespace) -> int:
    if _missing("torch", "transformers", "pyarrow"):
        return 2
    from . import commands

    return commands.evaluate_bits(arguments)


def _register_release(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    release = subparsers.add_parser(
        "release", help="measure a checkpoint, export its bundle and write the model card"
    )
    release.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    release.add_argument("folder", type=Path, metavar="DIR", help="a bundle there is replaced")
    release.add_argument(
        "--corpus",
        type=Path,
        default=Path("corpora/holdout"),
        metavar="DIR",
        help="a folder of `parrotlet corpus build --holdout` (default: %(default)s)",
    )
    release.add_argument(
        "--max-bytes", type=int, default=1_000_000, help="text to score (default: %(default)s)"
    )
    release.set_defaults(run=_release)


def _release(arguments: argparse.Namespace) -> int:
    if _missing("torch", "transformers", "accelerate", "pyarrow"):
        return 2
    from . import commands

    return commands.release(arguments)
