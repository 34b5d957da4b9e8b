"""`parrotlet tokenizer …`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `tokenizer` to the command line."""
    tokenizer = subparsers.add_parser("tokenizer", help="train the byte-level BPE")
    verbs = tokenizer.add_subparsers(dest="verb", required=True)
    train = verbs.add_parser("train", help="learn a vocabulary from a corpus or from files")
    train.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="Python files to learn from"
    )
    train.add_argument(
        "--corpus", type=Path, metavar="DIR", help="a folder of `parrotlet corpus build`"
    )
    train.add_argument("--out", type=Path, required=True, metavar="DIR")
    train.add_argument("--vocabulary-size", type=int, default=16_384, help="default: %(default)s")
    train.add_argument(
        "--max-bytes",
        type=int,
        default=100_000_000,
        help="text to learn from, evenly sampled from the corpus (default: %(default)s)",
    )
    train.set_defaults(run=_train)


def _train(arguments: argparse.Namespace) -> int:
    from .tokenizer import TokenizerError
    from .train import corpus_texts, train_tokenizer

    if not arguments.files and arguments.corpus is None:
        return _fail("give FILE… or --corpus DIR to learn from", 2)
    if arguments.corpus is not None and find_spec("pyarrow") is None:
        return _fail('reading a corpus needs pyarrow: pip install "parrotlet[train]"', 2)

    def texts() -> Iterator[str]:
        for file in arguments.files:
            try:
                yield file.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise TokenizerError(f"{file} is not UTF-8 text: leave it out") from error
        if arguments.corpus is not None:
            yield from corpus_texts(arguments.corpus, arguments.max_bytes)

    try:
        tokenizer = train_tokenizer(texts(), arguments.vocabulary_size)
        tokenizer.save(arguments.out)
    except (TokenizerError, OSError) as error:
        return _fail(str(error), 1)
    print(f"{tokenizer.vocabulary_size:,} entries written to {arguments.out}")
    return 0


def _fail(message: str, code: int) -> int:
    print(f"parrotlet: {message}", file=sys.stderr)
    return code
