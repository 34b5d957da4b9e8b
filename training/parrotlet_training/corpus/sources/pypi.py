"""A release on the Python package index: its wheel, downloaded by pip and read in place."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..document import RawFile
from ..licences import MAX_LICENCE_BYTES, detect
from .archive import zip_members
from .base import Excluded, SourceError, valid_text, without
from .distribution import licence_of, repository_of

_PIN = re.compile(r"([A-Za-z0-9][\w.-]*)==([A-Za-z0-9][\w.!+-]*)")
_LIBRARY = re.compile(r"^[^/]+\.data/(?:purelib|platlib)/")
_DATA = re.compile(r"^[^/]+\.data/")
_INFORMATION = re.compile(r"^[^/]+\.dist-info/METADATA$")
_LICENCES = re.compile(r"^[^/]+\.dist-info/(?:licenses/)?[^/]*(?:licen[sc]e|copying)[^/]*$", re.I)


@dataclass
class Wheel:
    """The Python files of a wheel, under the paths that they have once it is installed."""

    file: Path
    excluded: tuple[str, ...] = ()
    repository: str = field(init=False)
    commit: str = field(init=False)
    licence: str = field(init=False)
    kind: str = "pypi"
    own: bool = False
    many: bool = False
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        texts: dict[str, str] = {}
        information = None
        wanted = lambda name: bool(_INFORMATION.match(name) or _LICENCES.match(name))  # noqa: E731
        for raw in zip_members(self.file, wanted, MAX_LICENCE_BYTES * 8):
            if _INFORMATION.match(raw.path):
                information = email.message_from_bytes(raw.data)
            else:
                texts[raw.path] = raw.data.decode("utf-8", "replace")
        if information is None or not information["Name"]:
            raise SourceError(f"{self.file} is no wheel: it has no METADATA")
        self.repository = repository_of(information)
        self.commit = str(information["Version"] or "")
        self.licence = licence_of(information) or detect(texts)

    def files(self, max_bytes: int) -> Iterator[RawFile]:
        """See `Source.files`.

        Raises:
            SourceError: if the wheel is damaged.
        """
        excluded = Excluded(self.excluded)
        yield from without(self._files(max_bytes), excluded)
        self.warnings = excluded.warnings(self.repository)

    def _files(self, max_bytes: int) -> Iterator[RawFile]:
        for raw in zip_members(self.file, lambda name: name.endswith(".py"), max_bytes):
            path = _LIBRARY.sub("", raw.path)
            if not _DATA.match(path):
                yield RawFile(raw.data, path, raw.problem)


def download_release(requirement: str, cache: Path) -> Path:
    """The wheel of a release, from the cache or through ``pip download``.

    Only wheels are taken: a source distribution would have to run its own build to say what it is.

    Args:
        requirement: ``NAME==VERSION``.
        cache: a folder, made if need be.

    Raises:
        SourceError: if it is no pinned release, pip is missing, or there is no wheel.
    """
    match = _PIN.fullmatch(requirement)
    if match is None:
        raise SourceError(f"{requirement}: name a release as NAME==VERSION")
    name = re.sub(r"[-_.]+", "-", match[1]).lower()
    folder = cache / "pypi" / f"{name}-{match[2]}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent) as aside:
            made = Path(aside) / "made"
            _download(requirement, made)
            try:
                made.rename(folder)
            except OSError:
                if not folder.is_dir():  # else another build was faster
                    raise
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        raise SourceError(f"{folder} holds no wheel: remove it and run this again")
    return wheels[0]


def _download(requirement: str, folder: Path) -> None:
    options = ["--no-deps", "--only-binary", ":all:", "--quiet", "--disable-pip-version-check"]
    options += ["--no-input", "--dest", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, requirement],
        capture_output=True,
        check=False,
    )
    if done.returncode != 0 or not list(folder.glob("*.whl")):
        lines = valid_text(done.stderr.decode("utf-8", "replace")).strip().splitlines()
        errors = [line for line in lines if "ERROR" in line or "No module" in line] or lines[-1:]
        words = " ".join(errors).replace("ERROR: ", "") or "pip downloaded nothing"
        raise SourceError(
            f"cannot download {requirement} as a wheel (only wheels are taken): {words}"
        )
