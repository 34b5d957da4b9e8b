"""The sub-commands of training. Heavy imports wait until one of them runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the commands of training to the command line."""
    _register_corpus(subparsers)
    _register_init(subparsers)
    _register_train(subparsers)
    _register_curve(subparsers)
    _register_push(subparsers)
    _register_adapt(subparsers)
    _register_evaluate(subparsers)
    _register_release(subparsers)
    _register_bench(subparsers)
    _register_pretokenize(subparsers)


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
    corpus = subparsers.add_parser("corpus", help="build, examine and share training sets")
    verbs = corpus.add_subparsers(dest="verb", required=True)
    _add_build(verbs)
    report = verbs.add_parser("report", help="one page about a corpus, and its dataset card")
    report.add_argument("corpus", type=Path, metavar="DIR")
    report.add_argument(
        "--out", type=Path, metavar="FILE", help="the page (default: report.html in the corpus)"
    )
    report.add_argument("--sample", type=int, metavar="N", help="documents to look at closely")
    report.add_argument("--seed", type=int, default=0, help="of the sample")
    report.set_defaults(run=_of_corpus("report"))
    push = verbs.add_parser("push", help="publish a corpus on the Hugging Face Hub, resumably")
    push.add_argument("corpus", type=Path, metavar="DIR")
    push.add_argument("repo_id", metavar="OWNER/NAME")
    push.add_argument("--private", action="store_true", help="if the dataset is made")
    push.add_argument("--revision", metavar="BRANCH", help="made if it is not there")
    push.set_defaults(run=_of_corpus("push"))
    holdout = subparsers.add_parser("holdout", help="what is never trained on")
    verbs = holdout.add_subparsers(dest="verb", required=True)
    cursors = verbs.add_parser("cursors", help="draw the places where evaluation asks")
    cursors.add_argument("corpus", type=Path, metavar="DIR", help="built with --holdout")
    cursors.add_argument("--out", type=Path, required=True, metavar="FILE")
    cursors.add_argument("--per-kind", type=int, default=1000, help="default: %(default)s")
    cursors.add_argument("--seed", type=int, default=0)
    cursors.set_defaults(run=_of_corpus("cursors"))


def _add_build(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    build = verbs.add_parser(
        "build",
        help="sources to a folder of shards; run again to go on after an interruption",
        epilog="SOURCE: a folder, a git repository (work tree or bare), an archive or a wheel; "
        "git:PATH[@REVISION], git:URL@COMMIT, dist:NAME, dist:* (all installed distributions), "
        "pypi:NAME==VERSION, hub:OWNER/NAME@COMMIT, bigquery:FOLDER, or stdlib",
    )
    build.add_argument("sources", nargs="*", metavar="SOURCE")
    build.add_argument("--out", type=Path, required=True, metavar="DIR")
    build.add_argument(
        "--recipe", metavar="NAME", help="a YAML file, or the name of a recipe that is shipped"
    )
    build.add_argument(
        "--clones",
        default="clones/{owner}/{name}",
        metavar="PATTERN",
        help="where the recipe's repositories lie, or a URL to clone them from "
        "(default: %(default)s)",
    )
    build.add_argument("--cache", type=Path, metavar="DIR", help="for clones and wheels")
    build.add_argument("--min-bytes", type=int, metavar="N", help="of a file")
    build.add_argument("--max-bytes", type=int, metavar="N", help="of a file")
    build.add_argument(
        "--max-bytes-per-repository", type=int, metavar="N", help="so that none dominates"
    )
    build.add_argument(
        "--validation-share",
        type=_share,
        metavar="SHARE",
        help="of the repositories (default: 0.03, or the recipe's)",
    )
    build.add_argument(
        "--holdout",
        action="store_true",
        help="keep only the repositories that are never trained on, for evaluation",
    )
    build.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="CORPUS",
        help="leave out near-copies of what it holds: the hold-out, for instance",
    )
    build.add_argument(
        "--decontaminate",
        action="append",
        default=[],
        metavar="FILE",
        help="leave out files that hold its tasks (HumanEval, MBPP, .py, .txt)",
    )
    build.add_argument("--no-near-dedup", action="store_true", help="near-copies stay")
    build.add_argument("--no-redact", action="store_true", help="secrets and addresses stay")
    build.add_argument("--no-quality", action="store_true", help="documents are not rated")
    build.add_argument(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes (default: %(default)s)",
    )
    build.add_argument(
        "--cluster",
        type=Path,
        metavar="FILE",
        help="YAML that says where the tasks of a large build run: see docs/corpus.md",
    )
    build.add_argument("--fresh", action="store_true", help="forget an interrupted build")
    build.set_defaults(run=_of_corpus("build"))


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError("a share lies between 0 and 1")
    return value


def _of_corpus(name: str) -> Callable[[argparse.Namespace], int]:
    def run(arguments: argparse.Namespace) -> int:
        if _missing("pyarrow", "yaml", "tqdm", "rensa", "detect_secrets", "license_expression"):
            return 2
        from .corpus import commands

        command: Callable[[argparse.Namespace], int] = getattr(commands, name)
        return command(arguments)

    return run


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
        help="begin a new run with the weights of a checkpoint folder, a bundle, the model that "
        "comes with Parrotlet (`default`), or owner/name@commit on the Hub",
    )
    train.add_argument(
        "--push-to", metavar="OWNER/NAME", help="on the Hub: each checkpoint, and the final model"
    )
    train.add_argument("--private", action="store_true", help="if the model is made there")
    train.add_argument("--with-state", action="store_true", help="push the training state, too")
    plan = train.add_argument_group("plan")
    plan.add_argument(
        "--dry-run", action="store_true", help="say what it would take, and start nothing"
    )
    plan.add_argument("--device", metavar="GPU", help="H100, A100, L4 …, or cpu (default: this)")
    plan.add_argument("--gpus", type=_positive, metavar="N", help="default: those of this machine")
    plan.add_argument("--price", type=float, metavar="X", help="of a GPU for an hour")
    plan.add_argument("--mfu", type=_utilisation, metavar="SHARE", help="of the peak, in use")
    train.set_defaults(run=_train)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def _utilisation(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError("a share lies between 0 and 1")
    return value


def _register_init(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    init = subparsers.add_parser("init", help="write a checkpoint to begin with")
    init.add_argument("recipe", metavar="RECIPE", help="its shape, tokenizer and seed are used")
    init.add_argument("folder", type=Path, metavar="DIR", help="is made")
    init.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="as for `train`"
    )
    init.add_argument(
        "--from",
        dest="given",
        metavar="MODEL",
        help="the weights of a model of this shape, in the recipe's vocabulary, instead of fresh "
        "ones: a checkpoint folder, a bundle, `default`, or owner/name@commit on the Hub",
    )
    init.add_argument("--push-to", metavar="OWNER/NAME", help="also publish it on the Hub")
    init.add_argument("--private", action="store_true", help="if the model is made there")
    init.set_defaults(run=_init)


def _init(arguments: argparse.Namespace) -> int:
    if _missing("torch", "transformers", "accelerate", "pyarrow", "yaml", "tqdm"):
        return 2
    from . import commands

    return commands.init(arguments)


def _train(arguments: argparse.Namespace) -> int:
    if _missing("torch", "transformers", "accelerate", "pyarrow", "yaml", "tqdm"):
        return 2
    from . import commands

    return commands.train(arguments)


def _register_curve(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    curve = subparsers.add_parser("curve", help="draw the learning curves of runs")
    curve.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run")
    curve.add_argument(
        "--out",
        type=Path,
        default=Path("curve.svg"),
        metavar="FILE",
        help="the picture: .svg, .png or .pdf (default: %(default)s)",
    )
    curve.set_defaults(run=_curve)


def _curve(arguments: argparse.Namespace) -> int:
    if _missing("torch", "matplotlib"):
        return 2
    from .curve import main

    return main(arguments)


def _register_push(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    push = subparsers.add_parser(
        "push", help="publish a run's checkpoints on the Hugging Face Hub, if that failed before"
    )
    push.add_argument("run_folder", type=Path, metavar="RUN", help="folder of `parrotlet train`")
    push.add_argument("repo_id", metavar="OWNER/NAME")
    push.add_argument("--private", action="store_true", help="if the model is made")
    push.add_argument("--with-state", action="store_true", help="also the training state")
    push.set_defaults(run=_push)


def _push(arguments: argparse.Namespace) -> int:
    if _missing("yaml", "tqdm"):
        return 2
    from .hub.commands import push

    return push(arguments)


def _register_adapt(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    adapt = subparsers.add_parser(
        "adapt", help="teach the model your own code; run again to go on after an interruption"
    )
    adapt.add_argument(
        "places",
        nargs="+",
        metavar="PATH",
        help="your repositories: folders, git repositories (what is committed), or archives",
    )
    adapt.add_argument(
        "--out", type=Path, metavar="DIR", help="of the new model (default: adapted/NAME)"
    )
    adapt.add_argument(
        "--model",
        metavar="MODEL",
        help="to begin with: a bundle, a checkpoint folder, or owner/name@commit on the Hub "
        "(default: the one that comes with Parrotlet)",
    )
    adapt.add_argument(
        "--minutes", type=float, default=30.0, metavar="N", help="in all (default: %(default)g)"
    )
    adapt.add_argument("--fresh", action="store_true", help="forget an interrupted adaptation")
    adapt.set_defaults(run=_adapt)


def _adapt(arguments: argparse.Namespace) -> int:
    if _missing(
        "torch", "transformers", "accelerate", "pyarrow", "yaml", "tqdm", "rensa", "detect_secrets"
    ):
        return 2
    from .adapt.commands import adapt

    return adapt(arguments)


def _register_evaluate(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from .evaluate.arguments import register, register_sample

    register(subparsers, _missing)
    register_sample(subparsers, _missing)


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


def _register_bench(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from .benchmarks.arguments import (
        add_adapt_arguments,
        add_context_arguments,
        add_corpus_arguments,
        add_engine_arguments,
        add_input_arguments,
        add_scaling_arguments,
        add_speculation_arguments,
        add_training_arguments,
        add_typing_arguments,
        add_vocabulary_arguments,
    )

    bench = subparsers.add_parser("bench", help="measure speeds, beside peers in the same run")
    subjects = bench.add_subparsers(dest="subject", required=True)
    corpus = subjects.add_parser("corpus", help="filters and de-duplication beside CodeParrot's")
    add_corpus_arguments(corpus)
    corpus.set_defaults(run=_bench_corpus)
    vocabulary = subjects.add_parser("vocabulary", help="bits per byte of models with each")
    add_vocabulary_arguments(vocabulary)
    vocabulary.set_defaults(run=_bench_vocabulary)
    scaling = subjects.add_parser("scaling", help="what larger models and more text would buy")
    add_scaling_arguments(scaling)
    scaling.set_defaults(run=_bench_scaling)
    training = subjects.add_parser("train", help="training loops beside each other")
    add_training_arguments(training)
    training.set_defaults(run=_bench_train)
    data = subjects.add_parser("input", help="whether the training data keep up with the model")
    add_input_arguments(data)
    data.set_defaults(run=_bench_input)
    adapting = subjects.add_parser("adapt", help="what `parrotlet adapt` gains, and what it costs")
    add_adapt_arguments(adapting)
    adapting.set_defaults(run=_bench_adapt)
    drafts = subjects.add_parser("speculation", help="drafts out of the text, with and without")
    add_speculation_arguments(drafts)
    drafts.set_defaults(run=_bench_speculation)
    typing = subjects.add_parser("typing", help="typing of held-out files: the keys spared")
    add_typing_arguments(typing)
    typing.set_defaults(run=_bench_typing)
    context = subjects.add_parser(
        "context", help="what each part of the prompt gains, and its cost"
    )
    add_context_arguments(context)
    context.set_defaults(run=_bench_context)
    engine = subjects.add_parser("engine", help="this engine beside llama.cpp and others")
    add_engine_arguments(engine)
    engine.set_defaults(run=_bench_engine)


def _bench_engine(arguments: argparse.Namespace) -> int:
    if _missing("pyarrow", "yaml", "tqdm", "rensa", "detect_secrets", "license_expression"):
        return 2
    from .benchmarks.engine.command import main

    return main(arguments)


def _bench_typing(arguments: argparse.Namespace) -> int:
    if _missing("pyarrow", "rapidfuzz"):
        return 2
    from .benchmarks.replay import main

    return main(arguments)


def _bench_context(arguments: argparse.Namespace) -> int:
    if _missing("pyarrow", "rapidfuzz"):
        return 2
    from .benchmarks.context import main

    return main(arguments)


def _bench_speculation(arguments: argparse.Namespace) -> int:
    if _missing("pyarrow"):
        return 2
    from .benchmarks.speculation import main

    return main(arguments)


def _bench_adapt(arguments: argparse.Namespace) -> int:
    if _missing("torch", "transformers", "accelerate", "pyarrow", "rensa", "rapidfuzz", "yaml"):
        return 2
    from .benchmarks.adapt import main

    return main(arguments)


def _bench_corpus(arguments: argparse.Namespace) -> int:
    if _missing("pyarrow", "rensa", "datasketch", "psutil"):
        return 2
    from .benchmarks.corpus import main

    return main(arguments)


def _bench_vocabulary(arguments: argparse.Namespace) -> int:
    if _missing("torch", "transformers", "accelerate", "pyarrow", "yaml"):
        return 2
    from .benchmarks.vocabulary import main

    return main(arguments)


def _bench_scaling(arguments: argparse.Namespace) -> int:
    if _missing("torch", "transformers", "accelerate", "pyarrow", "yaml"):
        return 2
    from .benchmarks.scaling import main

    return main(arguments)


def _bench_train(arguments: argparse.Namespace) -> int:
    if _missing("torch", "transformers", "accelerate", "datasets", "pyarrow", "rensa", "yaml"):
        return 2
    from .benchmarks.training import main

    return main(arguments)


def _register_pretokenize(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    pretokenize = subparsers.add_parser(
        "pretokenize", help="write a recipe's training data as tokens; run again to go on"
    )
    pretokenize.add_argument(
        "recipe", metavar="RECIPE", help="a YAML file, or the name of one that is shipped"
    )
    pretokenize.add_argument("--out", type=Path, required=True, metavar="DIR")
    pretokenize.add_argument(
        "--draws",
        type=int,
        default=1,
        metavar="K",
        help="epochs until the forms drawn for fill-in-the-middle repeat (default: %(default)s)",
    )
    pretokenize.add_argument(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes (default: %(default)s)",
    )
    pretokenize.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override one field of the recipe, such as data.corpus=corpora/mine",
    )
    pretokenize.add_argument("--fresh", action="store_true", help="forget an interrupted run")
    pretokenize.set_defaults(run=_pretokenize)


def _pretokenize(arguments: argparse.Namespace) -> int:
    if _missing("pyarrow", "yaml", "tqdm"):
        return 2
    from .data import commands

    return commands.pretokenize(arguments)


def _bench_input(arguments: argparse.Namespace) -> int:
    if _missing("torch", "transformers", "pyarrow", "yaml", "tqdm"):
        return 2
    from .benchmarks.input import main

    return main(arguments)
