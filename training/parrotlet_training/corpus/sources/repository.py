"""A git repository at a commit."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .. import git
from ..document import RawFile
from ..licences import detect
from .base import DETECT, Excluded, SourceError, without


@dataclass
class GitRepository:
    """The Python files of one commit, read from the object store (bare or not)."""

    git_dir: Path
    repository: str = ""
    commit: str = "HEAD"
    licence: str = ""
    kind: str = "git"
    own: bool = True
    excluded: Collection[str] = ()
    many: bool = False
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        try:
            self.commit = git.resolve(self.git_dir, self.commit)
            if self.licence == DETECT:
                self.licence = detect(git.licence_texts(self.git_dir, self.commit))
        except git.GitError as error:
            raise SourceError(str(error)) from error
        self.repository = self.repository or git.origin_name(self.git_dir) or self._folder_name()

    def _folder_name(self) -> str:
        path = self.git_dir.resolve()
        return path.parent.name if path.name == ".git" else path.name.removesuffix(".git")

    def files(self, max_bytes: int) -> Iterator[RawFile]:
        """See `Source.files`.

        Raises:
            SourceError: if git stops in the middle (a damaged object store).
        """
        excluded = Excluded(self.excluded)
        try:
            yield from without(git.python_files(self.git_dir, self.commit, max_bytes), excluded)
        except git.GitError as error:
            raise SourceError(str(error)) from error
        self.warnings = excluded.warnings(self.repository)
