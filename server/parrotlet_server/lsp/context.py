"""What of other files goes with a request.

It is chosen when the cursor comes into a block, beside the event loop, and then stays while one
writes there: what stands before a prompt must not change with each key, or the model would have to
read all of it anew.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from parrotlet_server.engine import Related, Request
from parrotlet_server.engine.context import Part, Passage, Sources, choose

from .documents import Document, Documents, path_of, plain
from .edits import Edit
from .files import LARGEST, Files, View
from .notebooks import CELL_SCHEME, Notebooks
from .settings import CONTEXT, Settings
from .worker import in_thread

logger = logging.getLogger(__name__)

PATIENCE = 0.03
"""Seconds that a key waits for the choice; after these it goes with what there was before."""

MOST_DOCUMENTS = 16
"""Open documents that are looked at, those edited last first."""

_EDIT_LINES = 10
"""Lines each side of an edit that are shown."""

_HEADER = re.compile(r"^[ \t]*(?:async[ \t]+def|def|class)\b.*", re.MULTILINE)
_FAR = 20_000
"""Characters before the cursor in which the block's header is looked for."""


@dataclass(frozen=True)
class _Block:
    """Where a choice holds.

    Attributes:
        header: of the innermost definition above the cursor's line.
        elsewhere: changes that other documents had.
        parts: that are wanted.
        exclude: patterns of files.
    """

    header: str
    elsewhere: int
    parts: tuple[Part, ...]
    exclude: tuple[str, ...]

    def allows(self, other: _Block) -> bool:
        """Whether what was chosen here may serve there until that choice is made."""
        return (self.parts, self.exclude) == (other.parts, other.exclude)


class CrossFile:
    """Chooses text of other files, and keeps the choice while it holds."""

    def __init__(
        self, documents: Documents, notebooks: Notebooks, folders: Callable[[], list[str]]
    ) -> None:
        """Looks at `documents` and at files below `folders`, which gives URIs."""
        self._documents = documents
        self._notebooks = notebooks
        self._folders = folders
        self._files = Files()
        self._chosen: dict[str, tuple[_Block, tuple[Related, ...]]] = {}
        self._asked: dict[str, _Block] = {}
        self._order = asyncio.Lock()  # a request does not overtake an older one
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def with_related(self, request: Request, settings: Settings) -> Request:
        """`request` with text of other files, as far as the settings want any.

        It takes `PATIENCE` at most, and never fails.
        """
        async with self._order:  # also where nothing is wanted: the settings may just have changed
            if not CONTEXT[settings.context]:
                return request
            return await self._with_related(request, settings)

    def warm(self, uri: str, settings: Settings) -> None:
        """Reads beforehand what a document imports, so that its first key need not wait for it."""
        document = self._documents.get(uri)
        if document is not None and document.is_python and CONTEXT[settings.context]:
            request = Request(plain(document.text), "", document=uri)
            self._start(request, self._block(request, settings))

    async def _with_related(self, request: Request, settings: Settings) -> Request:
        uri, block = request.document, self._block(request, settings)
        chosen = self._chosen.get(uri)
        if chosen is None or chosen[0] != block:
            if self._asked.get(uri) != block:
                await asyncio.wait([self._start(request, block)], timeout=PATIENCE)
            chosen = self._chosen.get(uri)
        if chosen is None or not chosen[0].allows(block):
            return request
        return replace(request, related=chosen[1])

    def _block(self, request: Request, settings: Settings) -> _Block:
        elsewhere = self._documents.edits.elsewhere(request.document)
        parts = CONTEXT[settings.context]
        return _Block(_header(request.prefix), elsewhere, parts, settings.exclude)

    def _start(self, request: Request, block: _Block) -> asyncio.Task[None]:
        self._asked[request.document] = block
        task = asyncio.create_task(self._choose(request, block))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _choose(self, request: Request, block: _Block) -> None:
        uri = request.document
        async with self._turn:  # the files are one thread's at a time
            if self._asked.get(uri) != block:
                return  # the cursor is elsewhere by now
            try:
                related = await in_thread(self._work(request, block))
            except Exception as error:
                logger.error("no context: %s: %s", type(error).__name__, error)
                logger.debug("choosing the context failed", exc_info=True)
                related = ()
        if self._asked.get(uri) == block:
            self._chosen[uri] = (block, related)
        for closed in [one for one in self._asked if self._documents.get(one) is None]:
            del self._asked[closed]
            self._chosen.pop(closed, None)

    def _work(self, request: Request, block: _Block) -> Callable[[], tuple[Related, ...]]:
        """What a thread has to do; it is given copies of all that may change meanwhile."""
        own = self._notebooks.file(request.document)
        opened = [(path_of(one.uri), one.lines()) for one in self._others(own)]
        folders = [path_of(folder) for folder in self._folders() if folder]
        edits = [
            edit
            for edit in reversed(self._documents.edits.places)
            if self._notebooks.file(edit.uri) != own and not edit.uri.startswith(CELL_SCHEME)
        ]

        def work() -> tuple[Related, ...]:
            texts = {path: plain("".join(lines)) for path, lines in opened}
            texts = {path: text for path, text in texts.items() if len(text) <= LARGEST}
            view = View(self._files, folders, block.exclude, texts)
            sources = Sources(view.read, _roots(view.folders), list(_passages(edits, texts, view)))
            path = path_of(own)
            tokens = request.related_tokens
            found = choose(request.prefix, request.suffix, path, sources, tokens, block.parts)
            return tuple(replace(one, path=view.told(one.path)) for one in found)

        return work

    def _others(self, own: str) -> list[Document]:
        """The other Python documents that are open, those edited last first; cells are none."""
        edited = {edit.uri: rank for rank, edit in enumerate(self._documents.edits.places)}
        others = [
            document
            for document in self._documents
            if document.is_python
            and document.is_file
            and document.uri != own
            and not document.uri.startswith(CELL_SCHEME)
            and self._notebooks.file(document.uri) == document.uri
        ]
        others.sort(key=lambda document: -edited.get(document.uri, -1))
        return others[:MOST_DOCUMENTS]


def _header(prefix: str) -> str:
    """The line of the innermost definition above the cursor's line; "" if there is none near."""
    start = max(0, len(prefix) - _FAR)
    headers = _HEADER.findall(prefix, start, prefix.rfind("\n") + 1)
    return headers[-1] if headers else ""


def _roots(folders: Iterable[str]) -> list[str]:
    """Where absolute imports are looked for."""
    return [root for folder in folders for root in (folder, f"{folder}/src")]


def _passages(edits: Iterable[Edit], texts: dict[str, str], view: View) -> Iterable[Passage]:
    """The surroundings of edits, then all open documents."""
    for edit in edits:
        path = path_of(edit.uri)
        text = view.read(path)
        if text is not None:
            lines = text.split("\n")
            first = max(0, min(edit.line, len(lines)) - _EDIT_LINES)
            near = "\n".join(lines[first : edit.line + _EDIT_LINES])
            yield Passage(path, near, first, EDITED)
    for path, text in texts.items():
        if view.read(path) is not None:
            yield Passage(path, text)


EDITED = 1.25
"""How much more a passage counts that was edited in this session."""
