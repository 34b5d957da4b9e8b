"""Tasks with tests, in the formats of HumanEval, HumanEval-Infilling and MBPP."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import EvaluationError

FUNCTION_STOPS = ("\nclass", "\ndef", "\n#", "\n@", "\nprint", "\nif")
"""Where a function's body has ended: Chen et al. 2021, section 2.1, and CodeParrot's decorator."""

PROGRAM_STOPS = ("\nclass", "\nassert", '\n"""', "\nprint", "\nif")
"""Where an answer to MBPP has ended: it may define several functions."""

_HUMAN_EVAL = {"task_id", "prompt", "canonical_solution", "test", "entry_point"}
_MBPP = {"task_id", "text", "code", "test_list"}


@dataclass(frozen=True)
class Problem:
    """A task and how an answer is tested.

    Attributes:
        task_id: unique in its file.
        prompt: what the model reads, up to where its answer begins.
        suffix: what follows the answer; "" where nothing does.
        reference: an answer that is right.
        head: of the program, before the answer.
        tail: of the program, after answer and suffix: the tests.
        stops: texts at which an answer ends.
    """

    task_id: str
    prompt: str
    suffix: str
    reference: str
    head: str
    tail: str
    stops: tuple[str, ...]

    def program(self, answer: str) -> str:
        """A program that runs to its end if `answer` is right."""
        return self.head + answer + self.suffix + self.tail


def cut(text: str, stops: tuple[str, ...]) -> str:
    """`text` up to the first of `stops`; all of it where there is none."""
    return text[: min((at for at in map(text.find, stops) if at >= 0), default=len(text))]


def read_problems(file: Path, infilling: bool = False) -> list[Problem]:
    """The problems in `file`, JSON Lines that may be compressed with gzip, in their order.

    Raises:
        EvaluationError: if it cannot be read, a line is of no known format, two have the same
            name, or it is of infilling where that is not wanted, or the other way round.
    """
    problems = []
    for number, line in enumerate(read_lines(file), 1):
        try:
            problems.append(_problem(json.loads(line), infilling))
        except ValueError as error:
            raise EvaluationError(f"{file}, line {number}: {error}") from error
    names = {problem.task_id for problem in problems}
    if not problems:
        raise EvaluationError(f"{file} holds no tasks")
    if len(names) < len(problems):
        raise EvaluationError(f"{file} has several tasks of the same task_id")
    return problems


def read_lines(file: Path) -> list[str]:
    """The lines of a text that are not blank, also if it is compressed with gzip.

    Raises:
        EvaluationError: if it cannot be read.
    """
    try:
        content = file.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        text = content.decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise EvaluationError(f"cannot read {file}: {error}") from error
    return [line for line in text.split("\n") if line.strip()]


def _problem(values: Any, infilling: bool) -> Problem:
    """The problem of one line; ValueError says what is wrong with it."""
    if not isinstance(values, dict):
        raise ValueError("a line holds one JSON object")
    if values.keys() >= _HUMAN_EVAL:
        if ("suffix" in values) != infilling:
            raise ValueError(
                "it has no suffix: `parrotlet evaluate tasks` is for such tasks"
                if infilling
                else "it has a suffix: `parrotlet evaluate infilling` is for such tasks"
            )
        return _human_eval(values)
    if values.keys() >= _MBPP and not infilling:
        return _mbpp(values)
    known = ", ".join(sorted(_HUMAN_EVAL | ({"suffix"} if infilling else set())))
    known += "" if infilling else f" (HumanEval), or {', '.join(sorted(_MBPP))} (MBPP)"
    raise ValueError(f"a task has the keys {known}")


def _human_eval(values: Mapping[str, Any]) -> Problem:
    prompt, suffix = _text(values, "prompt"), _text(values, "suffix") if "suffix" in values else ""
    return Problem(
        task_id=_text(values, "task_id"),
        prompt=prompt,
        suffix=suffix,
        reference=_text(values, "canonical_solution"),
        head=prompt,
        tail=f"\n{_text(values, 'test')}\ncheck({_text(values, 'entry_point')})\n",
        # a middle ends where the model says so: any line may stand in it
        stops=() if "suffix" in values else FUNCTION_STOPS,
    )


def _mbpp(values: Mapping[str, Any]) -> Problem:
    tests = values["test_list"]
    if not isinstance(tests, list) or not tests or not all(isinstance(test, str) for test in tests):
        raise ValueError("test_list is a list of texts, and not empty")
    setup = values.get("test_setup_code") or ""
    if not isinstance(setup, str):
        raise ValueError("test_setup_code is a text")
    return Problem(
        task_id=f"MBPP/{values['task_id']}",
        # the task and one test in a docstring: Fried et al. 2022 (InCoder), section 4.2
        prompt=f'"""\n{_text(values, "text")}\n{tests[0]}\n"""\n',
        suffix="",
        reference=_text(values, "code"),
        head="",
        tail="\n".join(["", setup, *tests, ""]),  # the set-up may use what the answer defines
        stops=PROGRAM_STOPS,
    )


def _text(values: Mapping[str, Any], key: str) -> str:
    value = values[key]
    if not isinstance(value, str):
        raise ValueError(f"{key} is a text")
    return value
