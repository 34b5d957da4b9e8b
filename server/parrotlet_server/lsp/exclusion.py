"""Files in which nothing is suggested: those that the user excludes, and those that hold secrets.

Of the latter nothing is ever read into the model, whatever the settings and the editor's idea of
the language say.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import translate
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

# fmt: off
_SECRET_FILES = [
    ".env", ".env.*", "*.env", ".envrc", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks",
    "*.keystore", "*.kdbx", "*.ppk", "*.asc", "*.gpg", "id_rsa*", "id_dsa*", "id_ecdsa*",
    "id_ed25519*", ".netrc", "_netrc", ".pypirc", ".npmrc", ".pgpass", ".my.cnf", ".htpasswd",
    ".git-credentials", ".dockercfg", "credentials*", "*_credentials.*", "*-credentials.*",
    ".credentials*", "secret", "secret.*", "secrets", "secrets.*", ".secrets", ".secrets.*",
    "*_secrets.*", "*-secrets.*", ".vault_pass*", "vault_pass*", "*.tfvars", "*.tfstate",
]
# fmt: on
_SECRET_FOLDERS = {".aws", ".ssh", ".gnupg", ".docker", ".kube"}
_SECRET_FILE = re.compile("|".join(map(translate, _SECRET_FILES)))


def holds_secrets(path: str) -> bool:
    """Whether the file is of a kind that holds passwords or keys, by its name alone.

    Args:
        path: of the file, absolute or not, with forward slashes.
    """
    # some systems do not tell names apart by case, and a secret is one on all of them
    *folders, name = path.lower().split("/")
    return _SECRET_FILE.match(name) is not None or not _SECRET_FOLDERS.isdisjoint(folders)


def is_excluded(path: str, globs: tuple[str, ...]) -> bool:
    """Whether `globs`, as in a ``.gitignore`` at the workspace folder's root, name the file.

    Args:
        path: of the file below that folder, with forward slashes; the whole path of one that is
            in no folder of the workspace.
        globs: that `check_globs` has passed.
    """
    return bool(globs) and _compiled(globs).match_file(path.lstrip("/"))


def check_globs(globs: Sequence[str]) -> tuple[str, ...]:
    """The same patterns, once they are known to make sense.

    Raises:
        ValueError: if one of them does not.
    """
    for glob in globs:
        _compiled((glob,))  # its error is a ValueError
    return tuple(globs)


@lru_cache(maxsize=16)
def _compiled(globs: tuple[str, ...]) -> GitIgnoreSpec:
    # Imported here: most users exclude nothing.
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(globs)
