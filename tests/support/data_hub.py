"""A server on this machine that speaks the part of the Hub's protocol that reading data needs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from .local_server import Answering, LocalServer

COMMIT = "5" * 40


class DataHub(LocalServer):
    """Serves one folder as a data set, at one commit that is also ``main``.

    Attributes:
        address: its URL.
        paths: every path that was asked for.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.paths: list[str] = []
        hub = self

        def entry(path):
            if path.is_dir():
                return {"type": "directory", "path": str(path.relative_to(folder)), "oid": "0" * 40}
            content = path.read_bytes()
            oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            size = len(content)
            return {"type": "file", "path": str(path.relative_to(folder)), "size": size, "oid": oid}

        class Handler(Answering):
            protocol_version = "HTTP/1.1"

            def do_GET(self):  # noqa: N802
                path = unquote(urlsplit(self.path).path)
                hub.paths.append(f"{self.command} {path}")
                for revision in (COMMIT, "main"):
                    if path == f"/api/datasets/{name}/revision/{revision}":
                        return self._json(self._info())
                    if path.startswith(start := f"/api/datasets/{name}/tree/{revision}"):
                        return self._tree(path.removeprefix(start).strip("/"))
                    if path.startswith(start := f"/datasets/{name}/resolve/{revision}/"):
                        return self._file(folder / path.removeprefix(start))
                if path == f"/api/datasets/{name}":
                    return self._json(self._info())
                return self._absent("RepoNotFound")

            do_HEAD = do_GET  # noqa: N815

            def do_POST(self):  # noqa: N802
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = unquote(urlsplit(self.path).path)
                hub.paths.append(f"POST {path}")
                if not path.startswith(f"/api/datasets/{name}/paths-info/"):
                    return self._absent("RepoNotFound")
                if "json" in (self.headers.get("Content-Type") or ""):
                    asked = json.loads(body)["paths"]
                else:
                    asked = parse_qs(body.decode())["paths"]
                found = [folder / p for p in ([asked] if isinstance(asked, str) else asked)]
                return self._json([entry(path) for path in found if path.exists()])

            def _info(self):
                files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
                siblings = [{"rfilename": str(p.relative_to(folder))} for p in files]
                return {"id": name, "sha": COMMIT, "siblings": siblings, "private": False}

            def _tree(self, place):
                inside = folder / place
                if not inside.exists():
                    return self._absent("EntryNotFound")
                deep = "recursive=true" in self.path.lower()
                return self._json([entry(p) for p in sorted(inside.glob("**/*" if deep else "*"))])

            def _file(self, file):
                if not file.is_file():
                    return self._absent("EntryNotFound")
                content = file.read_bytes()
                etag = f'"{hashlib.sha256(content).hexdigest()}"'
                return self._send(200, content, {"ETag": etag, "X-Repo-Commit": COMMIT})

            def _absent(self, code):
                return self._send(404, b"", {"X-Error-Code": code, "X-Repo-Commit": COMMIT})

        super().__init__(Handler)
