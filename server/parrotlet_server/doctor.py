"""`parrotlet doctor`: looks at everything that a suggestion needs, and says how to mend it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from .bundle.errors import BundleError
from .version import version

_PACKAGES = (
    "huggingface_hub",
    "numpy",
    "onnx",
    "onnxruntime",
    "pathspec",
    "platformdirs",
    "pygls",
    "lsprotocol",
    "safetensors",
    "tokenizers",
    "tree-sitter",
    "tree-sitter-python",
)
_SLOW = 1000
"""Milliseconds of a short completion, from which on typing is no joy."""

_SAMPLE = "def mean(values):\n    return sum(values) / "


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: of the thing.
        fine: whether it is as it should be.
        found: what it is.
        remedy: what to do where it is not fine.
    """

    name: str
    fine: bool
    found: str
    remedy: str = ""


def examine(model: str | None) -> Iterator[Check]:
    """Looks at one thing after the other; what needs a thing that is not fine is left out.

    Args:
        model: as for `Engine.load`.
    """
    yield _interpreter()
    packages = _packages()
    yield packages
    yield _guarded("statistics", _statistics, "make the folder writable, or turn statistics off")
    if packages.fine:
        yield from _model(model)


def _interpreter() -> Check:
    found = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    fine = sys.version_info >= (3, 11) and sys.maxsize > 2**32
    return Check("interpreter", fine, f"parrotlet {version()}, {found}", "use Python 3.11+, 64 bit")


def _packages() -> Check:
    found, missing = [], []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        remedy = "pip install --force-reinstall parrotlet"
        return Check("packages", False, "missing: " + ", ".join(missing), remedy)
    return Check("packages", True, ", ".join(found))


def _statistics() -> str:
    from .usage import usage_file

    file = usage_file()
    folder = file.parent
    while not folder.exists():
        folder = folder.parent
    if not os.access(file if file.exists() else folder, os.W_OK):
        raise OSError(f"{file} cannot be written")
    return str(file)


def _model(model: str | None) -> Iterator[Check]:
    from .backends.processor import described
    from .backends.threads import default_threads
    from .bundle.resolve import resolve_model
    from .engine import Engine, Request

    remedy = "name another model" if model else "install Parrotlet again"
    try:
        bundle = resolve_model(model)
    except BundleError as error:
        yield Check("model", False, str(error), remedy)
        return
    size = sum(entry[0] for entry in bundle.manifest.files.values()) / 1e6
    yield Check("model", True, f"{Path(bundle.folder)}: {size:.1f} MB, checksums right")
    threads = default_threads()
    yield Check("threads", True, f"{threads} of {os.cpu_count()} processors")
    try:
        engine = Engine.load(model)
        engine.complete(Request(_SAMPLE, "\n"))
        completion = engine.complete(Request(_SAMPLE + "l", "\n"))
        ran = described(engine.backend)
    except Exception as error:
        yield Check("completion", False, f"{type(error).__name__}: {error}", remedy)
        return
    milliseconds = 1000 * completion.seconds
    text = completion.suggestion.text if completion.suggestion else f"none ({completion.reason})"
    yield Check(
        "completion",
        milliseconds < _SLOW,
        f"{milliseconds:.0f} ms for {completion.generated_tokens} tokens by {ran}: {text!r:.60}",
        "see what else uses the processor; set parrotlet.debounce or parrotlet.multiline to never",
    )


def _guarded(name: str, look: Callable[[], str], remedy: str) -> Check:
    try:
        return Check(name, True, look())
    except (OSError, ImportError) as error:
        return Check(name, False, str(error), remedy)
