"""A server on this machine that speaks as much of the Hub's protocol as a download needs."""

from __future__ import annotations

import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


class Hub:
    """Serves folders as models.

    Attributes:
        address: its URL.
        paths: every path that was asked for.
    """

    def __init__(self, models: dict[str, tuple[str, Path]]) -> None:
        """Serves each model's folder under its name, at one commit that is also ``main``."""
        self.paths: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
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
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.send_header("Content-Length", "0")
                return self.end_headers()

            do_HEAD = do_GET  # noqa: N815

            def _model(self, name, commit, folder):
                files = [{"rfilename": path.name} for path in sorted(folder.iterdir())]
                content = {"id": name, "modelId": name, "sha": commit, "siblings": files}
                self._send(json.dumps(content).encode(), {"Content-Type": "application/json"})

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
                self._send(json.dumps(files).encode(), {"Content-Type": "application/json"})

            def _file(self, file, commit):
                content = file.read_bytes()
                etag = f'"{hashlib.sha256(content).hexdigest()}"'
                self._send(content, {"ETag": etag, "X-Repo-Commit": commit})

            def _send(self, content, headers):
                self.send_response(200)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(content)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Hub:
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
