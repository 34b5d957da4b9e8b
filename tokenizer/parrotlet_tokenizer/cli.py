"""`parrotlet tokenizer …`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from .tokenizer import CodeTokenizer, TokenizerError

_Run = Callable[[argparse.Namespace], None]


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `tokenizer` to the command line."""
    tokenizer = subparsers.add_parser(
        "tokenizer", help="train, measure and share the byte-level BPE"
    )
    verbs = tokenizer.add_subparsers(dest="verb", required=True)
    for add in (_add_train, _add_report, _add_sweep, _add_push):
        add(verbs)


def _add_train(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    train = verbs.add_parser("train", help="learn a vocabulary from a corpus or from files")
    train.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="Python files to learn from"
    )
    train.add_argument(
        "--corpus", type=Path, metavar="DIR", help="a folder of `parrotlet corpus build`"
    )
    train.add_argument("--out", type=Path, required=True, metavar="DIR")
    train.add_argument(
        "--vocabulary-size", type=_count, default=16_384, metavar="N", help="default: %(default)s"
    )
    _add_learning(train)
    train.set_defaults(run=_command(_train))


def _add_learning(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-bytes",
        type=_count,
        default=100_000_000,
        metavar="N",
        help="text to learn from, evenly sampled from the corpus (default: %(default)s)",
    )
    parser.add_argument(
        "--split",
        metavar="NAME",
        help="where tokens must end: signs, lines, spaces or keywords, each with longer tokens "
        "than the one before (default: spaces)",
    )


def _add_report(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    report = verbs.add_parser("report", help="measure a vocabulary on held-out code, beside others")
    report.add_argument(
        "tokenizer", metavar="TOKENIZER", help="its folder, or owner/name@revision on the Hub"
    )
    report.add_argument(
        "corpus",
        type=Path,
        metavar="CORPUS",
        help="a corpus (its held-out or validation split is read), or a folder of Python files",
    )
    report.add_argument("--out", type=Path, metavar="DIR", help="for report.json and report.html")
    report.add_argument(
        "--against",
        nargs="*",
        metavar="NAME",
        help="gpt2, p50k_base, cl100k_base, o200k_base (fetched by npm once; the default is all "
        "four), or folders of other vocabularies",
    )
    report.add_argument(
        "--max-bytes",
        type=_count,
        default=4_000_000,
        metavar="N",
        help="text to measure on, the same share of each repository (default: %(default)s)",
    )
    report.set_defaults(run=_command(_report))


def _add_sweep(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    sweep = verbs.add_parser("sweep", help="compare sizes of the vocabulary")
    sweep.add_argument("corpus", type=Path, metavar="CORPUS", help="to learn from")
    sweep.add_argument("held_out", type=Path, metavar="HELDOUT", help="a corpus to measure on")
    sweep.add_argument(
        "--sizes", type=_count, nargs="+", default=[8_192, 16_384, 32_768], metavar="N"
    )
    sweep.add_argument("--out", type=Path, required=True, metavar="DIR")
    sweep.add_argument(
        "--width",
        type=_count,
        default=512,
        metavar="N",
        help="embedding width of the model, for its parameters (default: %(default)s)",
    )
    sweep.add_argument(
        "--held-out-bytes", type=_count, default=4_000_000, metavar="N", help="default: %(default)s"
    )
    _add_learning(sweep)
    sweep.set_defaults(run=_command(_sweep))


def _add_push(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    push = verbs.add_parser("push", help="upload a vocabulary to the Hugging Face Hub")
    push.add_argument("folder", type=Path, metavar="FOLDER")
    push.add_argument("repository", metavar="REPO_ID", help="owner/name")
    push.add_argument("--private", action="store_true", help="if the repository is made now")
    push.set_defaults(run=_command(_push))


def _train(arguments: argparse.Namespace) -> None:
    from .corpus import corpus_texts
    from .train import DEFAULT_SPLIT, train_tokenizer

    if not arguments.files and arguments.corpus is None:
        raise _UsageError("give FILE… or --corpus DIR to learn from")
    if arguments.corpus is not None:
        _need_pyarrow()

    def texts() -> Iterator[str]:
        for file in arguments.files:
            try:
                yield file.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise TokenizerError(f"{file} is not UTF-8 text: leave it out") from error
        if arguments.corpus is not None:
            yield from corpus_texts(arguments.corpus, arguments.max_bytes)

    tokenizer = train_tokenizer(
        texts(), arguments.vocabulary_size, arguments.split or DEFAULT_SPLIT
    )
    tokenizer.save(arguments.out)
    print(f"{tokenizer.vocabulary_size:,} entries written to {arguments.out}")


def _report(arguments: argparse.Namespace) -> None:
    from .files import write_aside
    from .report import PEERS, build_report, page, text

    if any((arguments.corpus / "data").glob("*.parquet")):
        _need_pyarrow()
    against = list(PEERS) if arguments.against is None else arguments.against
    report = build_report(
        _load(arguments.tokenizer),
        Path(arguments.tokenizer).name,
        arguments.corpus,
        against,
        arguments.max_bytes,
    )
    print(text(report), end="")
    if arguments.out is not None:
        write_aside(arguments.out / "report.json", report.json())
        write_aside(arguments.out / "report.html", page(report))
        print(f"\nwritten to {arguments.out}: report.json, report.html")


def _sweep(arguments: argparse.Namespace) -> None:
    from .corpus import corpus_texts, held_out_texts
    from .report import sweep
    from .train import DEFAULT_SPLIT

    _need_pyarrow()
    held_out = held_out_texts(arguments.held_out, arguments.held_out_bytes)
    print(" entries  bytes/token  unused  embedding parameters  tokens/s    MB/s  training s")
    for size in sweep(
        lambda: corpus_texts(arguments.corpus, arguments.max_bytes),
        held_out,
        arguments.sizes,
        arguments.out,
        arguments.width,
        arguments.split or DEFAULT_SPLIT,
    ):
        print(
            f"{size.entries:>8,}  {size.bytes_per_token:>11.3f}  {size.unused:>6,}  "
            f"{size.embedding_parameters:>20,}  {size.encode_tokens_per_second:>8,.0f}  "
            f"{size.encode_speed:>6.2f}  {size.train_seconds:>10.1f}",
            flush=True,
        )
    print(f"written to {arguments.out}: sweep.json and a folder of each size")


def _push(arguments: argparse.Namespace) -> None:
    from .hub import push_to_hub

    print(push_to_hub(arguments.folder, arguments.repository, arguments.private))


def _load(name: str) -> CodeTokenizer:
    from .hub import is_hub_name, load_from_hub

    if not Path(name).exists() and is_hub_name(name):
        return load_from_hub(name)
    return CodeTokenizer.load(Path(name))


class _UsageError(Exception):
    """The command was asked wrongly."""


def _command(run: _Run) -> Callable[[argparse.Namespace], int]:
    """`run` with its errors in one line, and the exit code."""

    def command(arguments: argparse.Namespace) -> int:
        try:
            run(arguments)
        except _UsageError as error:
            return _fail(str(error), 2)
        except (TokenizerError, OSError) as error:
            return _fail(str(error), 1)
        return 0

    return command


def _need_pyarrow() -> None:
    if find_spec("pyarrow") is None:
        raise _UsageError('reading a corpus needs pyarrow: pip install "parrotlet[train]"')


def _count(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return value


def _fail(message: str, code: int) -> int:
    print(f"parrotlet: {message}", file=sys.stderr)
    return code
