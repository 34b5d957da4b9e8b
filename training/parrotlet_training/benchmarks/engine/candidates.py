"""What is compared, and the files that each needs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from parrotlet_server.bundle import Bundle
from parrotlet_server.bundle.checkpoint import write_checkpoint
from parrotlet_server.bundle.weights import restored

from ..errors import BenchmarkError
from .four_bits import write_four_bits
from .process import HOST

PEERS = Path(".cache/peers/bin/python")
"""The interpreter that `make bench-engine` installs the peers for."""


@dataclass(frozen=True)
class Kind:
    """A row of the tables.

    Attributes:
        name: for `--only`.
        label: what it is.
        adapter: module of `adapters`.
        model: which of the `Files` it loads.
        needs: module that its interpreter must have; None for what is always there.
        peer: whether the peers' interpreter runs it.
    """

    name: str
    label: str
    adapter: str
    model: str
    needs: str | None = None
    peer: bool = False


KINDS = (
    Kind("parrotlet", "Parrotlet, 8 bits", "own", "bundle"),
    Kind("llama.cpp", "llama.cpp Q8_0", "llamacpp", "q8_0", "llama_cpp", True),
    Kind("llama.cpp-q4", "llama.cpp Q4_0", "llamacpp", "q4_0", "llama_cpp", True),
    Kind("ctranslate2", "CTranslate2 int8", "ct2", "ct2", "ctranslate2", True),
    Kind("openvino", "OpenVINO int8", "ov", "openvino", "openvino", True),
    Kind("transformers", "transformers fp32", "hf", "checkpoint", "transformers"),
    Kind("parrotlet-onnx", "Parrotlet on ONNX Runtime, 8 bits", "own", "graph"),
    Kind("parrotlet-4bit", "the same, 4-bit blocks (experiment)", "own", "four_bits"),
)
OURS = KINDS[0].name
OWN = KINDS[0].adapter
Q8 = KINDS[1].name
FOUR_BITS = KINDS[-1].name


def peers_python() -> Path:
    """The interpreter that has the peers: ``PARROTLET_PEERS_PYTHON``, or that of the Makefile."""
    return Path(os.environ.get("PARROTLET_PEERS_PYTHON", PEERS)).absolute()


def chosen(names: Sequence[str]) -> list[Kind]:
    """Kinds by name; all without names. The first is always ours, which ratios refer to.

    Raises:
        BenchmarkError: if there is no such name.
    """
    by_name = {kind.name: kind for kind in KINDS}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise BenchmarkError(f"no candidate {unknown[0]!r}: choose of {', '.join(by_name)}")
    return [kind for kind in KINDS if not names or kind.name in (*names, OURS)]


def installed(kinds: Sequence[Kind]) -> Iterator[tuple[Kind, str | None]]:
    """Each kind, and why it cannot run here, if so."""
    for kind in kinds:
        python = python_of(kind)
        if kind.needs is None:
            yield kind, None
        elif not python.exists():
            yield kind, f"{kind.label} is left out: `make bench-engine` installs it"
        elif kind.model in ("q8_0", "q4_0") and find_spec("gguf") is None:
            yield kind, f'{kind.label} is left out: pip install "parrotlet[gguf]" is needed for it'
        elif _has(python, kind.needs):
            yield kind, None
        else:
            where = "the peers' environment" if kind.peer else "this environment"
            yield kind, f"{kind.label} is left out: {kind.needs} is not installed in {where}"


def python_of(kind: Kind) -> Path:
    """The interpreter that runs `kind`."""
    return peers_python() if kind.peer else Path(sys.executable)


def _has(python: Path, module: str) -> bool:
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([str(python), "-c", code], check=False).returncode == 0


class Files:
    """The same weights in every candidate's form, each made when it is first asked for."""

    def __init__(self, bundle: Bundle, folder: Path) -> None:
        self._bundle = bundle
        self._folder = folder
        self._made: dict[str, str | None] = {}

    def path(self, form: str) -> str | None:
        """What a candidate loads; None where this model cannot be had in that form.

        Raises:
            BenchmarkError: if a peer's own converter fails.
            BundleError: if the bundle was not made by this program.
        """
        if form not in self._made:
            make: Callable[[], str | None] = getattr(self, f"_make_{form}")
            self._made[form] = make()
        return self._made[form]

    def _make_bundle(self) -> str:
        return str(self._bundle.folder)

    def _make_graph(self) -> str:
        return f"{self._bundle.folder}::{self._bundle.model_file}"

    def _make_four_bits(self) -> str | None:
        graph = self._folder / "four_bits.onnx"
        if not write_four_bits(self._bundle.model_file, graph):
            return None
        return f"{self._bundle.folder}::{graph}"

    def _make_checkpoint(self) -> str:
        folder = self._folder / "checkpoint"
        folder.mkdir()
        write_checkpoint(restored(self._bundle), folder)
        return str(folder)

    def _gguf(self, kind: str) -> str | None:
        from parrotlet_server.bundle.errors import BundleError
        from parrotlet_server.bundle.gguf import export_gguf

        file = self._folder / f"{kind}.gguf"
        try:
            export_gguf(self._bundle.folder, file, kind)
        except BundleError:
            return None
        return str(file)

    def _make_q8_0(self) -> str | None:
        return self._gguf("q8_0")

    def _make_q4_0(self) -> str | None:
        target = str(self._folder / "q4_0.gguf")
        self._convert("llamacpp", "quantise", str(self._gguf("f32")), target, "q4_0")
        return target

    def _make_ct2(self) -> str:
        target = str(self._folder / "ct2")
        self._convert("ct2", "convert", str(self.path("checkpoint")), target)
        return target

    def _make_openvino(self) -> str:
        target = str(self._folder / "openvino.xml")
        self._convert("ov", "convert", str(self.path("checkpoint")), target)
        return target

    def _convert(self, module: str, function: str, *arguments: str) -> None:
        """Calls a function of an adapter in the peers' interpreter."""
        code = f"import sys, {module}; {module}.{function}(*sys.argv[1:])"
        done = subprocess.run(
            [str(peers_python()), "-c", code, *arguments],
            cwd=HOST.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            words = done.stderr.strip().splitlines()
            raise BenchmarkError(f"{module} cannot convert the model: {words[-1] if words else ''}")
