"""Text of other files comes into prompts, within its bounds, and does not slow typing down."""

from __future__ import annotations

import asyncio
import statistics
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types

from parrotlet_server.engine import Related, Request
from parrotlet_server.engine.context.definitions import definitions
from parrotlet_server.lsp.context import CrossFile
from parrotlet_server.lsp.documents import Documents
from parrotlet_server.lsp.edits import MOST, NEAR, RecentEdits
from parrotlet_server.lsp.files import LARGEST, Files, View
from parrotlet_server.lsp.notebooks import Notebooks
from parrotlet_server.lsp.settings import Settings

from ..support.lsp_client import client
from ..support.tiny_model import DOCUMENTS
from .test_state_reuse import LINE, TEXT, type_line

MAIN = "from store import Inventory\nfrom credentials import KEY\n\n\ndef run():\n    stock = Inv"
STORE = DOCUMENTS["inventory.py"]
TOLD = Related("store.py", definitions(STORE)["Inventory"])


@pytest.fixture
def folder(tmp_path):
    """A workspace."""
    (tmp_path / "store.py").write_text(STORE, encoding="utf-8")
    (tmp_path / "credentials.py").write_text("KEY = 'very secret'\n", encoding="utf-8")
    return tmp_path


# in a real server


def length_of(engine, related=(), text=MAIN):
    """Of the prompt of `text`."""
    request = Request(text, "", path="main.py", related=related)
    return engine.complete(request).prompt_tokens


def wait_for_length(session, uri, length):
    """Asks until the prompt has the length: the choice of the text takes its time."""

    def has_length():
        session.inline(uri, MAIN.count("\n"), 15)
        return session.call("parrotlet/statistics")["last"]["promptTokens"] == length

    session.wait_until(has_length)


def test_imported_definitions_come_in_and_secrets_do_not(model, engine, folder):
    with client("--model", model, settings={"context": "imports"}) as session:
        session.start(rootUri=folder.as_uri())
        uri = (folder / "main.py").as_uri()
        session.open(uri, MAIN)
        wait_for_length(session, uri, length_of(engine, (TOLD,)))
        # an open document wins over the file, and its edits are seen from the next block on
        session.open((folder / "store.py").as_uri(), "class Inventory: ...\n")
        session.change((folder / "store.py").as_uri(), ((0, 0), (0, 0), "# new\n"))
        changed = Related("store.py", "class Inventory: ...\n")
        wait_for_length(session, uri, length_of(engine, (changed,)))
        session.settings = {"context": "off"}
        session.notify("workspace/didChangeConfiguration", {"settings": None})
        wait_for_length(session, uri, length_of(engine))
        assert session.shut_down() == 0
        assert "Traceback" not in session.stderr()


def test_a_typed_character_costs_as_little_as_without(model, engine, folder):
    with client("--model", model, settings={"context": "all"}) as session:
        session.start(rootUri=folder.as_uri())
        uri = (folder / "main.py").as_uri()
        before, after = TEXT.split(LINE)
        above = "from store import Inventory, report\n" + before
        plain = engine.complete(Request(above, "\n" + after, path="main.py")).prompt_tokens
        session.open((folder / "other.py").as_uri(), STORE.replace("items", "things"))
        session.open(uri, above + "\n" + after)

        def is_chosen():
            session.inline(uri, above.count("\n"), 0)
            return session.call("parrotlet/statistics")["last"]["promptTokens"] > plain + 30

        session.wait_until(is_chosen)
        accounts = type_line(session, uri, above.count("\n"), "        zebra_q7 = okapi(w3, 11)")
        assert len(accounts) > 10
        assert statistics.median(account["promptTokens"] for account in accounts) > plain + 30
        assert statistics.median(account["evaluatedTokens"] for account in accounts[1:]) <= 3
        assert session.shut_down() == 0


# the choice


class Chooser:
    """Cross-file text as a session has it, with patience for a busy machine."""

    def __init__(self, folder):
        self.documents = Documents()
        notebooks = Notebooks(self.documents)
        self.folder = folder
        self.cross_file = CrossFile(self.documents, notebooks, lambda: [folder.as_uri()])

    def open(self, name, text):
        uri = (self.folder / name).as_uri()
        self.documents.open(types.TextDocumentItem(uri, "python", 1, text))
        return uri

    def related(self, name, prefix, suffix="", **settings):
        """What is chosen, once it is."""
        uri = (self.folder / name).as_uri()
        settings = Settings(**{"context": "all", **settings})

        async def chosen():
            request = Request(prefix, suffix, document=uri)
            await self.cross_file.with_related(request, settings)
            await asyncio.gather(*self.cross_file._tasks)
            return (await self.cross_file.with_related(request, settings)).related

        return asyncio.run(chosen())


@pytest.fixture
def chooser(folder):
    chooser = Chooser(folder)
    chooser.open("main.py", MAIN)
    return chooser


def test_passages_of_other_open_documents(chooser):
    uri = chooser.open("other.py", DOCUMENTS["numbers.py"])
    chooser.open("main.py", "")
    before = DOCUMENTS["numbers.py"][:150]
    (related,) = chooser.related("main.py", before)
    assert related.path == "other.py"
    chooser.documents.close(uri)
    chooser.documents.edits.note("file:///x.py", types.TextDocumentContentChangeWholeDocument(""))
    assert chooser.related("main.py", before) == ()


def test_no_request_overtakes_an_older_one_when_the_settings_change(chooser):
    """The older one would otherwise come last, and end the newer one's wait."""
    uri = (chooser.folder / "main.py").as_uri()
    through = []

    async def ask(prefix, context):
        request = Request(prefix, "", document=uri)
        await chooser.cross_file.with_related(request, Settings(context=context))
        through.append(prefix)

    async def type_three():
        asked = [("a", "all"), ("ab", "off"), ("abc", "all")]
        await asyncio.gather(*(ask(*one) for one in asked))

    asyncio.run(type_three())
    assert through == ["a", "ab", "abc"]


def test_secrets_and_excluded_files_are_no_passages(chooser):
    text = DOCUMENTS["numbers.py"]
    chooser.open("credentials.py", text)
    chooser.open("private/a.py", text)
    assert chooser.related("main.py", text[:150], exclude=("private/",)) == ()
    assert [one.path for one in chooser.related("main.py", text[:150])] == ["private/a.py"]


def test_it_stays_while_one_writes_in_a_block(chooser, folder):
    text = MAIN.removesuffix("Inv")
    first = chooser.related("main.py", text)
    assert first == (TOLD,)
    (folder / "store.py").write_text("class Inventory: ...\n", encoding="utf-8")
    assert chooser.related("main.py", text + "Inventory()\n    more") is first
    (later,) = chooser.related("main.py", text + "\n\ndef another():\n    Inventory")
    assert later.text == "class Inventory: ...\n"


def test_another_budget_or_rule_chooses_anew(chooser):
    assert chooser.related("main.py", MAIN)
    assert chooser.related("main.py", MAIN, exclude=("store.py",)) == ()
    assert chooser.related("main.py", MAIN, context="off") == ()
    assert chooser.related("main.py", MAIN, context="similar") == ()


def test_an_opened_document_is_looked_at_beforehand(chooser):
    uri = (chooser.folder / "main.py").as_uri()

    async def opened(**settings):
        chooser.cross_file.warm(uri, Settings(**settings))
        chooser.cross_file.warm("file:///never.py", Settings(**settings))
        await asyncio.gather(*chooser.cross_file._tasks)

    asyncio.run(opened(context="off"))
    assert chooser.cross_file._chosen == {}
    asyncio.run(opened(context="all"))
    ((_, related),) = chooser.cross_file._chosen.values()
    assert related == (TOLD,)


@pytest.mark.parametrize("uri", ["file://[", "", "untitled:Untitled-1", "x\0y"])
def test_odd_names_of_documents_are_passed_over(chooser, uri):
    chooser.documents.open(types.TextDocumentItem(uri, "python", 1, MAIN))
    chooser.cross_file.warm("file:///never.py", Settings())
    assert chooser.related("main.py", MAIN) == (TOLD,)

    async def asked():
        await chooser.cross_file.with_related(Request(MAIN, "", document=uri), Settings())
        await asyncio.gather(*chooser.cross_file._tasks)

    asyncio.run(asked())


def test_what_is_excluded_goes_at_once(chooser):
    assert chooser.related("main.py", MAIN) == (TOLD,)
    request = Request(MAIN, "", document=(chooser.folder / "main.py").as_uri())

    async def asked():
        async with chooser.cross_file._turn:  # the choice takes its time
            settings = Settings(context="all", exclude=("store.py",))
            return await chooser.cross_file.with_related(request, settings)

    chooser.cross_file._turn, chooser.cross_file._order = asyncio.Lock(), asyncio.Lock()
    assert asyncio.run(asked()).related == ()


def test_what_was_chosen_for_closed_documents_is_dropped(chooser):
    uri = chooser.open("closed.py", MAIN)
    chooser.related("closed.py", MAIN)
    chooser.documents.close(uri)
    chooser.related("main.py", MAIN)
    assert list(chooser.cross_file._chosen) == [(chooser.folder / "main.py").as_uri()]


def test_a_request_does_not_overtake_an_older_one(chooser):
    order = []

    async def ask(name, prefix):
        request = Request(prefix, "", document=(chooser.folder / name).as_uri())
        await chooser.cross_file.with_related(request, Settings(context="all"))
        order.append(name)

    async def asked():
        await ask("b.py", "")  # known from here on
        order.clear()
        await asyncio.gather(ask("main.py", MAIN), ask("b.py", ""), ask("main.py", MAIN + "\n"))

    chooser.open("b.py", "")
    asyncio.run(asked())
    assert order == ["main.py", "b.py", "main.py"]


# files


def view(folder, texts=None, exclude=(), files=None):
    return View(files or Files(), [folder.as_posix()], exclude, texts or {})


def test_files_are_read_until_they_change(folder):
    files = Files()
    path = (folder / "store.py").as_posix()
    assert view(folder, files=files).read(path) == STORE
    (folder / "store.py").write_text("x = 1\r\n", encoding="utf-8", newline="")
    assert view(folder, files=files).read(path) == "x = 1\n"
    (folder / "store.py").unlink()
    assert view(folder, files=files).read(path) is None


def test_what_is_never_read(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "a.py"
    outside.write_text("x = 1", encoding="utf-8")
    (folder / "large.py").write_text("x = 1\n" * LARGEST, encoding="utf-8")
    (folder / "binary.py").write_bytes(b"\xff\xfe\x00")
    (folder / "folder.py").mkdir()
    (folder / "innocent.py").symlink_to(folder / "credentials.py")
    (folder / "link.py").symlink_to(outside)
    (folder / "fine.py").symlink_to(folder / "store.py")
    names = ["credentials.py", "large.py", "binary.py", "folder.py", "innocent.py", "link.py"]
    for name in [*names, "missing.py", "store.txt", "nul\0.py"]:
        assert view(folder).read(f"{folder.as_posix()}/{name}") is None
    assert view(folder).read(outside.as_posix()) is None
    assert view(folder).read((folder / "fine.py").as_posix()) == STORE
    assert view(folder, exclude=("fine.py",)).read((folder / "fine.py").as_posix()) is None
    assert view(folder, {"/x/credentials.py": "x"}).read("/x/credentials.py") is None
    assert view(folder, {"/x/a.py": "x"}).read("/x/a.py") == "x"
    for glob in ("a.py", "x/", "/x/a.py"):  # open, but in no folder of the workspace
        assert view(folder, {"/x/a.py": "x"}, exclude=(glob,)).read("/x/a.py") is None
    opened = (folder / "innocent.py").as_posix()
    assert view(folder, {opened: "KEY = 'very secret'"}).read(opened) is None


# edits

EDITS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 200)))


@given(EDITS)
def test_the_last_edits_are_kept(edits):
    recent = RecentEdits()
    for uri, line in edits:
        start = SimpleNamespace(start=types.Position(line, 0))
        recent.note(uri, types.TextDocumentContentChangePartial(start, ""))
    assert len(recent.places) <= MOST
    if edits:
        assert (recent.places[-1].uri, recent.places[-1].line) == edits[-1]
    for number, one in enumerate(recent.places):
        for other in recent.places[number + 1 :]:
            assert one.uri != other.uri or abs(one.line - other.line) > NEAR
    assert recent.elsewhere("a") == sum(uri != "a" for uri, _ in edits)
