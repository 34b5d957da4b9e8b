"""A cell of a notebook is completed as if the cells before it stood above it."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lsprotocol import types

from parrotlet_server.engine import Request
from parrotlet_server.lsp.documents import Documents
from parrotlet_server.lsp.notebooks import Notebooks

from ..support.lsp_client import CAPABILITIES, client, span
from ..support.tiny_model import DOCUMENTS
from .test_state_reuse import type_key

FIRST, SECOND = DOCUMENTS["shapes.py"].split("\n\n\n", 2)[:2]
START = "def rectangle_area(width, height):\n    if width < 0 or "


class Editor:
    """A notebook as an editor shows it, told to a server as VS Code does."""

    def __init__(self, session, file, scheme="vscode-notebook-cell"):
        self.session = session
        self.uri = f"file://{file}"
        self.base = f"{scheme}:{file}"
        self.cells = []
        self.count = 0

    def cell(self, kind=2):
        self.count += 1
        return {"kind": kind, "document": f"{self.base}#W{self.count}"}

    def item(self, cell, text, language="python"):
        return {"uri": cell["document"], "languageId": language, "version": 1, "text": text}

    def open(self, *texts):
        self.cells = [self.cell() for _ in texts]
        items = [self.item(cell, text) for cell, text in zip(self.cells, texts, strict=True)]
        notebook = {
            "uri": self.uri,
            "notebookType": "jupyter-notebook",
            "version": 1,
            "cells": self.cells,
        }
        params = {"notebookDocument": notebook, "cellTextDocuments": items}
        self.session.notify("notebookDocument/didOpen", params)

    def change(self, **cells):
        params = {
            "notebookDocument": {"uri": self.uri, "version": 2},
            "change": {"cells": cells},
        }
        self.session.notify("notebookDocument/didChange", params)

    def splice(self, start, count, cells, opened=(), closed=()):
        array = {"start": start, "deleteCount": count, "cells": cells}
        self.cells[start : start + count] = cells
        self.change(
            structure={
                "array": array,
                "didOpen": list(opened),
                "didClose": [{"uri": cell["document"]} for cell in closed],
            }
        )

    def insert(self, number, text, language="python", kind=2):
        cell = self.cell(kind)
        self.splice(number, 0, [cell], opened=[self.item(cell, text, language)])

    def write(self, number, start, text, end=None):
        change = {"range": span(start, start if end is None else end), "text": text}
        document = {"uri": self.cells[number]["document"], "version": 2}
        self.change(textContent=[{"document": document, "changes": [change]}])

    def asked(self, number, line, character):
        """The suggestion in a cell and the length of its prompt; None if there is none."""
        items = self.session.inline(self.cells[number]["document"], line, character)
        last = self.session.call("parrotlet/statistics")["last"]
        return (items[0]["insertText"], last["promptTokens"]) if items else None


@pytest.fixture
def editor(shared, new_uri):
    """An editor with a notebook in the model's folder; the file's name is shapes.py's."""
    file = new_uri("shapes.ipynb").removeprefix("file://")
    editor = Editor(shared, file)
    yield editor
    shared.notify(
        "notebookDocument/didClose",
        {
            "notebookDocument": {"uri": editor.uri},
            "cellTextDocuments": [{"uri": cell["document"]} for cell in editor.cells],
        },
    )


@pytest.fixture
def expected(engine):
    """Gives what the engine suggests after cells, and the length of its prompt."""

    def expected(*cells, suffix=""):
        done = engine.complete(Request("\n\n".join(cells), suffix, path="shapes.ipynb"))
        return done.suggestion.text, done.prompt_tokens

    return expected


def test_the_server_asks_for_the_cells_of_python(server):
    offered = {**CAPABILITIES, "notebookDocument": {"synchronization": {}}}
    capabilities = server.initialize(capabilities=offered)["capabilities"]
    (selector,) = capabilities["notebookDocumentSync"]["notebookSelector"]
    assert selector == {"notebook": "*", "cells": [{"language": "python"}]}


def test_earlier_cells_are_the_text_above(editor, expected):
    editor.open(FIRST, SECOND, START, "def later():\n    return width\n")
    assert editor.asked(2, 1, 22) == expected(FIRST, SECOND, START)
    assert expected(FIRST, SECOND, START) != expected(START)


def test_the_cells_own_text_below_stays_below(editor, expected):
    below = "\n        raise ValueError('a side is negative')\n    return width * height\n"
    editor.open(FIRST, START + below)
    assert editor.asked(1, 1, 22) == expected(FIRST, START, suffix=below)


def test_magics_do_not_count(editor, expected):
    editor.open(
        "%matplotlib inline\n" + FIRST,
        "%%bash\necho 'it is\n",
        "files = !ls\n" + SECOND + "\n!pip install x",
        "text = '''never ended",
        "%%time\n" + START,
    )
    assert editor.asked(4, 2, 22) == expected(FIRST, SECOND, START)


def test_nothing_is_suggested_in_what_is_not_python(editor):
    editor.open(f"%%bash\n{START}", "import math\n%matplotlib ", START)
    assert editor.asked(0, 2, 22) is None
    assert editor.asked(1, 1, 12) is None
    assert editor.asked(2, 1, 22)


def test_cells_come_go_and_move(editor, expected):
    editor.open(START)
    editor.insert(0, SECOND)
    editor.insert(0, FIRST)
    assert editor.asked(2, 1, 22) == expected(FIRST, SECOND, START)
    first, second, last = editor.cells
    editor.splice(0, 3, [second, first, last])
    assert editor.asked(2, 1, 22) == expected(SECOND, FIRST, START)
    editor.splice(0, 1, [], closed=[second])
    assert editor.asked(1, 1, 22) == expected(FIRST, START)
    editor.splice(0, 2, [last, first])
    assert editor.asked(0, 1, 22) == expected(START)


def test_texts_of_cells_change(editor, expected):
    editor.open("", START[:-3])
    editor.write(0, (0, 0), FIRST)
    editor.write(1, (1, 19), "or ")
    assert editor.asked(1, 1, 22) == expected(FIRST, START)
    editor.write(0, (0, 0), "", end=(99, 0))
    assert editor.asked(1, 1, 22) == expected(START)


def test_only_code_cells_of_python_count(editor, expected):
    editor.open(START)
    editor.insert(0, "# Areas of plane shapes", "markdown", kind=1)
    editor.insert(0, "SELECT area FROM shapes", "sql")
    editor.insert(0, FIRST)
    assert editor.asked(3, 1, 22) == expected(FIRST, START)
    # a cell is made one of another kind: closed and opened again
    cell = editor.cells[0]
    editor.splice(
        0, 1, [{**cell, "kind": 1}], opened=[editor.item(cell, FIRST, "markdown")], closed=[cell]
    )
    assert editor.asked(3, 1, 22) == expected(START)
    editor.change(data=[{"kind": 1, "document": editor.cells[3]["document"]}])
    assert editor.asked(3, 1, 22) == expected(START)


def test_a_closed_notebook_is_forgotten(shared, editor):
    editor.open(FIRST, START)
    shared.notify(
        "notebookDocument/didClose",
        {"notebookDocument": {"uri": editor.uri}, "cellTextDocuments": []},
    )
    assert editor.asked(1, 1, 22) is None


def test_saving_is_passed_over(shared, editor):
    editor.open(FIRST, START)
    shared.notify("notebookDocument/didSave", {"notebookDocument": {"uri": editor.uri}})
    assert editor.asked(1, 1, 22)


def test_a_client_that_knows_no_notebooks(shared, new_uri, expected):
    uri = new_uri("shapes.ipynb").replace("file://", "vscode-notebook-cell:") + "#W1"
    shared.open(uri, "%matplotlib inline\n" + START)
    item, *_ = shared.inline(uri, 2, 22)
    assert item["insertText"] == expected(START)[0]


def test_typing_in_a_cell_costs_few_tokens(shared, editor):
    editor.open(FIRST, SECOND, DOCUMENTS["inventory.py"], DOCUMENTS["reader.py"], "")
    accounts = []

    class Typing:
        """What `type_key` needs of a session, with the changes of a notebook."""

        call = staticmethod(shared.call)

        @staticmethod
        def change(_, change):
            editor.write(4, change[0], change[2])

    for character, sign in enumerate("zebra_q7 = okapi(w3, 11)"):
        type_key(Typing, editor.cells[4]["document"], 0, character, sign, accounts)
    assert len(accounts) > 10
    assert statistics.median(account["promptTokens"] for account in accounts) > 200
    assert statistics.median(account["evaluatedTokens"] for account in accounts[1:]) <= 3


@pytest.mark.parametrize("scheme", ["vscode-notebook-cell", "cell"])
def test_exclusion_goes_by_the_notebook(model, scheme):
    with client("--model", model, settings={"exclude": ["private/"]}) as session:
        session.start(rootUri="file:///home/ada")
        for folder, shown in (("private", False), ("public", True)):
            editor = Editor(session, f"/home/ada/{folder}/shapes.ipynb", scheme)
            editor.open(FIRST, START)
            assert (editor.asked(1, 1, 22) is not None) == shown
        secret = Editor(session, "/home/ada/credentials.ipynb", scheme)
        secret.base = "cell:/x"
        secret.open(FIRST, START)
        assert secret.asked(1, 1, 22) is None
        assert session.shut_down() == 0


# what an odd client may send

CELL = "vscode-notebook-cell:/odd.ipynb#W1"
NOTEBOOK = {"uri": "file:///odd.ipynb", "version": 1}


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("didOpen", None),
        ("didOpen", {"notebookDocument": {}, "cellTextDocuments": []}),
        ("didOpen", {"notebookDocument": {**NOTEBOOK, "notebookType": "x", "cells": 3}}),
        (
            "didOpen",
            {
                "notebookDocument": {
                    **NOTEBOOK,
                    "notebookType": "x",
                    "cells": [{"kind": 9, "document": CELL}],
                },
                "cellTextDocuments": [],
            },
        ),
        ("didChange", {}),
        ("didChange", {"notebookDocument": NOTEBOOK, "change": 3}),
        ("didChange", {"notebookDocument": NOTEBOOK, "change": {"cells": {"textContent": [3]}}}),
        ("didChange", {"notebookDocument": NOTEBOOK, "change": {"cells": None}}),
        (
            "didChange",
            {
                "notebookDocument": NOTEBOOK,
                "change": {"cells": {"structure": {"array": {"start": -1, "deleteCount": 1}}}},
            },
        ),
        ("didClose", {"notebookDocument": 3}),
        ("didClose", {"notebookDocument": {"uri": "never"}, "cellTextDocuments": []}),
        ("didSave", {}),
    ],
)
def test_malformed_messages_are_passed_over(shared, editor, expected, method, params):
    editor.open(FIRST, START)
    shared.notify(f"notebookDocument/{method}", params)
    assert editor.asked(1, 1, 22) == expected(FIRST, START)
    assert shared.call("parrotlet/statistics")["state"] == "ready"


def test_numbers_and_names_that_do_not_exist(editor, expected):
    editor.open(FIRST, START)
    editor.change(structure={"array": {"start": 99, "deleteCount": 99}})
    editor.change(structure={"array": {"start": 2, "deleteCount": 9, "cells": [editor.cell()]}})
    editor.change(data=[{"kind": 1, "document": "never"}])
    editor.change(textContent=[{"document": {"uri": "never", "version": 1}, "changes": []}])
    editor.change(
        textContent=[
            {
                "document": {"uri": editor.cells[0]["document"], "version": 2},
                "changes": [{"range": None, "text": SECOND}],
            }
        ]
    )
    assert editor.asked(1, 1, 22) == expected(SECOND, START)


def test_the_same_notebook_opened_again(editor, expected):
    editor.open(FIRST, START)
    editor.count = 0
    editor.open(SECOND, START)
    assert editor.asked(1, 1, 22) == expected(SECOND, START)


# any order of changes

SPLICES = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.lists(st.integers(0, 7), unique=True))
)


@given(SPLICES)
@settings(deadline=None)
def test_cells_stand_in_the_notebooks_order(splices):
    documents = Documents()
    notebooks = Notebooks(documents)
    notebook = types.NotebookDocument("file:///a.ipynb", "x", 1, [])
    notebooks.open(types.DidOpenNotebookDocumentParams(notebook, []))
    order = []
    for start, count, names in splices:
        inserted = [name for name in names if name not in order[:start] + order[start + count :]]
        gone = set(order[start : start + count]) - set(inserted)
        new = [name for name in inserted if name not in order]
        order[start : start + count] = inserted
        array = types.NotebookCellArrayChange(start, count, [cell_of(one) for one in inserted])
        structure = types.NotebookDocumentCellChangeStructure(
            array,
            [types.TextDocumentItem(f"cell:{one}", "python", 1, f"x{one}") for one in new],
            [types.TextDocumentIdentifier(f"cell:{one}") for one in gone],
        )
        event = types.NotebookDocumentChangeEvent(
            cells=types.NotebookDocumentCellChanges(structure=structure)
        )
        identifier = types.VersionedNotebookDocumentIdentifier(1, notebook.uri)
        notebooks.change(types.DidChangeNotebookDocumentParams(identifier, event))
        for number, name in enumerate(order):
            uri = f"cell:{name}"
            start_of_cell = types.Position(0, 0)
            place = documents.get(uri).place(start_of_cell, start_of_cell)
            prefix, suffix = notebooks.around(uri, place)
            assert prefix == "".join(f"x{one}\n\n" for one in order[:number])
            assert suffix == f"x{name}"
        assert all(documents.get(f"cell:{name}") is None for name in gone)


def cell_of(name):
    return types.NotebookCell(types.NotebookCellKind.Code, f"cell:{name}")
