"""Compiles the kernels: a hook of the build back-end (hatchling), for wheels and editable installs.

Without a compiler, or on a processor that they are not written for, the wheel has none, and ONNX
Runtime runs the model. One file holds a kernel for each level of vector instructions, and
`processor.c` says which of them runs.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path(__file__).parent
COMMON = [
    *("-O3", "-std=gnu11", "-fPIC", "-fvisibility=hidden"),
    *("-ffp-contract=off", "-fno-math-errno"),  # sums are written as they are to be done
]
LEVELS = {
    "avx512": ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vnni", "-mfma"],
    "avxvnni": ["-mavx2", "-mfma", "-mavxvnni"],
    "avx2": ["-mavx2", "-mfma"],
}
MACHINES = {"x86_64", "amd64"}


class KernelHook(BuildHookInterface[Any]):
    """Puts the kernels beside the sources, and into the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before a wheel is put together."""
        file = FOLDER / f"kernel-{sys.platform}-{platform.machine().lower()}.so"
        try:
            compile_kernels(file)
        except (OSError, subprocess.SubprocessError) as error:
            with suppress(OSError):
                file.unlink(missing_ok=True)
            said = getattr(error, "stderr", None) or error
            self.app.display_warning(f"no kernels, ONNX Runtime will run the model: {said}")
            return
        build_data["artifacts"].append(f"/{file.relative_to(self.root).as_posix()}")


def compile_kernels(file: Path) -> None:
    """Compiles all levels into the shared library `file`.

    Raises:
        OSError, subprocess.SubprocessError: if that is not possible here.
    """
    if platform.machine().lower() not in MACHINES or sys.platform not in ("linux", "darwin"):
        raise OSError(f"there are none for {platform.machine()} on {sys.platform}")
    try:
        compiler = shlex.split(os.environ.get("CC", "")) or ["cc"]
    except ValueError as error:
        raise OSError(f"CC cannot be read: {error}") from error
    if shutil.which(compiler[0]) is None:
        raise OSError(f"there is no compiler {compiler[0]}")
    with tempfile.TemporaryDirectory() as scratch:
        objects = []
        for level, flags in [*LEVELS.items(), ("", [])]:
            source = FOLDER / ("kernel.c" if level else "processor.c")
            objects.append(f"{scratch}/{level or 'processor'}.o")
            named = [f"-DLEVEL={level}"] if level else []
            _run(*compiler, *COMMON, *flags, *named, "-c", str(source), "-o", objects[-1])
        made = f"{scratch}/kernel.so"
        _run(*compiler, "-shared", "-pthread", *objects, "-lm", "-o", made)
        # a server may run from the old one
        aside = file.with_suffix(f".{os.getpid()}.tmp")
        shutil.copyfile(made, aside)
        aside.replace(file)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
