"""A small server of our own that speaks the Hub's protocol for uploads."""

from __future__ import annotations

import base64
import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from urllib.parse import unquote, urlsplit

TOKEN = "hf_thisMustNeverBeShown"
READER = "hf_mayReadOnly"


def git_hash(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class UploadHub:
    """As much of the Hub as publishing a dataset or a model needs: the one called `name`.

    Attributes:
        address: its URL.
        name: of the one repository that there may be.
        branches: files by path, by branch; None before the repository is made.
        titles: of the commits of each branch, oldest first.
        stored: objects by SHA-256, committed or not.
        sent: SHA-256 of each object that was received whole, in order.
        commits: operations of each commit.
        requests: method and path of each request.
        hold: SHA-256 of an object whose upload hangs, once `held` is set.
        hang: whether every request but to the storage hangs until `release` is set.
        tokens: those that may write.
    """

    def __init__(self, kind="dataset", name="someone/python", port=0) -> None:
        self.name = name
        self._kind = kind
        self._large = ".parquet" if kind == "dataset" else ".safetensors"
        self._prefix = "datasets/" if kind == "dataset" else ""
        self.branches = None
        self.titles: dict[str, list[str]] = {}
        self.hang = False
        self.tokens = {TOKEN}
        self.private = None
        self.stored: dict[str, bytes] = {}
        self.sent: list[str] = []
        self.commits: list[list[dict]] = []
        self.requests: list[str] = []
        self.fail_uploads = False
        self.hold: str | None = None
        self.held, self.release = Event(), Event()
        self._lock = Lock()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self._answer("GET")

            def do_POST(self):
                self._answer("POST")

            def do_PUT(self):
                self._answer("PUT")

            def _answer(self, method):
                path = unquote(urlsplit(self.path).path)
                hub.requests.append(f"{method} {path}")
                if path.startswith("/storage/"):  # presigned: no token there
                    return self._store(path.removeprefix("/storage/"))
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if hub.hang:
                    hub.held.set()
                    hub.release.wait(60)
                    self.close_connection = True
                    return None
                token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
                if token not in (*hub.tokens, READER):
                    return self._send(401, {"error": f"no such token: {token}"})
                if token == READER and method != "GET":
                    return self._send(403, {"error": "this token may not write"})
                with hub._lock:
                    return self._send(*hub._respond(method, path, body))

            def _store(self, oid):
                if oid == hub.hold:
                    hub.held.set()
                    hub.release.wait(60)
                    self.close_connection = True
                    return None
                content = self.rfile.read(int(self.headers["Content-Length"]))
                if hub.fail_uploads:
                    return self._send(400, {"error": f"no room for {TOKEN}"})
                assert hashlib.sha256(content).hexdigest() == oid
                hub.stored[oid] = content
                hub.sent.append(oid)
                return self._send(200, {})

            def _send(self, status, content):
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self.address = f"http://127.0.0.1:{self.port}"

    def _respond(self, method, path, body):
        name = f"/api/{self._kind}s/{self.name}"
        url = f"{self.address}/{self._prefix}{self.name}"
        if path == "/api/repos/create":
            values = json.loads(body)
            assert f"{values['organization']}/{values['name']}" == self.name
            assert values.get("type", "model") == self._kind
            there = self.branches is not None
            if not there:
                self.branches = {"main": {}}
                # by either name, as the library's versions have it
                self.private = values.get("private") or values.get("visibility") == "private"
            return (409 if there else 200), {"url": url}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path == f"/{self._prefix}{self.name}.git/info/lfs/objects/batch":
            objects = []
            for item in json.loads(body)["objects"]:
                oid = item["oid"]
                action = {"upload": {"href": f"{self.address}/storage/{oid}"}}
                objects.append(item if oid in self.stored else {**item, "actions": action})
            return 200, {"transfer": "basic", "objects": objects}
        if not path.startswith(name):
            return 404, {"error": "not here"}
        if path == name:
            path += "/revision/main"
        verb, _, branch = path.removeprefix(name + "/").partition("/")
        if verb == "branch":
            if branch in self.branches:
                return 409, {"error": "it is there"}
            self.branches[branch] = dict(self.branches["main"])
            self.titles[branch] = []
            return 200, {}
        files = (self.branches or {}).get(branch)
        if files is None:
            return 404, {"error": "no such branch"}
        if verb == "commits":
            return 200, [self._told(title) for title in reversed(self.titles[branch])]
        if verb == "revision":
            return 200, {"id": self.name, "sha": self._commit(branch), "siblings": []}
        if verb == "tree":
            return 200, [self._entry(path, content) for path, content in sorted(files.items())]
        if verb == "preupload":
            return 200, {
                "files": [
                    {
                        "path": file["path"],
                        "uploadMode": "lfs" if file["path"].endswith(self._large) else "regular",
                        "shouldIgnore": False,
                        "oid": None,
                    }
                    for file in json.loads(body)["files"]
                ]
            }
        assert (method, verb) == ("POST", "commit")
        operations = [json.loads(line) for line in body.splitlines()]
        for operation in operations:
            key, value = operation["key"], operation["value"]
            if key == "header":
                self.titles.setdefault(branch, []).append(value["summary"])
            elif key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self.stored[value["oid"]]  # it must have been sent
            elif key == "deletedFile":
                del files[value["path"]]
        self.commits.append(operations)
        oid = self._commit(branch)
        return 200, {"commitUrl": f"{url}/commit/{oid}", "commitOid": oid}

    def _commit(self, branch):
        return hashlib.sha1(repr(sorted(self.branches[branch].items())).encode()).hexdigest()

    def _told(self, title):
        date = "2026-11-22T00:00:00.000Z"
        return {"id": git_hash(title.encode()), "title": title, "message": "", "date": date} | {
            "authors": []
        }

    def _entry(self, path, content):
        entry = {"type": "file", "path": path, "size": len(content), "oid": git_hash(content)}
        if path.endswith(self._large):
            oid = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 130}
        return entry

    def __enter__(self):
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
