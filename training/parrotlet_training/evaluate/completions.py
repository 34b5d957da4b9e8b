"""A file of answers: written as they come, so that a run can be resumed and scored again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import EvaluationError
from .problems import read_lines

FORMAT = "parrotlet-completions-1"


@dataclass(frozen=True, order=True)
class Key:
    """Which answer.

    Attributes:
        task_id: of the problem.
        temperature: that it was sampled with; 0 is greedy.
        sample: its number among those of the same task and temperature, from 0.
    """

    task_id: str
    temperature: float
    sample: int


class Completions:
    """Answers by key, in a file as well unless that is None.

    The first line says what made them; one answer a line follows. A line cut short by an
    interruption is dropped.
    """

    def __init__(self, file: Path | None, made_with: Mapping[str, Any]) -> None:
        """Opens `file`, or begins it.

        Raises:
            EvaluationError: if it holds something else, or answers that were made otherwise.
            OSError: if it cannot be read or written.
        """
        self._file = file
        self.texts: dict[Key, str] = {}
        if file is None:
            return
        header = {"format": FORMAT, **made_with}
        if file.exists() and file.stat().st_size:
            self._resume(file, header)
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(header) + "\n", encoding="utf-8")

    def _resume(self, file: Path, header: Mapping[str, Any]) -> None:
        content = file.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        known, self.texts = parse(whole.decode("utf-8", "replace").splitlines(), file)
        if known is None:
            raise EvaluationError(f"{file} is no file of this command's: name another one")
        if known != header:
            differ = [key for key in {**known, **header} if known.get(key) != header.get(key)]
            raise EvaluationError(
                f"{file} holds answers made with another {', '.join(sorted(differ))}: name "
                "another file, or score these with --score"
            )
        if len(whole) < len(content):
            with file.open("r+b") as stream:
                stream.truncate(len(whole))

    def add(self, answers: Iterable[tuple[Key, str]]) -> None:
        """Adds answers and writes them out.

        Raises:
            OSError: if the file cannot be written.
        """
        new = dict(answers)
        self.texts |= new
        if self._file is not None:
            lines = [json.dumps({**vars(key), "completion": text}) for key, text in new.items()]
            with self._file.open("a", encoding="utf-8") as stream:
                stream.write("".join(line + "\n" for line in lines))


def read_completions(file: Path) -> tuple[dict[str, Any], dict[Key, str]]:
    """What made the answers in `file`, empty if it does not say, and the answers.

    It is a file of `Completions`, or one of HumanEval's samples: JSON objects with ``task_id`` and
    ``completion``, several of a task in their order.

    Raises:
        EvaluationError: if it cannot be read or is of another format.
    """
    header, texts = parse(read_lines(file), file)
    if not texts:
        raise EvaluationError(f"{file} holds no answers")
    return header or {}, texts


def parse(lines: list[str], file: Path) -> tuple[dict[str, Any] | None, dict[Key, str]]:
    """Header, None if there is none, and answers of the lines of a file named `file`.

    Raises:
        EvaluationError: if a line is of another format.
    """
    header: dict[str, Any] | None = None
    texts: dict[Key, str] = {}
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        try:
            values = json.loads(line)
            if number == 1 and values.get("format") == FORMAT:
                header = values
                continue
            name, text = values["task_id"], values["completion"]
            if not isinstance(name, str) or not isinstance(text, str):
                raise TypeError("task_id and completion are texts")
            sample = int(values.get("sample", seen.get(name, 0)))
            seen[name] = seen.get(name, 0) + 1
            texts[Key(name, float(values.get("temperature", 0)), sample)] = text
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise EvaluationError(
                f"{file}, line {number} is no answer with task_id and completion ({error!r})"
            ) from error
    return header, texts
