"""From a model's name, as a user gives it, to a verified bundle."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from parrotlet_tokenizer.tokenizer import TOKENIZER_FILE

from .aside import sweep
from .cache import CACHE_VARIABLE, cache_folder
from .checkpoint import CONFIG_FILE, RUN_FILE, WEIGHTS_FILE, is_checkpoint
from .errors import BundleError
from .hub import download, is_hub_name
from .manifest import Bundle, is_bundle, open_bundle, sha256

CONVERTER_VERSION = 3
"""Goes up when the same checkpoint gives another bundle."""

DEFAULT_MODEL = Path(__file__).parent.parent / "models" / "default"


def resolve_model(name: str | None = None) -> Bundle:
    """The bundle that `name` stands for, verified.

    Args:
        name: the folder of a bundle; that of a checkpoint, which is converted once into the user's
            cache; ``owner/name@commit`` on the Hub; None or "" is the model that comes with
            Parrotlet.

    Raises:
        BundleError: if there is no such model, or it is damaged or not supported.
    """
    if not name:
        if not is_bundle(DEFAULT_MODEL):
            raise BundleError(
                "this installation has no model of its own: name the folder of a model bundle or "
                "of a checkpoint"
            )
        return open_bundle(DEFAULT_MODEL)
    try:
        folder = Path(name).expanduser()
        there = folder.exists()
    except (OSError, RuntimeError, ValueError) as error:  # no such user, a name too long, NUL
        raise BundleError(f"{name[:100]!r} cannot name a folder: {error}") from error
    if there:
        only_checkpoint = is_checkpoint(folder) and not is_bundle(folder)
        return convert_cached(folder) if only_checkpoint else open_bundle(folder)
    if is_hub_name(name):
        return convert_cached(download(name))
    raise BundleError(
        f"there is no model {name}: give the folder of a bundle or a checkpoint, or "
        "owner/name@commit for one on the Hugging Face Hub"
    )


def convert_cached(checkpoint: Path) -> Bundle:
    """The bundle made of `checkpoint`, from the cache if the same files were converted before.

    Two programs may do this at once: each writes aside, and the later one takes the first's.

    Raises:
        BundleError: if the checkpoint is not supported, or the cache cannot be written.
    """
    from .export import export_checkpoint  # it needs onnx, which takes a while to import

    digest = hashlib.sha256(f"converter {CONVERTER_VERSION}".encode())
    for file in (CONFIG_FILE, WEIGHTS_FILE, TOKENIZER_FILE, RUN_FILE):
        try:
            part = sha256(checkpoint / file) if (checkpoint / file).exists() else ""
        except OSError as error:
            raise BundleError(f"{checkpoint / file} is not readable: {error}") from error
        digest.update(f"\n{file} {part}".encode())
    target = cache_folder() / "bundles" / digest.hexdigest()[:32]
    existed = target.exists()
    known = _intact(target)
    if known:
        return known
    sweep(target)
    if existed:
        shutil.rmtree(target, ignore_errors=True)  # it is damaged
    try:
        return export_checkpoint(checkpoint, target)
    except BundleError as error:
        made_meanwhile = _intact(target)
        if made_meanwhile:
            return made_meanwhile
        if str(target.parent) in str(error):
            raise BundleError(f"{error}; {CACHE_VARIABLE} names another cache folder") from error
        raise


def _intact(folder: Path) -> Bundle | None:
    try:
        return open_bundle(folder)
    except BundleError:
        return None
