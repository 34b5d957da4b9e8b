"""An installed distribution."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from ..document import RawFile
from ..licences import from_metadata
from .base import SourceError, read_file


@dataclass
class Distribution:
    """The Python files of an installed distribution."""

    distribution: metadata.Distribution
    repository: str = field(init=False)
    commit: str = field(init=False)
    licence: str = field(init=False)
    kind: str = "distribution"
    own: bool = False
    many: bool = False
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        information = self.distribution.metadata
        self.repository = repository_of(information)
        self.commit = self.distribution.version
        self.licence = licence_of(information)

    def files(self, max_bytes: int) -> Iterator[RawFile]:
        """See `Source.files`."""
        for entry in sorted(self.distribution.files or [], key=str):
            path = entry.as_posix()
            if path.endswith(".py") and not path.startswith(".."):
                yield read_file(Path(str(entry.locate())), path, max_bytes)


def distributions(name: str, site: Path | None = None) -> list[Distribution]:
    """Distributions that are installed for this interpreter, or into a folder.

    Args:
        name: of one, or ``*`` for all (of one that is there twice the first counts).
        site: a ``site-packages`` folder; None is where this interpreter looks.

    Raises:
        SourceError: if there is none.
    """
    if site is not None and not site.is_dir():
        raise SourceError(f"no folder {site}: give the site-packages folder of an environment")
    installed = metadata.distributions(path=sys.path if site is None else [str(site)])
    unique: dict[str, metadata.Distribution] = {}
    for found in installed:
        if found.metadata["Name"]:
            unique.setdefault(_normal(found.metadata["Name"]), found)
    unique.pop("parrotlet", None)
    if name != "*":
        unique = {key: found for key, found in unique.items() if key == _normal(name)}
    if not unique:
        raise SourceError(f"no distribution {name} is installed {f'in {site}' if site else 'here'}")
    return [Distribution(unique[key]) for key in sorted(unique)]


_GITHUB = re.compile(r"https?://(?:www\.)?github\.com/([\w.-]+)/([\w.-]+?)(?:\.git)?(?:[/#?].*)?$")
_LABELS = ("source", "repository", "code", "github", "homepage", "home")


def repository_of(information: Any) -> str:
    """``owner/name`` of a distribution from its links, else ``name/name``.

    Args:
        information: metadata as `importlib.metadata` gives it.
    """
    links: list[tuple[int, str]] = []
    for line in information.get_all("Project-URL") or []:
        label, _, link = line.partition(",")
        rank = next((i for i, word in enumerate(_LABELS) if word in label.lower()), len(_LABELS))
        links.append((rank, link.strip()))
    if information.get("Home-page"):
        links.append((_LABELS.index("homepage"), information["Home-page"].strip()))
    for _, link in sorted(links, key=lambda pair: pair[0]):
        match = _GITHUB.match(link)
        if match and match[1].lower() != "sponsors":
            return f"{match[1]}/{match[2]}"
    name = _normal(str(information["Name"]))
    return f"{name}/{name}"


def licence_of(information: Any) -> str:
    """SPDX expression of a distribution's metadata; "" if unknown."""
    return from_metadata(
        _value(information, "License-Expression"),
        information.get_all("Classifier") or [],
        _value(information, "License"),
    )


def _value(information: Any, name: str) -> str | None:
    found = information.get_all(name)
    return str(found[0]) if found else None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
