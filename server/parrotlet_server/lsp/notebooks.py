"""The open notebooks: which cells they have, in which order."""

from __future__ import annotations

from collections.abc import Sequence

from lsprotocol import types

from .documents import Documents, Place, plain
from .magics import as_context, is_foreign, without_magics

SYNC = types.NotebookDocumentSyncOptions(
    notebook_selector=[
        types.NotebookDocumentFilterWithNotebook(
            notebook="*", cells=[types.NotebookCellLanguage("python")]
        )
    ],
    save=False,
)
"""What the editor is asked to tell of notebooks."""

CELL_SCHEME = "vscode-notebook-cell:"


class Notebooks:
    """The notebooks that the client has opened; the text of their cells is in `documents`."""

    def __init__(self, documents: Documents) -> None:
        """Starts with none."""
        self._documents = documents
        self._cells: dict[str, list[str]] = {}  # of each notebook, code or not, in order
        self._code: set[str] = set()
        self._notebook: dict[str, str] = {}  # of each cell

    def open(self, params: types.DidOpenNotebookDocumentParams) -> None:
        """Takes a ``notebookDocument/didOpen``."""
        notebook = params.notebook_document.uri
        self._forget(notebook)
        self._cells[notebook] = []
        self._insert(notebook, 0, 0, params.notebook_document.cells)
        for item in params.cell_text_documents:
            self._documents.open(item)

    def change(self, params: types.DidChangeNotebookDocumentParams) -> int:
        """Takes a ``notebookDocument/didChange``; one for a notebook that is not open does nothing.

        Returns:
            The number of characters that came into cells.
        """
        notebook, cells = params.notebook_document.uri, params.change.cells
        if notebook not in self._cells or cells is None:
            return 0
        structure = cells.structure
        if structure is not None:
            array = structure.array
            self._insert(notebook, array.start, array.delete_count, array.cells or [])
            for closed in structure.did_close or []:  # some are opened again, in another language
                self._documents.close(closed.uri)
            for opened in structure.did_open or []:
                self._documents.open(opened)
        for cell in cells.data or []:
            if self._notebook.get(cell.document) == notebook:
                self._mark(cell)
        written = 0
        for content in cells.text_content or []:
            self._documents.change(content.document.uri, content.changes)
            written += sum(len(change.text) for change in content.changes)
        return written

    def close(self, params: types.DidCloseNotebookDocumentParams) -> None:
        """Takes a ``notebookDocument/didClose``."""
        self._forget(params.notebook_document.uri)

    def file(self, uri: str) -> str:
        """The URI of the file that a document is part of: a cell's notebook, else its own."""
        return self._notebook.get(uri, uri)

    def around(self, uri: str, place: Place) -> tuple[str, str] | None:
        """The Python before and after a place, with the notebook's earlier cells before a cell's.

        Later cells are no part of it: cells are often run and written out of their order.

        Args:
            uri: of the document.
            place: in it.

        Returns:
            None for a place in something other than Python: a cell of another language, or a line
            that is IPython's alone.
        """
        notebook = self._notebook.get(uri)
        if notebook is None and not uri.startswith(CELL_SCHEME):
            return place.prefix, place.suffix
        if is_foreign(place.prefix + place.suffix):
            return None
        prefix = without_magics(place.prefix)
        if not prefix.endswith(place.prefix[place.prefix.rfind("\n") + 1 :]):
            return None
        tail, newline, below = place.suffix.partition("\n")
        return self._before(uri) + prefix, tail + newline + without_magics(below)

    def _before(self, uri: str) -> str:
        """The earlier code cells of a cell's notebook, each with a blank line below."""
        parts = []
        for cell in self._cells.get(self._notebook.get(uri, ""), []):
            if cell == uri:
                break
            document = self._documents.get(cell) if cell in self._code else None
            text = as_context(plain(document.text)) if document and document.is_python else ""
            if text:
                parts.append(f"{text}\n\n")
        return "".join(parts)

    def _insert(
        self, notebook: str, start: int, count: int, cells: Sequence[types.NotebookCell]
    ) -> None:
        """Puts `cells` in the place of `count` others; numbers that are too large are clamped."""
        for cell in cells:
            self._mark(cell)
            self._notebook[cell.document] = notebook
        own = self._cells[notebook]
        gone = own[start : start + count]
        own[start : start + count] = [cell.document for cell in cells]
        for uri in set(gone).difference(own):
            self._drop(uri)

    def _mark(self, cell: types.NotebookCell) -> None:
        if cell.kind is types.NotebookCellKind.Code:
            self._code.add(cell.document)
        else:
            self._code.discard(cell.document)

    def _drop(self, cell: str) -> None:
        self._documents.close(cell)
        self._notebook.pop(cell, None)
        self._code.discard(cell)

    def _forget(self, notebook: str) -> None:
        for cell in self._cells.pop(notebook, []):
            self._drop(cell)
