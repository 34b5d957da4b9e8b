"""N-grams of the files that lie beside one: what a server knows of its workspace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from parrotlet_server.engine import Request
from parrotlet_server.engine.filters.names import names_in
from parrotlet_server.engine.recall import MOST_FILES, Ngrams, encode
from parrotlet_tokenizer import CodeTokenizer


class Neighbours:
    """Gives requests the n-grams of the other files of their repository.

    Those of the last repository are kept, so ask for one repository after the other.
    """

    def __init__(self, tokenizer: CodeTokenizer, files: Mapping[str, Mapping[str, str]]) -> None:
        """Of `files`, texts by path by repository, with the tokens of `tokenizer`."""
        self._tokenizer = tokenizer
        self._files = files
        self._kept: tuple[str, dict[str, int], Ngrams] | None = None

    def beside(self, request: Request, repository: str, path: str) -> Request:
        """`request`, for the file `path` of `repository`, whose own text does not count."""
        if self._kept is None or self._kept[0] != repository:
            files = self._files.get(repository, {})
            numbers = {path: number for number, path in enumerate([*files][:MOST_FILES])}
            tokens = [encode(self._tokenizer, files[path]) for path in numbers]
            names = set[str]().union(*(names_in(files[path]) for path in numbers))
            self._kept = repository, numbers, Ngrams(enumerate(tokens), names)
        _, numbers, ngrams = self._kept
        return replace(request, ngrams=ngrams, file_number=numbers.get(path))
