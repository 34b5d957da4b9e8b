"""What the workspace's files say beside the model, in a real server."""

from __future__ import annotations

import asyncio
import math
import os
import time

import pytest
from lsprotocol import types

from parrotlet_server.lsp import workspace
from parrotlet_server.lsp.documents import Documents
from parrotlet_server.lsp.files import Files
from parrotlet_server.lsp.workspace import LATE, SOON, WorkspaceNgrams, _nearest, _python_files

from ..support.lsp_client import client

PHRASE = "def grind(beans):\n    return quern_of(maize, coarse=False)\n" * 9
MAIN = "import os\n\n\ndef brew(beans):\n    ground = quern_of("
TAKEN_UP = "maize, coarse=False)"


@pytest.fixture
def folder(tmp_path):
    """A workspace."""
    for path, text in {
        "shop/mill.py": PHRASE,
        "shop/tests/test_mill.py": "x = 1\n",
        "credentials.py": "KEY = 'very secret'\n",
        "generated/tables.py": "y = 2\n",
        "huge.py": "z = 3\n" * 20_000,
        "broken.py": b"\xff\xfe",
        "notes.txt": "quern_of(nothing)",
        ".hidden/a.py": "a = 1\n",
        "node_modules/b.py": "b = 1\n",
        "lib/site-packages/c.py": "c = 1\n",
        "venv/pyvenv.cfg": "",
        "venv/d.py": "d = 1\n",
    }.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return tmp_path


def files_of(session):
    return session.call("parrotlet/statistics")["workspaceFiles"]


def suggested(session, uri):
    items = session.inline(uri, MAIN.count("\n"), len(MAIN.rpartition("\n")[2]))
    return items[0]["insertText"] if items else ""


def started(session, folder):
    session.start(rootUri=folder.as_uri())
    uri = (folder / "shop/main.py").as_uri()
    session.open(uri, MAIN)
    suggested(session, uri)  # waits for the model, and looks at the workspace
    return uri


def test_the_workspaces_phrases_are_taken_up_and_forgotten(model, folder):
    settings = {"exclude": ["generated/"], "context": "off", "debounce": 0}
    with client("--model", model, settings=settings) as session:
        uri = started(session, folder)
        # mill.py, test_mill.py and the open document
        session.wait_until(lambda: files_of(session) == 3)
        # what was suggested before counts no more, but where one may be typing it
        session.inline(uri, 1, 0)
        assert suggested(session, uri) == TAKEN_UP
        # nor at another place
        session.change(uri, ((3, 0), (3, 0), "# brewing\n"))
        items = session.inline(uri, MAIN.count("\n") + 1, len(MAIN.rpartition("\n")[2]))
        assert items[0]["insertText"] == TAKEN_UP
        session.settings = {**settings, "recall": "file"}
        session.notify("workspace/didChangeConfiguration", {"settings": None})
        session.wait_until(lambda: files_of(session) == 0)
        assert session.shut_down() == 0
        assert "Traceback" not in session.stderr()


@pytest.mark.parametrize("settings", [{"recall": "file"}, {"recall": "off"}, {"enable": False}])
def test_no_file_is_looked_at_unless_wanted(model, folder, settings):
    with client("--model", model, settings={**settings, "context": "off"}) as session:
        uri = started(session, folder)
        session.notify("textDocument/didSave", {"textDocument": {"uri": uri}})
        time.sleep(1)  # a look at this folder takes a fraction of it
        assert files_of(session) == 0
        session.change(uri, ((3, 0), (3, 0), "# brewing\n"))
        items = session.inline(uri, MAIN.count("\n") + 1, len(MAIN.rpartition("\n")[2]))
        assert TAKEN_UP not in [item["insertText"] for item in items or ()]
        assert session.shut_down() == 0


def test_what_is_saved_counts_from_then_on(model, folder):
    with client("--model", model, settings={"context": "off"}) as session:
        started(session, folder)
        session.wait_until(lambda: files_of(session) == 4)
        before = session.call("parrotlet/statistics")["workspaceTokens"]
        (folder / "shop/more.py").write_text("n = [1, 2, 3]\n", encoding="utf-8")
        (folder / "shop/tests/test_mill.py").unlink()
        uri = (folder / "shop/more.py").as_uri()

        def renewed():
            session.notify("textDocument/didSave", {"textDocument": {"uri": uri}})
            now = session.call("parrotlet/statistics")
            return now["workspaceFiles"] == 4 and now["workspaceTokens"] != before

        session.wait_until(renewed)
        assert session.shut_down() == 0


def test_a_session_ends_while_files_are_read(model, tmp_path):
    for number in range(300):
        (tmp_path / f"m{number}.py").write_text(PHRASE * 50, encoding="utf-8")
    with client("--model", model) as session:
        started(session, tmp_path)
        assert session.shut_down() == 0
        assert "Traceback" not in session.stderr()


def test_links_are_followed_no_further_than_the_workspace(model, folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "far.py").write_text(PHRASE, encoding="utf-8")
    (folder / "linked").symlink_to(outside)
    (folder / "linked.py").symlink_to(outside / "far.py")
    (folder / "harmless.py").symlink_to(folder / "credentials.py")
    with client("--model", model, settings={"context": "off"}) as session:
        started(session, folder)
        session.wait_until(lambda: files_of(session) > 0)
        assert files_of(session) == 4
        assert session.shut_down() == 0


# by itself


def test_files_near_open_documents_come_first():
    paths = ["/w/a/x.py", "/w/b/c/y.py", "/w/b/z.py", "/w/v.py", "/other/u.py"]
    assert _nearest(paths, ["/w/b/open.py"]) == [
        "/w/b/c/y.py",
        "/w/b/z.py",
        "/w/a/x.py",
        "/w/v.py",
        "/other/u.py",
    ]


def walked(*folders, texts=()):
    found = [path for path, _ in _python_files(map(str, folders), map(str, texts), lambda: False)]
    assert len(found) == len(set(found))
    return sorted(found)


def test_a_disk_is_not_walked_to_its_end(tmp_path, monkeypatch):
    for number in range(20):
        (tmp_path / f"f{number:02}").mkdir()
        (tmp_path / f"f{number:02}/a.py").write_text("", encoding="utf-8")
    assert len(walked(tmp_path)) == 20
    monkeypatch.setattr(workspace, "MOST_ENTRIES", 25)
    assert len(walked(tmp_path)) == 5
    # what is being worked on is found all the same
    assert f"{tmp_path}/f19/a.py" in walked(tmp_path, texts=[tmp_path / "f19/new.py"])
    assert walked(tmp_path / "none", f"{tmp_path}/\0", f"{tmp_path}/\ud800") == []


def test_a_folder_of_data_does_not_hide_the_others(tmp_path, monkeypatch):
    for name, count in (("data", 30), ("src", 3)):
        (tmp_path / name).mkdir()
        for number in range(count):
            (tmp_path / name / f"{number}.py").write_text("", encoding="utf-8")
    monkeypatch.setattr(workspace, "MOST_IN_FOLDER", 20)
    assert walked(tmp_path) == [f"{tmp_path}/src/{number}.py" for number in range(3)]


def test_what_was_built_and_environments_are_none_of_the_workspace(tmp_path):
    for path in ("pyproject.toml", "a.py", "build/lib/a.py", "src/build/b.py", "conda/conda-meta/c",
                 "conda/lib/d.py", "pyvenv.cfg"):  # fmt: skip
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("", encoding="utf-8")
    assert walked(tmp_path) == [f"{tmp_path}/a.py", f"{tmp_path}/src/build/b.py"]


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.py")
    assert walked(tmp_path) == []
    assert Files().read(str(tmp_path / "a.py")) is None


class Looker:
    """N-grams of a workspace, without a server."""

    def __init__(self, tokenizer, *folders):
        self.documents = Documents()
        self.folders = [folder.as_uri() for folder in folders]
        self.ngrams = WorkspaceNgrams(self.documents, lambda: self.folders)
        self.tokenizer = tokenizer

    def open(self, uri, text):
        self.documents.open(types.TextDocumentItem(uri, "python", 1, text))

    async def look(self, exclude=()):
        self.ngrams._looked = -math.inf
        self.ngrams.look(self.tokenizer, exclude, SOON)
        await self.ngrams._task
        return sorted(path.rpartition("/")[2] for path in self.ngrams.snapshot.numbers)


@pytest.fixture
def looker(engine, folder):
    return Looker(engine.tokenizer, folder)


def test_other_rules_and_folders_begin_anew(looker, folder):
    async def run():
        assert await looker.look() == ["mill.py", "tables.py", "test_mill.py"]
        assert await looker.look(("generated/",)) == ["mill.py", "test_mill.py"]
        looker.folders.append((folder / "shop").as_uri())
        assert await looker.look(("/mill.py",)) == ["tables.py", "test_mill.py"]

    asyncio.run(run())


def test_a_look_under_other_rules_counts_no_more(looker):
    async def run():
        looker.ngrams.look(looker.tokenizer, (), SOON)
        looker.ngrams.forget()  # before it has begun
        await looker.ngrams._task
        assert looker.ngrams.snapshot is None
        # nor does it hold up the next one
        looker.ngrams.look(looker.tokenizer, ("generated/",), LATE)
        await looker.ngrams._task
        assert len(looker.ngrams.snapshot.numbers) == 2

    asyncio.run(run())


def test_a_look_too_soon_is_made_up_for(looker, folder, monkeypatch):
    monkeypatch.setattr(workspace, "SOON", 0.2)

    async def run():
        looker.ngrams.look(looker.tokenizer, (), 0.2)
        await looker.ngrams._task
        (folder / "more.py").write_text("m = 1\n", encoding="utf-8")
        looker.ngrams.look(looker.tokenizer, (), LATE)
        assert looker.ngrams._again is None
        looker.ngrams.look(looker.tokenizer, (), 0.2)
        assert looker.ngrams._again is not None
        deadline = time.monotonic() + 10
        while len(looker.ngrams.snapshot.numbers) != 4 and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        assert len(looker.ngrams.snapshot.numbers) == 4

    asyncio.run(run())


def test_what_has_not_changed_is_not_read_again(looker, folder):
    async def run():
        await looker.look()
        before = looker.ngrams.snapshot
        await looker.look()
        assert looker.ngrams.snapshot is before
        (folder / "shop/mill.py").write_text("x = 1\n", encoding="utf-8")
        await looker.look()
        assert looker.ngrams.snapshot.tokens < before.tokens

    asyncio.run(run())


def test_a_file_counts_once_whatever_leads_to_it(looker, folder):
    (folder / "alias.py").symlink_to(folder / "shop/mill.py")
    real = folder / "shop/mill.py"
    linked = folder.parent / "linked"
    linked.symlink_to(folder)

    async def run():
        assert await looker.look() == ["mill.py", "tables.py", "test_mill.py"]
        number = looker.ngrams.number(str(real))
        assert number is not None
        assert looker.ngrams.number(str(folder / "alias.py")) == number
        assert looker.ngrams.number(str(linked / "shop/mill.py")) == number
        assert looker.ngrams.number(str(folder / "new.py")) is None

    asyncio.run(run())


def test_an_open_document_counts_before_its_file_and_an_older_state_of_it_does_not(looker, folder):
    async def run():
        await looker.look()
        before = looker.ngrams.snapshot.tokens
        path = (folder / "shop/mill.py").as_posix()
        looker.open(f"git:{path}?ref=HEAD", PHRASE * 20)
        await looker.look()
        assert looker.ngrams.snapshot.tokens == before
        looker.open(f"file://{path}", "x = 1\n")
        await looker.look()
        assert looker.ngrams.snapshot.tokens < before

    asyncio.run(run())
