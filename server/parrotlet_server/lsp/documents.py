"""The open documents, kept in step with the client.

The workspace that comes with pygls is not used for them: it cuts lines at form feeds, fails at the
end of a file without a final newline and walks the whole text for each typed character.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import SplitResult, unquote, urlsplit

from lsprotocol import types

from .edits import RecentEdits
from .lines import Encoding, join_pairs, line_end, split_at, split_lines, width, without_surrogates

_FILES = ("file", "vscode-remote", "")
PYTHON_SUFFIXES = (".py", ".pyi")


@dataclass(frozen=True)
class Place:
    """A place in a text as it was at one moment: later edits do not move it.

    Attributes:
        prefix: all text before the place, lines ended by ``\\n``, no lone surrogates.
        suffix: all text after the place, likewise.
        newline: the line end that text inserted there shall use.
        start: where the place begins; it exists in the text.
        end: where it ends.
        before: what stands before it on its first line.
        after: what stands after it on its last line, without the line end.
        encoding: what columns count.
    """

    prefix: str
    suffix: str
    newline: str
    start: types.Position
    end: types.Position
    before: str
    after: str
    encoding: Encoding

    def extended(self, left: int, right: int) -> types.Range:
        """The range of the place and of characters on its lines.

        Args:
            left: number of code points before it, at most as many as there are.
            right: number of code points after it.
        """
        before = self.before[: len(self.before) - left]
        return types.Range(
            types.Position(self.start.line, width(before, self.encoding)),
            types.Position(
                self.end.line, self.end.character + width(self.after[:right], self.encoding)
            ),
        )


class Document:
    """A text as its editor shows it.

    Lone surrogates stay in it, so that positions keep their meaning in UTF-16, and are replaced
    where text goes out.
    """

    def __init__(self, uri: str, language: str, text: str, encoding: Encoding) -> None:
        """Holds `text`; `encoding` says what the columns of positions count."""
        self.uri = uri
        self.language = language
        self._encoding = encoding
        self._lines = split_lines(join_pairs(text))

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self._lines)

    def lines(self) -> list[str]:
        """The lines, each with its line end; a copy that later edits leave alone."""
        return list(self._lines)

    @property
    def path(self) -> str:
        """The path in its URI, with forward slashes."""
        return path_of(self.uri)

    @property
    def is_file(self) -> bool:
        """Whether it is what a file holds or will hold, not an older state of one, say."""
        return parts(self.uri).scheme in _FILES

    @property
    def is_python(self) -> bool:
        """Whether the editor or the file's name says that it is Python."""
        return self.language == "python" or self.path.endswith(PYTHON_SUFFIXES)

    def apply(self, change: types.TextDocumentContentChangeEvent) -> None:
        """Makes one change of a ``textDocument/didChange``; positions are clamped."""
        if isinstance(change, types.TextDocumentContentChangeWholeDocument):
            self._lines = split_lines(join_pairs(change.text))
            return
        start, end = sorted(
            (change.range.start, change.range.end), key=lambda place: (place.line, place.character)
        )
        first, before, _ = self._cut(start)
        last, _, after = self._cut(end)
        # a line that ends in \r alone may become one that ends in \r\n
        if first > 0 and not before and self._lines[first - 1].endswith("\r"):
            first -= 1
            before = self._lines[first]
        lines = split_lines(join_pairs(before + change.text + after))
        if last + 1 < len(self._lines):
            lines.pop()  # nothing: the text goes on with the line after `last`
        self._lines[first : last + 1] = lines

    def place(self, start: types.Position, end: types.Position) -> Place:
        """The place between two positions, which are clamped; a cursor where they are equal."""
        first, before, _ = self._cut(start)
        last, before_end, after = self._cut(end)
        return Place(
            prefix=plain("".join([*self._lines[:first], before])),
            suffix=plain("".join([after, *self._lines[last + 1 :]])),
            newline=line_end(self._lines[first]) or line_end(self._lines[first - 1]) or "\n",
            start=types.Position(first, width(before, self._encoding)),
            end=types.Position(last, width(before_end, self._encoding)),
            before=without_surrogates(before),
            after=without_surrogates(after[: len(after) - len(line_end(after))]),
            encoding=self._encoding,
        )

    def _cut(self, position: types.Position) -> tuple[int, str, str]:
        """The line that `position` is on, and what stands there before and after it."""
        if position.line >= len(self._lines):
            return len(self._lines) - 1, self._lines[-1], ""
        before, after = split_at(self._lines[position.line], position.character, self._encoding)
        return position.line, before, after


class Documents:
    """The documents that the client has opened.

    Attributes:
        encoding: of positions.
        edits: the last places that were edited.
    """

    def __init__(self) -> None:
        """Starts with none."""
        self.encoding: Encoding = "utf-16"
        self.edits = RecentEdits()
        self._open: dict[str, Document] = {}

    def open(self, item: types.TextDocumentItem) -> None:
        """Takes a ``textDocument/didOpen``."""
        self._open[item.uri] = Document(item.uri, item.language_id, item.text, self.encoding)

    def change(self, uri: str, changes: Iterable[types.TextDocumentContentChangeEvent]) -> None:
        """Takes a ``textDocument/didChange``; one for a document that is not open does nothing."""
        document = self._open.get(uri)
        if document is not None:
            for change in changes:
                document.apply(change)
                self.edits.note(uri, change)

    def close(self, uri: str) -> None:
        """Takes a ``textDocument/didClose``."""
        self._open.pop(uri, None)

    def clear(self) -> None:
        """Forgets all of them."""
        self._open.clear()

    def get(self, uri: str) -> Document | None:
        """The open document of that name."""
        return self._open.get(uri)

    def __iter__(self) -> Iterator[Document]:
        """All open documents, those opened last last."""
        return iter(list(self._open.values()))


def path_of(uri: str) -> str:
    """The path in a URI, with forward slashes."""
    return unquote(parts(uri).path)


def relative_path(uri: str, folders: Iterable[str]) -> str | None:
    """The path of a document inside its workspace, with forward slashes.

    Args:
        uri: of the document.
        folders: URIs of the workspace's folders; the deepest one counts.

    Returns:
        The path below the folder; the file's name where it lies in none; None for a document
        without a file.
    """
    if parts(uri).scheme not in {"file", "vscode-remote", "vscode-notebook-cell"}:
        return None
    path = path_of(uri)
    inside = below(path, [found for folder in folders if (found := path_of(folder))])
    if inside is not None:
        return inside or None
    return PurePosixPath(path).name or None


def below(path: str, folders: Iterable[str]) -> str | None:
    """The part of `path` below the deepest of `folders`; None where it lies in none of them."""
    roots = [folder.rstrip("/") + "/" for folder in folders]
    inside = [root for root in roots if path.startswith(root)]
    return path[len(max(inside, key=len)) :] if inside else None


def parts(uri: str) -> SplitResult:
    """The parts of `uri`; one that makes no sense is a path as it stands."""
    try:
        return urlsplit(uri)
    except ValueError:
        return SplitResult("", "", uri, "", "")


def plain(text: str) -> str:
    """`text` as the engine wants it: lines ended by ``\\n``, no lone surrogates."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return without_surrogates(text)
