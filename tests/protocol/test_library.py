"""What the workspace's files say beside the model, in a real server."""

from __future__ import annotations

import pytest

from parrotlet_server.lsp import library
from parrotlet_server.lsp.library import _nearest, _python_files

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
    return session.call("parrotlet/statistics")["libraryFiles"]


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
        # another text: what was suggested for the old one stays
        session.change(uri, ((3, 0), (3, 0), "# brewing\n"))
        items = session.inline(uri, MAIN.count("\n") + 1, len(MAIN.rpartition("\n")[2]))
        assert items[0]["insertText"] == TAKEN_UP
        session.settings = {**settings, "recall": "file"}
        session.notify("workspace/didChangeConfiguration", {"settings": None})
        session.wait_until(lambda: files_of(session) == 0)
        assert session.shut_down() == 0
        assert "Traceback" not in session.stderr()


@pytest.mark.parametrize("recall", ["file", "off"])
def test_no_file_is_looked_at_unless_wanted(model, folder, recall):
    with client("--model", model, settings={"recall": recall, "context": "off"}) as session:
        uri = started(session, folder)
        assert suggested(session, uri) != TAKEN_UP
        assert files_of(session) == 0
        assert session.shut_down() == 0


def test_what_is_saved_counts_from_then_on(model, folder):
    with client("--model", model, settings={"context": "off"}) as session:
        started(session, folder)
        session.wait_until(lambda: files_of(session) == 4)
        before = session.call("parrotlet/statistics")["libraryTokens"]
        (folder / "shop/more.py").write_text("n = [1, 2, 3]\n", encoding="utf-8")
        (folder / "shop/tests/test_mill.py").unlink()
        uri = (folder / "shop/more.py").as_uri()

        def renewed():
            session.notify("textDocument/didSave", {"textDocument": {"uri": uri}})
            now = session.call("parrotlet/statistics")
            return now["libraryFiles"] == 4 and now["libraryTokens"] != before

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


def test_a_disk_is_not_walked_to_its_end(tmp_path, monkeypatch):
    for number in range(20):
        (tmp_path / f"f{number}").mkdir()
        (tmp_path / f"f{number}/a.py").write_text("", encoding="utf-8")
    assert len(list(_python_files([str(tmp_path)]))) == 20
    monkeypatch.setattr(library, "MOST_ENTRIES", 25)
    assert len(list(_python_files([str(tmp_path)]))) == 5
    assert list(_python_files([str(tmp_path / "none")])) == []
