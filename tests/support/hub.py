"""A server on this machine that speaks as much of the Hub's protocol as a download needs."""

from __future__ import annotations

import hashlib
from pathlib import Path

from .local_server import Answering, LocalServer


class Hub(LocalServer):
    """Serves folders as models.

    Attributes:
        address: its URL.
        paths: every path that was asked for.
    """

    def __init__(self, models: dict[str, tuple[str, Path]]) -> None:
        """Serves each model's folder under its name, at one commit that is also ``main``."""
        self.paths: list[str] = []
        hub = self

        class Handler(Answering):
            def do_GET(self):  # noqa: N802
                hub.paths.append(self.path)
                for name, (commit, folder) in models.items():
                    path = self.path.split("?")[0]
                    for revision in (commit, "main"):
                        if path == f"/api/models/{name}/revision/{revision}":
                            return self._model(name, commit, folder)
                        if path == f"/api/models/{name}/tree/{revision}":
                            return self._tree(folder)
                    start = f"/{name}/resolve/{commit}/"
                    file = folder / self.path.removeprefix(start)
                    if self.path.startswith(start) and file.is_file():
                        return self._file(file, commit)
                return self._send(404, b"", {"X-Error-Code": "RepoNotFound"})

            do_HEAD = do_GET  # noqa: N815

            def _model(self, name, commit, folder):
                files = [{"rfilename": path.name} for path in sorted(folder.iterdir())]
                content = {"id": name, "modelId": name, "sha": commit, "siblings": files}
                self._json(content)

            def _tree(self, folder):
                files = [
                    {
                        "type": "file",
                        "path": path.name,
                        "size": path.stat().st_size,
                        "oid": "0" * 40,
                    }
                    for path in sorted(folder.iterdir())
                ]
                self._json(files)

            def _file(self, file, commit):
                content = file.read_bytes()
                etag = f'"{hashlib.sha256(content).hexdigest()}"'
                self._send(200, content, {"ETag": etag, "X-Repo-Commit": commit})

        super().__init__(Handler)
