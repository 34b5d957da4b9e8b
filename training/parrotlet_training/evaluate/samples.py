"""What a model writes after a few beginnings, good or bad."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .answers import Sampling, checkpoint_answers, served_answers
from .completions import Completions
from .errors import EvaluationError
from .named import NamedModel, named_model
from .problems import FUNCTION_STOPS, Problem, cut


@dataclass(frozen=True)
class Sample:
    """An answer.

    Attributes:
        name: of the beginning.
        temperature: 0 is greedy.
        number: among those of the same beginning and temperature, from 0.
        prompt: the beginning.
        text: what the model wrote after it.
    """

    name: str
    temperature: float
    number: int
    prompt: str
    text: str


BEGINNINGS = {
    "hours to minutes": (
        'def hours_to_minutes(hours):\n    """Return how many minutes `hours` are."""\n'
    ),
    "area of a rectangle": (
        "def area_of_rectangle(a: float, b: float):\n"
        '    """Return the area of a rectangle with sides a and b."""\n'
    ),
    "a class of complex numbers": (
        'class Complex:\n    """A complex number."""\n\n    def __init__(self, real, imaginary):\n'
    ),
    "addresses out of HTML": (
        "import re\n\n\n"
        "def get_urls_from_html(html):\n"
        '    """Return all embedded URLs in a string of HTML."""\n'
    ),
    "plain Python to numpy": (
        "# a function in plain Python:\n"
        "def mean(values):\n"
        "    return sum(values) / len(values)\n\n\n"
        "# the same function with numpy:\n"
        "import numpy as np\n\n\n"
        "def mean(values):\n"
    ),
}
"""What chapter 10 of "Natural Language Processing with Transformers" (Tunstall, von Werra and Wolf
2022) asks of CodeParrot."""

DRAWS = Sampling((0.0,), samples=1, top_p=0.95, max_tokens=96, seed=0, batch=16)


def samples(
    model: NamedModel,
    prompts: dict[str, str],
    sampling: Sampling = DRAWS,
    stops: tuple[str, ...] = FUNCTION_STOPS,
) -> list[Sample]:
    """What `model` writes after each of `prompts`, which are texts by name.

    Greedy answers alone are the served engine's, with 8-bit weights and without torch; with drawn
    ones among them all come from the checkpoint's weights.

    Args:
        model: that writes.
        prompts: what it goes on from.
        sampling: how it draws.
        stops: texts at which an answer ends; none is cut where there are none.

    Raises:
        EvaluationError: if the model's context has no room for such answers.
        BundleError: if it cannot be served.
        ModelError: if its weights cannot be loaded.
    """
    problems = [Problem(name, text, "", "", "", "", stops) for name, text in prompts.items()]
    store = Completions(None, {})
    write = checkpoint_answers if any(sampling.temperatures) else served_answers
    write(model, problems, sampling, store, lambda count: None)
    return [
        Sample(
            key.task_id,
            key.temperature,
            key.sample,
            prompts[key.task_id],
            cut(store.texts[key], stops),
        )
        for key in sampling.keys(problems)
    ]


def to_markdown(shown: Sequence[Sample]) -> str:
    """The samples as code under their names, what the model wrote between ``⟦`` and ``⟧``."""
    return "\n\n".join(
        f"{_title(one)}:\n\n```python\n{one.prompt}⟦{one.text.rstrip()}⟧\n```" for one in shown
    )


def run(options: argparse.Namespace) -> str:
    """Runs `parrotlet sample`; gives what is to be printed.

    Raises:
        EvaluationError: if a file cannot be read, or the model is missing or has no room.
        OSError: if the results cannot be written.
    """
    prompts = {_name(file): _read(file) for file in options.files} or BEGINNINGS
    sampling = Sampling(
        tuple(dict.fromkeys(options.temperature)),
        options.samples,
        options.top_p,
        options.max_tokens,
        options.seed,
        DRAWS.batch,
    )
    model = named_model(options.model)
    found = samples(model, prompts, sampling, () if options.whole else FUNCTION_STOPS)
    if options.json:
        content = {"model": model.identity, "samples": [asdict(one) for one in found]}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if options.markdown:
        options.markdown.write_text(to_markdown(found) + "\n", encoding="utf-8")
    return "\n\n".join(f"# --- {_title(one)}\n{one.prompt}{one.text.rstrip()}" for one in found)


def _title(sample: Sample) -> str:
    if not sample.temperature:
        return sample.name
    return f"{sample.name}, temperature {sample.temperature:g}, number {sample.number + 1}"


def _name(file: Path) -> str:
    return "standard input" if str(file) == "-" else str(file)


def _read(file: Path) -> str:
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return content.decode("utf-8").replace("\r\n", "\n")
    except OSError as error:
        raise EvaluationError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{file} is no UTF-8 text: {error.reason}") from error
