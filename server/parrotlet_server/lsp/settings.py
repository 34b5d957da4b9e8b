"""The user's settings, section ``parrotlet``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from parrotlet_server.engine.completer import PROMPTS, BackendOptions
from parrotlet_server.engine.context import Part

from .exclusion import check_globs

SECTION = "parrotlet"
CONTEXT: dict[str, tuple[Part, ...]] = {
    "off": (),
    "imports": ("imports",),
    "similar": ("similar",),
    "all": ("imports", "similar"),
    "auto": ("imports", "similar"),
}
"""Parts of other files' text that each value of `Settings.context` stands for; see `beside`."""

LONGEST_WAIT = 10_000
"""Milliseconds; the most that `Settings.debounce` may be."""
LONGEST_TIMEOUT = 120
"""Seconds; the most that `Settings.endpoint_timeout` may be."""


@dataclass(frozen=True)
class Settings:
    """What the user may choose; the editor spells the names in camelCase.

    Attributes:
        enable: whether anything is suggested.
        model: a bundle folder, a checkpoint folder or ``owner/name@commit`` on the Hub; empty
            for the one that the server was started with.
        multiline: "auto" allows several lines where a block is to be written, "always" wherever
            the cursor ends a line, "never" nowhere.
        debounce: milliseconds to wait after a key before the model is asked; "auto" goes by the
            user's own rhythm, "manual" asks only when the user does.
        minimum_score: mean log-probability below which a suggestion is not shown unless the user
            asked for one; "all" shows all.
        comments: whether anything is suggested inside comments.
        strings: whether anything is suggested inside string literals, docstrings among them.
        exclude: patterns of files in which nothing is suggested, as in a ``.gitignore`` at the
            workspace folder's root.
        prefetch: whether the suggestion after the one shown is made ahead while nothing else is
            asked; never where another server runs the model.
        popup: whether ``textDocument/completion`` is answered too.
        statistics: whether to note, on this machine only, which suggestions were taken.
        backend: what runs the model: "onnx", "torch" where PyTorch is installed, or "openai": the
            server at `endpoint_url`, which is sent the code around the cursor.
        device: of "torch", such as "cuda"; empty for CUDA or MPS where there is one.
        endpoint_url: of "openai", such as ``http://localhost:8080/v1``.
        endpoint_model: of "openai": the model's name there; empty sends none.
        endpoint_prompt: of "openai": as `BackendOptions.prompt`.
        endpoint_timeout: of "openai": seconds until an answer has to be complete.
        context: which text of other files a prompt holds: "imports", the definitions that the file
            imports; "similar", passages like what is being written; "all", both; "auto", what
            pays: both, passages alone where the workspace's n-grams count; "off", none.
        recall: whose n-grams have a say beside the model: "file", those of the file itself;
            "workspace", those of the workspace's other files too; "off", none.
    """

    enable: bool = True
    model: str = ""
    multiline: Literal["auto", "always", "never"] = "auto"
    debounce: int | Literal["auto", "manual"] = "auto"
    minimum_score: float | Literal["all"] = -1.0
    comments: bool = True
    strings: bool = True
    exclude: tuple[str, ...] = ()
    prefetch: bool = True
    popup: bool = True
    statistics: bool = True
    backend: Literal["onnx", "torch", "openai"] = "onnx"
    device: str = ""
    endpoint_url: str = ""
    endpoint_model: str = ""
    endpoint_prompt: str = "tokens"
    endpoint_timeout: float = 10.0
    context: Literal["auto", "off", "imports", "similar", "all"] = "auto"
    recall: Literal["workspace", "file", "off"] = "workspace"

    @classmethod
    def parse(cls, options: object) -> tuple[Settings, list[str]]:
        """Reads what a client sent.

        A wrong value counts as its default. A missing or null one does so silently, and settings
        that are the client's own are passed over.

        Args:
            options: the settings' object, or one that holds it under ``parrotlet``.

        Returns:
            The settings, and one message for each wrong value.
        """
        if options is None:
            return cls(), []
        if not isinstance(options, Mapping):
            return cls(), [f"{SECTION}: expected an object with settings, not {options!r:.60}"]
        options = inner(options)
        wrong: list[str] = []
        chosen: dict[str, Any] = {}
        default = cls()
        for field in fields(cls):
            name = camel_case(field.name)
            value = options.get(name)
            if value is None:
                continue
            try:
                chosen[field.name] = _READERS[field.name](value)
            except ValueError as expected:
                wrong.append(
                    f"{SECTION}.{name}: expected {expected}, not {value!r:.60}; "
                    f"it counts as {_shown(getattr(default, field.name))}"
                )
        return cls(**chosen), wrong

    @property
    def recalls(self) -> bool:
        """Whether n-grams of the workspace are wanted and can be used."""
        return self.recall == "workspace" and self.backend != "openai"

    def beside(self, recalls: bool) -> Settings:
        """The settings where n-grams of the workspace are there, or are not.

        Beside these, definitions gain nothing, passages a little (`parrotlet bench context`).
        """
        return replace(self, context="similar") if self.context == "auto" and recalls else self

    def backend_options(self, default_model: str | None) -> BackendOptions:
        """What is to run which model, `default_model` where the user names none."""
        options = BackendOptions(kind=self.backend, model=self.model or default_model)
        if self.backend == "torch":
            return replace(options, device=self.device or None)
        if self.backend == "openai":
            return replace(
                options,
                url=self.endpoint_url,
                served_model=self.endpoint_model,
                prompt=self.endpoint_prompt,
                timeout=self.endpoint_timeout,
            )
        return options


def camel_case(name: str) -> str:
    """``minimum_score`` as the editor spells it, ``minimumScore``."""
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def inner(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The section's own settings, whether or not they stand under its name."""
    section = options.get(SECTION)
    return section if isinstance(section, Mapping) else options


def _shown(value: object) -> str:
    return "not set" if value is None else repr(list(value) if isinstance(value, tuple) else value)


# Each reader gives the value or raises ValueError with what was expected.


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a string")
    return value.strip()


def _multiline(value: object) -> str:
    if value not in ("auto", "always", "never"):
        raise ValueError("'auto', 'always' or 'never'")
    return str(value)


def _debounce(value: object) -> int | str:
    if value in ("auto", "manual"):
        return str(value)
    number = _number(value)
    if number is None or not 0 <= number <= LONGEST_WAIT:
        raise ValueError(f"'auto', 'manual' or milliseconds from 0 to {LONGEST_WAIT}")
    return round(number)


def _backend(value: object) -> str:
    if value not in ("onnx", "torch", "openai"):
        raise ValueError("'onnx', 'torch' or 'openai'")
    return str(value)


def _url(value: object) -> str:
    text = value.strip() if isinstance(value, str) else None
    if text is None or (text and not text.startswith(("http://", "https://"))):
        raise ValueError("an address such as 'http://localhost:8080/v1'")
    return text


def _prompt(value: object) -> str:
    template = PROMPTS.get(value, value) if isinstance(value, str) else ""
    if template not in ("tokens", "suffix") and "{prefix}" not in template:
        raise ValueError(
            f"'tokens', 'suffix', {', '.join(map(repr, PROMPTS))} or a template with {{prefix}} "
            "and {suffix}"
        )
    return str(value)


def _timeout(value: object) -> float:
    number = _number(value)
    if number is None or not 0 < number <= LONGEST_TIMEOUT:
        raise ValueError(f"seconds, more than 0 and at most {LONGEST_TIMEOUT}")
    return number


def _context(value: object) -> str:
    if not isinstance(value, str) or value not in CONTEXT:
        raise ValueError("'auto', 'off', 'imports', 'similar' or 'all'")
    return value


def _recall(value: object) -> str:
    if value not in ("workspace", "file", "off"):
        raise ValueError("'workspace', 'file' or 'off'")
    return str(value)


def _score(value: object) -> float | str:
    if value == "all":
        return "all"
    number = _number(value)
    if number is None or number > 0:
        raise ValueError("'all' or a number that is at most 0, such as -0.7")
    return number


def _globs(value: object) -> tuple[str, ...]:
    expected = "a list of patterns as in .gitignore, such as ['tests/', '*_pb2.py']"
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(expected)
    try:
        return check_globs(value)
    except ValueError as error:
        raise ValueError(expected) from error


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


_READERS: dict[str, Callable[[object], Any]] = {
    "enable": _flag,
    "model": _text,
    "multiline": _multiline,
    "debounce": _debounce,
    "minimum_score": _score,
    "comments": _flag,
    "strings": _flag,
    "exclude": _globs,
    "context": _context,
    "recall": _recall,
    "popup": _flag,
    "statistics": _flag,
    "prefetch": _flag,
    "backend": _backend,
    "device": _text,
    "endpoint_url": _url,
    "endpoint_model": _text,
    "endpoint_prompt": _prompt,
    "endpoint_timeout": _timeout,
}
