"""Drops files that hold a docstring or a solution of an evaluation set.

After StarCoder (Li et al. 2023), which removes files that contain the docstrings or
solutions of HumanEval and MBPP. Texts are compared token by token, so that white space, line ends
and where a docstring breaks play no part; comments and names do.
"""

from __future__ import annotations

import ast
import gzip
import json
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WORD = re.compile(r"\w+")
_TOKEN = re.compile(r"\w+|[^\w\s]")
# Where the description of a docstring ends and its examples begin.
_EXAMPLES = re.compile(r">>>|^\s*(?:for\s+)?examples?\b|^\s*note\b|e\.g\.", re.I | re.M)

# Texts of HumanEval and MBPP that are shorter stand in innocent files. At (12, 6) none of 16,000
# files of well-known projects (190 MB) is dropped, and at (8, 4) one, for `return self.value <
# other.value`; all but 35 of the 1,138 tasks still have a text that counts.
MINIMUM_TOKENS = 12
MINIMUM_WORDS = 6


class DecontaminationError(ValueError):
    """An evaluation set is missing or of no known form; the message says which are known."""


@dataclass(frozen=True)
class Needle:
    """A text that no document may hold.

    Attributes:
        task: whose it is, as in the evaluation set.
        text: its tokens, each with a space before and after it.
        words: its words, all of which a document must have to hold it.
    """

    task: str
    text: str
    words: frozenset[str]


class Decontaminator:
    """Finds the tasks of evaluation sets in documents.

    Each text to be found is filed under its longest word. A document's words say at once which few
    texts can be in it at all; those are looked for in its tokens, exactly.

    Args:
        texts: (task, docstring or solution) pairs.
        minimum_tokens: texts of fewer tokens (words and signs) do not count: they stand in innocent
            files (``return a + b``).
        minimum_words: nor do those of fewer different words.
    """

    def __init__(
        self,
        texts: Iterable[tuple[str, str]],
        minimum_tokens: int = MINIMUM_TOKENS,
        minimum_words: int = MINIMUM_WORDS,
    ) -> None:
        unique: dict[str, Needle] = {}
        self.too_short = 0
        for task, text in texts:
            words = frozenset(_WORD.findall(text))
            tokens = _TOKEN.findall(text)
            if len(tokens) < minimum_tokens or len(words) < minimum_words:
                self.too_short += 1
                continue
            spaced = _spaced(tokens)
            unique.setdefault(spaced, Needle(task, spaced, words))
        self._by_word: dict[str, list[Needle]] = defaultdict(list)
        for needle in unique.values():
            self._by_word[max(needle.words, key=lambda w: (len(w), w))].append(needle)
        self._anchors = frozenset(self._by_word)
        self.count = len(unique)

    @classmethod
    def load(
        cls,
        files: Iterable[Path],
        minimum_tokens: int = MINIMUM_TOKENS,
        minimum_words: int = MINIMUM_WORDS,
    ) -> Decontaminator:
        """Reads evaluation sets.

        Args:
            files: ``.jsonl`` or ``.jsonl.gz`` with the fields of HumanEval, its infilling sets or
                MBPP; ``.py``, whose functions' docstrings and bodies count; ``.txt``, each line
                of which counts.
            minimum_tokens: see the class.
            minimum_words: see the class.

        Raises:
            DecontaminationError: if a file is missing, unreadable or of another form.
        """
        texts = (pair for file in files for pair in read_texts(file))
        return cls(texts, minimum_tokens, minimum_words)

    def found(self, text: str) -> str | None:
        """The task of which `text` holds a docstring or solution; None if of none."""
        words = set(_WORD.findall(text))
        anchors = self._anchors & words
        if not anchors:
            return None
        possible = [n for anchor in anchors for n in self._by_word[anchor] if n.words <= words]
        if not possible:
            return None
        haystack = _spaced(_TOKEN.findall(text))
        return min((n.task for n in possible if n.text in haystack), default=None)


def _spaced(tokens: list[str]) -> str:
    return f" {' '.join(tokens)} "


def read_texts(file: Path) -> Iterator[tuple[str, str]]:
    """(task, docstring or solution) pairs of an evaluation set; see `Decontaminator.load`.

    Raises:
        DecontaminationError: if the file is missing, unreadable or of another form.
    """
    try:
        raw = file.read_bytes()
        text = (gzip.decompress(raw) if file.suffix == ".gz" else raw).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DecontaminationError(f"cannot read the evaluation set {file}: {error}") from error
    kind = file.name.removesuffix(".gz").rpartition(".")[2].lower()
    if kind == "jsonl":
        yield from _of_json_lines(text, file)
    elif kind == "py":
        yield from _of_python(file.name, text)
    elif kind == "txt":
        yield from ((f"{file.name}:{n}", line) for n, line in enumerate(text.splitlines(), 1))
    else:
        raise DecontaminationError(
            f"{file} is no evaluation set: give .jsonl(.gz) with the fields of HumanEval or MBPP, "
            ".py or .txt"
        )


def _of_json_lines(text: str, file: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            entry: Any = json.loads(line)
        except ValueError as error:
            raise DecontaminationError(f"{file}, line {number}: not JSON: {error}") from error
        if not isinstance(entry, Mapping):
            raise DecontaminationError(f"{file}, line {number}: not an object")
        name = file.name.removesuffix(".gz").removesuffix(".jsonl")
        task = str(entry.get("task_id", f"{name}:{number}"))
        task = task if "/" in task else f"{name}/{task}"
        if "prompt" in entry and "canonical_solution" in entry:
            parts = (entry["prompt"], entry["canonical_solution"], entry.get("suffix", ""))
            yield from _of_python(task, "".join(map(str, parts)))
        elif "text" in entry and "code" in entry:
            yield task, str(entry["text"])
            yield from _of_python(task, str(entry["code"]))
        else:
            raise DecontaminationError(
                f"{file}, line {number}: neither prompt and canonical_solution (HumanEval) nor "
                "text and code (MBPP)"
            )


def _of_python(task: str, source: str) -> Iterator[tuple[str, str]]:
    """Docstrings, whole and without their examples, and bodies of every function in `source`."""
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        yield task, source
        return
    lines = source.split("\n")
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        docstring = ast.get_docstring(node, clean=False)
        body = node.body
        if docstring is not None:
            yield task, docstring
            description = docstring[: _start_of_examples(docstring)]
            if description != docstring:
                yield task, description
            body = body[1:]
        if body and not isinstance(node, ast.ClassDef):
            end = body[-1].end_lineno
            yield task, "\n".join(lines[body[0].lineno - 1 : end])


def _start_of_examples(docstring: str) -> int:
    match = _EXAMPLES.search(docstring)
    return match.start() if match else len(docstring)
