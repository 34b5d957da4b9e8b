"""`parrotlet export` and `parrotlet restore`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `export` and `restore` to the command line."""
    export = subparsers.add_parser("export", help="make a model bundle of a checkpoint")
    export.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="a Hugging Face folder")
    export.add_argument("folder", type=Path, metavar="DIR", help="where the bundle goes")
    export.add_argument(
        "--bits", type=int, choices=(8, 32), default=8, help="per weight (default: %(default)s)"
    )
    export.add_argument("--licence", help="of the weights (default: what the checkpoint states)")
    export.add_argument("--overwrite", action="store_true", help="replace DIR")
    export.set_defaults(run=_export)

    restore = subparsers.add_parser("restore", help="make a checkpoint of a model bundle")
    restore.add_argument("bundle", type=Path, metavar="BUNDLE", help="the folder of a bundle")
    restore.add_argument("folder", type=Path, metavar="DIR", help="where the checkpoint goes")
    restore.add_argument("--overwrite", action="store_true", help="replace DIR")
    restore.set_defaults(run=_restore)


def _export(arguments: argparse.Namespace) -> int:
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
