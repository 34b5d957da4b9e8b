"""`parrotlet export` and `parrotlet restore`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `export` and `restore` to the command line."""
    export = subparsers.add_parser("export", help="make a model bundle, or a GGUF, of a checkpoint")
    export.add_argument(
        "checkpoint",
        type=Path,
        metavar="CHECKPOINT",
        help="a Hugging Face folder; for gguf, a bundle will do too",
    )
    export.add_argument("folder", type=Path, metavar="OUT", help="the bundle's folder, or a file")
    export.add_argument(
        "--format",
        choices=("bundle", "gguf"),
        default="bundle",
        help="gguf is read by llama.cpp (default: %(default)s)",
    )
    export.add_argument(
        "--bits", type=int, choices=(8, 32), default=8, help="per weight (default: %(default)s)"
    )
    export.add_argument("--licence", help="of the weights (default: what the checkpoint states)")
    export.add_argument("--overwrite", action="store_true", help="replace OUT")
    export.set_defaults(run=_export)

    restore = subparsers.add_parser("restore", help="make a checkpoint of a model bundle")
    restore.add_argument("bundle", type=Path, metavar="BUNDLE", help="the folder of a bundle")
    restore.add_argument("folder", type=Path, metavar="DIR", help="where the checkpoint goes")
    restore.add_argument("--overwrite", action="store_true", help="replace DIR")
    restore.set_defaults(run=_restore)


def _export(arguments: argparse.Namespace) -> int:
    if arguments.format == "gguf":
        return _export_gguf(arguments)
    from .errors import BundleError
    from .export import export_checkpoint

    try:
        bundle = export_checkpoint(
            arguments.checkpoint,
            arguments.folder,
            bits=arguments.bits,
            licence=arguments.licence,
            overwrite=arguments.overwrite,
        )
    except BundleError as error:
        return _fail(error)
    size = sum(size for size, _ in bundle.manifest.files.values())
    print(f"{size / 1e6:.1f} MB written to {arguments.folder}")
    return 0


def _export_gguf(arguments: argparse.Namespace) -> int:
    from .errors import BundleError

    try:
        from .gguf import export_gguf
    except ModuleNotFoundError as error:
        if error.name != "gguf":
            raise
        print(
            "parrotlet: --format gguf needs gguf, which is not installed: "
            'pip install "parrotlet[gguf]"',
            file=sys.stderr,
        )
        return 2
    kind = "q8_0" if arguments.bits == 8 else "f32"
    try:
        export_gguf(
            arguments.checkpoint, arguments.folder, kind, arguments.licence, arguments.overwrite
        )
    except BundleError as error:
        return _fail(error)
    print(f"{arguments.folder.stat().st_size / 1e6:.1f} MB written to {arguments.folder}")
    return 0


def _restore(arguments: argparse.Namespace) -> int:
    from .errors import BundleError
    from .export import restore_checkpoint

    try:
        restore_checkpoint(arguments.bundle, arguments.folder, overwrite=arguments.overwrite)
    except BundleError as error:
        return _fail(error)
    print(f"checkpoint written to {arguments.folder}")
    return 0


def _fail(error: Exception) -> int:
    print(f"parrotlet: {error}", file=sys.stderr)
    return 1
