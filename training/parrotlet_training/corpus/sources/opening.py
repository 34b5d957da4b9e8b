"""From words and recipes to sources."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ...typed_yaml import RecipeError
from .. import git
from ..recipe import (
    ArchiveEntry,
    BigQueryEntry,
    CorpusRecipe,
    DistributionEntry,
    Entry,
    FolderEntry,
    GitEntry,
    HubEntry,
    PypiEntry,
    RepositoryEntry,
    load_corpus_recipe,
)
from .archive import Archive, is_archive
from .base import DETECT, Source, SourceError
from .bigquery import BigQueryExport
from .distribution import distributions
from .folder import Folder, standard_library
from .hub import HubDataset
from .pypi import Wheel, download_release
from .repository import GitRepository

CONNECTIONS = 6
"""Downloads at once."""


def parse_source(text: str, cache: Path | None = None) -> list[Source]:
    """Sources of one command-line word.

    ``stdlib``; ``dist:NAME`` or ``dist:*`` (all installed), of another environment with
    ``@SITE-PACKAGES``; ``pypi:NAME==VERSION``; ``git:PATH[@REVISION]`` or ``git:URL@COMMIT``;
    ``hub:OWNER/NAME@COMMIT`` (columns as in codeparrot-clean; others by recipe);
    ``bigquery:FOLDER``; ``archive:FILE``; ``folder:PATH``; or a path: an archive or a wheel if it
    is a file, a git repository if it is one, else a folder.

    Args:
        text: the word.
        cache: where clones and wheels are kept; without it, nothing is downloaded.

    Raises:
        SourceError: if it names nothing that exists.
    """
    kind, colon, rest = text.partition(":")
    if text == "stdlib":
        return [standard_library()]
    if not colon or kind not in _KINDS:
        return [_by_path(_path(text))]
    if not rest:
        raise SourceError(f"{text} names nothing after the colon")
    if kind == "dist":
        name, _, site = rest.partition("@")
        return open_entry(DistributionEntry(name, site), cache)
    if kind == "pypi":
        return open_entry(PypiEntry(rest), cache)
    if kind == "hub":
        name, _, revision = rest.partition("@")
        return open_entry(HubEntry(name, revision), cache)
    if kind == "bigquery":
        return open_entry(BigQueryEntry(rest), cache)
    if kind == "archive":
        return open_entry(ArchiveEntry(rest), cache)
    if kind == "folder":
        return open_entry(FolderEntry(rest), cache)
    place, _, revision = rest.rpartition("@")
    if "@" not in rest or _path(rest).exists() or (git.is_url(rest) and "/" in revision):
        place, revision = rest, ""
    return open_entry(GitEntry(place, commit=revision, own=True), cache)


_KINDS = frozenset({"dist", "pypi", "hub", "bigquery", "archive", "folder", "git"})


def open_sources(
    recipe: CorpusRecipe,
    clones: str = "clones/{owner}/{name}",
    cache: Path | None = None,
    opened: Callable[[int, int], None] = lambda done, of: None,
) -> list[Source]:
    """All sources of a recipe, in its order: first ``sources``, then ``repositories``.

    What has to be downloaded comes over several connections at once.

    Args:
        recipe: what to open.
        clones: where ``repositories`` lie, with ``{owner}`` and ``{name}`` filled in: a path, or a
            URL, from which each is cloned once.
        cache: where clones and wheels are kept; without it, nothing is downloaded.
        opened: is told after each entry how many of how many are there.

    Raises:
        SourceError: naming the source that cannot be opened.
    """

    def load(entry: str | Entry | RepositoryEntry) -> list[Source]:
        if isinstance(entry, str):
            return parse_source(entry, cache)
        if isinstance(entry, RepositoryEntry):
            return [_repository(entry, clones, cache)]
        return open_entry(entry, cache)

    entries = (*recipe.sources, *recipe.repositories)
    sources: list[Source] = []
    pool = ThreadPoolExecutor(CONNECTIONS)
    try:
        for done, found in enumerate(pool.map(load, entries), 1):
            sources += found
            opened(done, len(entries))
    finally:
        pool.shutdown(cancel_futures=True)  # after an error nothing more is begun
    return sources


def open_entry(entry: Entry, cache: Path | None = None) -> list[Source]:
    """Sources of one entry of a recipe; see `open_sources`.

    Raises:
        SourceError: if it names nothing that exists.
    """
    if isinstance(entry, FolderEntry):
        return [
            Folder(
                _folder(entry.folder),
                entry.repository,
                entry.commit,
                entry.licence,
                own=entry.own,
                excluded=entry.exclude,
            )
        ]
    if isinstance(entry, GitEntry):
        return [
            GitRepository(
                _object_store(entry.git, entry.commit, cache),
                entry.repository,
                entry.commit or "HEAD",
                entry.licence or ("" if entry.own else DETECT),
                own=entry.own,
                excluded=entry.exclude,
            )
        ]
    if isinstance(entry, DistributionEntry):
        return [*distributions(entry.distribution, _path(entry.site) if entry.site else None)]
    if isinstance(entry, PypiEntry):
        return [Wheel(download_release(entry.pypi, _cache(cache, entry.pypi)), entry.exclude)]
    if isinstance(entry, ArchiveEntry):
        file = _path(entry.archive)
        if not file.is_file():
            raise SourceError(f"no archive {file}")
        return [
            Archive(
                file,
                entry.repository,
                entry.commit,
                entry.licence,
                own=entry.own,
                excluded=entry.exclude,
            )
        ]
    if isinstance(entry, HubEntry):
        return [
            HubDataset(
                entry.hub,
                entry.revision,
                entry.config,
                entry.split,
                entry.text,
                entry.path,
                entry.repository,
                entry.licence,
                entry.commit,
                licence=entry.fixed_licence,
            )
        ]
    return [*BigQueryExport(_path(entry.bigquery)).by_shard()]


def read_recipe(file: Path, clones: str) -> list[Source]:
    """Sources of a corpus recipe's file, none of which is downloaded; see `open_sources`.

    Raises:
        SourceError: if the file is malformed or a clone is missing.
    """
    try:
        recipe = load_corpus_recipe(str(file))
    except RecipeError as error:
        raise SourceError(f"cannot read the corpus recipe {file}: {error}") from error
    return open_sources(recipe, clones)


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _folder(text: str) -> Path:
    root = _path(text)
    if not root.is_dir():
        raise SourceError(
            f"no folder {root}: give a folder, git:PATH[@REVISION], git:URL@COMMIT, dist:NAME, "
            "dist:*, pypi:NAME==VERSION, hub:OWNER/NAME@COMMIT, bigquery:FOLDER, archive:FILE or "
            "stdlib"
        )
    return root


def _by_path(path: Path) -> Source:
    if path.is_file() and path.suffix == ".whl":
        return Wheel(path)
    if path.is_file() and is_archive(path):
        return Archive(path)
    root = _folder(str(path))
    found = git.find_git_dir(root)
    return Folder(root) if found is None else GitRepository(found)


def _cache(cache: Path | None, name: str) -> Path:
    if cache is None:
        raise SourceError(f"{name} has to be downloaded: name a cache folder")
    return cache


def _object_store(place: str, commit: str, cache: Path | None) -> Path:
    if git.is_url(place):
        try:
            return git.clone_at(place, commit, _cache(cache, place))
        except git.GitError as error:
            raise SourceError(str(error)) from error
    found = git.find_git_dir(_path(place))
    if found is None:
        raise SourceError(f"{_path(place)} is no git repository")
    return found


def _repository(entry: RepositoryEntry, clones: str, cache: Path | None) -> Source:
    owner, _, name = entry.repository.partition("/")
    try:
        place = clones.format(owner=owner, name=name)
    except (KeyError, IndexError, ValueError) as error:
        raise SourceError(f"--clones {clones}: only {{owner}} and {{name}} are known") from error
    if not git.is_url(place) and not _path(place).is_dir():
        raise SourceError(
            f"no clone of {entry.repository} at {_path(place)}: clone it there or change --clones"
        )
    (source,) = open_entry(
        GitEntry(place, entry.repository, entry.commit, entry.licence, entry.exclude), cache
    )
    return source
