"""The recipe of a corpus: one YAML file with its sources and the options of every stage."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any

from .. import typed_yaml
from .licences import PERMISSIVE

Scalar = bool | int | float | str


class _Named:
    """An entry of ``sources``: its first field says what it is, and which."""

    @property
    def name(self) -> str:
        """What the entry points to."""
        first = fields(self)[0].name  # type: ignore[arg-type]
        return str(getattr(self, first))


@dataclass(frozen=True)
class FolderEntry(_Named):
    """A folder of this machine.

    Attributes:
        folder: its path.
        repository: ``owner/name``; empty: that of the git repository around it, or its own name.
        commit: empty where unknown.
        licence: SPDX expression, or ``detect`` to look at its licence files.
        exclude: paths of files or folders inside it.
        own: whether to take it whatever its licence is.
    """

    folder: str
    repository: str = ""
    commit: str = ""
    licence: str = ""
    exclude: tuple[str, ...] = ()
    own: bool = True


@dataclass(frozen=True)
class GitEntry(_Named):
    """A git repository.

    Attributes:
        git: path of a work tree or a bare repository, or a URL, which is cloned once.
        repository: ``owner/name``; empty: that of the remote called origin.
        commit: a revision; of a URL, a full hash.
        licence: SPDX expression; empty: that of its licence files.
        exclude: paths of files or folders inside it.
        own: whether to take it whatever its licence is.
    """

    git: str
    repository: str = ""
    commit: str = ""
    licence: str = ""
    exclude: tuple[str, ...] = ()
    own: bool = False


@dataclass(frozen=True)
class DistributionEntry(_Named):
    """Installed distributions.

    Attributes:
        distribution: name of one, or ``*`` for all.
        site: ``site-packages`` folder of an environment; empty: this one's.
    """

    distribution: str
    site: str = ""


@dataclass(frozen=True)
class PypiEntry(_Named):
    """A release on the package index.

    Attributes:
        pypi: ``NAME==VERSION``; there has to be a wheel.
        exclude: paths of files or folders inside it.
    """

    pypi: str
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True)
class ArchiveEntry(_Named):
    """A ``.zip`` or ``.tar.gz`` of a repository; fields as in `FolderEntry`."""

    archive: str
    repository: str = ""
    commit: str = ""
    licence: str = ""
    exclude: tuple[str, ...] = ()
    own: bool = True


@dataclass(frozen=True)
class HubEntry(_Named):
    """A data set whose rows are files of many repositories.

    Attributes:
        hub: ``owner/name`` on the Hugging Face Hub, or a folder of Parquet or JSON Lines files.
        revision: commit of the data set; a folder has none.
        config: of the data set; empty: its default.
        split: of the data set.
        text: column of the text.
        path: column of the path; empty: rows are numbered.
        repository: column of ``owner/name``; empty: all rows are of one repository.
        licence: column of the licence; empty: `fixed_licence` holds for all rows.
        commit: column of the commit; empty: none.
        fixed_licence: where a row says nothing.
    """

    hub: str
    revision: str = ""
    config: str = ""
    split: str = "train"
    text: str = "content"
    path: str = "path"
    repository: str = "repo_name"
    licence: str = "license"
    commit: str = ""
    fixed_licence: str = ""


@dataclass(frozen=True)
class BigQueryEntry(_Named):
    """A local folder of JSON Lines shards, exported as docs/corpus.md says."""

    bigquery: str


Entry = (
    FolderEntry | GitEntry | DistributionEntry | PypiEntry | ArchiveEntry | HubEntry | BigQueryEntry
)


@dataclass(frozen=True)
class RepositoryEntry:
    """A repository of the compact list; its clone lies, or is made, where ``--clones`` says.

    Attributes:
        repository: ``owner/name``.
        commit: full hash.
        licence: SPDX expression; empty: that of its licence files.
        exclude: paths of files or folders inside it.
    """

    repository: str
    commit: str
    licence: str = ""
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _is_repository(self.repository):
            raise ValueError(f"repository is owner/name, not {self.repository!r}")


@dataclass(frozen=True)
class NearDedup:
    """Near-duplicates: which are dropped.

    Attributes:
        threshold: least Jaccard similarity of two documents' 5-grams.
        against: corpus folders, none of whose documents may have a near-duplicate in this one.
    """

    threshold: float = 0.7
    against: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ValueError("threshold lies above 0 and is at most 1")


@dataclass(frozen=True)
class CorpusRecipe:
    """All that a corpus is made of, and how.

    Attributes:
        sources: words of the command line, or entries.
        repositories: compact list of git repositories at fixed commits.
        exclude_repositories: ``owner/name`` of those whose owners do not want to take part,
            whichever source they come from.
        licences: SPDX identifiers that may be learnt from.
        filters: name of a filter, and whether it runs or with which thresholds; one that is not
            named runs with its own.
        redact: replace secrets, e-mail and IP addresses.
        decontaminate: files of evaluation problems that no document may hold.
        near_dedup: false: near-duplicates stay; true: the usual options.
        quality: estimate each document's quality level.
        min_bytes: smaller files are left out.
        max_bytes: larger files are left out, unread.
        max_bytes_per_repository: text of one repository at most, so that none dominates; which
            documents stay is decided by their hash. Null: no limit.
        validation_share: share of the repositories that validate.
        holdout: build the evaluation side of the hold-out rule instead of the training side.
    """

    sources: tuple[
        str
        | FolderEntry
        | GitEntry
        | DistributionEntry
        | PypiEntry
        | ArchiveEntry
        | HubEntry
        | BigQueryEntry,
        ...,
    ] = ()
    repositories: tuple[RepositoryEntry, ...] = ()
    exclude_repositories: tuple[str, ...] = ()
    licences: tuple[str, ...] = tuple(sorted(PERMISSIVE))
    filters: dict[str, bool | dict[str, Scalar]] = field(default_factory=dict)
    redact: bool = True
    decontaminate: tuple[str, ...] = ()
    near_dedup: bool | NearDedup = True
    quality: bool = True
    min_bytes: int = 64
    max_bytes: int = 1024 * 1024
    max_bytes_per_repository: int | None = None
    validation_share: float = 0.03
    holdout: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.min_bytes <= self.max_bytes:
            raise ValueError("min_bytes is not negative and at most max_bytes")
        if self.max_bytes_per_repository is not None and self.max_bytes_per_repository < 1:
            raise ValueError("max_bytes_per_repository is positive or null")
        if not 0 <= self.validation_share < 1:
            raise ValueError("validation_share lies between 0 and 1")
        if not self.licences:
            raise ValueError("licences names at least one")
        for name in self.exclude_repositories:
            if not _is_repository(name):
                raise ValueError(f"exclude_repositories: {name!r} is not owner/name")

    @property
    def near(self) -> NearDedup | None:
        """Options of the near-deduplication; None if there is none."""
        if isinstance(self.near_dedup, NearDedup):
            return self.near_dedup
        return NearDedup() if self.near_dedup else None

    def excludes(self, repository: str) -> bool:
        """Whether ``owner/name`` is on the list of those that do not take part."""
        return repository.lower() in {name.lower() for name in self.exclude_repositories}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as YAML and JSON take them."""
        values: dict[str, Any] = typed_yaml.plain(self)
        return values

    def options(self) -> dict[str, Any]:
        """All but the sources, without folders of this machine: what a manifest may tell."""
        values = self.to_dict()
        del values["sources"], values["repositories"]
        values["decontaminate"] = [Path(file).name for file in self.decontaminate]
        if isinstance(self.near_dedup, NearDedup):
            values["near_dedup"]["against"] = [Path(f).name for f in self.near_dedup.against]
        return values


def load_corpus_recipe(name: str) -> CorpusRecipe:
    """Reads a corpus recipe by file or by the name of a shipped one.

    Raises:
        RecipeError: if there is none, or a field is unknown or of the wrong type.
    """
    shipped = {known: f"{known}.yaml" for known in shipped_corpus_recipes()}
    return typed_yaml.build(CorpusRecipe, typed_yaml.read_mapping(name, shipped))


def shipped_corpus_recipes() -> list[str]:
    """Names of the corpus recipes inside the package."""
    folder = resources.files(typed_yaml.__package__) / "recipes"
    names = [item.name for item in folder.iterdir() if item.name.endswith(".yaml")]
    return sorted(name.removesuffix(".yaml") for name in names if name.startswith("corpus-"))


def _is_repository(name: str) -> bool:
    owner, slash, short = name.partition("/")
    return bool(owner and slash and short) and "/" not in short
