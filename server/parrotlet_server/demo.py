"""`parrotlet demo`: a sample file completed at several places, in the terminal."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from importlib import resources
from typing import TextIO

from .engine import Completion, Engine, Request
from .version import version

SAMPLE = "inventory.py"
_LINES_BEFORE, _LINES_AFTER = 4, 2


@dataclass(frozen=True)
class Cursor:
    """A place in the sample, as if someone were writing there.

    Attributes:
        before: text that ends at the cursor and stands in the sample once.
        unwritten: what follows there in the sample and is taken to be not yet written.
    """

    before: str
    unwritten: str


CURSORS = (
    Cursor("        return self.quantity", " * self.price"),
    Cursor("        return len(", "self.parts"),
    Cursor(
        "        part = self.parts.get(name)\n        ",
        """\
if part is None or part.quantity < quantity:
            raise OutOfStockError(name)""",
    ),
    Cursor("        return sum(part.val", "ue for part in self.parts.values())"),
    Cursor("            groups[part.category]", ".append(part)"),
    Cursor(
        '    """Write an inventory to a CSV file."""\n    ',
        """\
with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=FIELDS)
        writer.writeheader()
        for part in inventory.parts.values():
            writer.writerow(asdict(part))""",
    ),
    Cursor('    parser.add_argument("--json", act', 'ion="store_true", help="write JSON")'),
    Cursor('if __name__ == "__main__":', "\n    raise SystemExit(main())"),
)


@dataclass(frozen=True)
class _Style:
    """Escape sequences of a terminal, or marks in plain text."""

    dim: str = ""
    bright: str = "»"
    end_bright: str = "«"
    end: str = ""

    @classmethod
    def of(cls, stream: TextIO) -> _Style:
        """Colours where `stream` is a terminal and the user does not forbid them."""
        if stream.isatty() and not os.environ.get("NO_COLOR"):
            return cls(dim="\x1b[2m", bright="\x1b[1;32m", end_bright="\x1b[0m", end="\x1b[0m")
        return cls()


def run(model: str | None = None, out: TextIO | None = None) -> int:
    """Completes the sample at each of `CURSORS` and prints what comes.

    Args:
        model: as for `Engine.load`.
        out: where to print; None is standard output.

    Raises:
        BundleError: if the model cannot be loaded.
    """
    out = out or sys.stdout
    style = _Style.of(out)
    text = resources.files(__package__).joinpath("samples", SAMPLE).read_text(encoding="utf-8")
    started = time.perf_counter()
    engine = Engine.load(model)
    loaded = time.perf_counter() - started
    print(f"{model or 'the bundled model'}, loaded in {loaded:.2f} s", file=out)
    for number, cursor in enumerate(CURSORS, 1):
        request = request_for(text, cursor)
        completion = engine.complete(request)
        print(f"\n{style.dim}── {number}/{len(CURSORS)}  {_cost(completion)}{style.end}", file=out)
        print(_picture(request, completion, style), file=out)
    print(
        "\nTo have this in VS Code:\n"
        "    make vsix\n"
        f"    code --install-extension dist/parrotlet-{_vsix_version()}.vsix",
        file=out,
    )
    return 0


def request_for(text: str, cursor: Cursor) -> Request:
    """What is asked at `cursor` in the sample's `text`.

    Raises:
        ValueError: if the sample has not exactly one such place.
    """
    if text.count(cursor.before + cursor.unwritten) != 1:
        raise ValueError(f"{SAMPLE} has not exactly one place after {cursor.before!r}")
    start = text.index(cursor.before + cursor.unwritten) + len(cursor.before)
    return Request(
        prefix=text[:start],
        suffix=text[start + len(cursor.unwritten) :],
        path=SAMPLE,
        document=SAMPLE,
    )


def _cost(completion: Completion) -> str:
    return (
        f"{1000 * completion.seconds:.0f} ms: read {completion.evaluated_tokens} of "
        f"{completion.prompt_tokens} tokens, wrote {completion.generated_tokens}"
    )


def _picture(request: Request, completion: Completion, style: _Style) -> str:
    suggestion = completion.suggestion
    if suggestion is None:
        text, overwrite = f"no suggestion: {completion.reason}", 0
    else:
        text, overwrite = suggestion.text, suggestion.overwrite
    before = request.prefix.rsplit("\n", _LINES_BEFORE)[-_LINES_BEFORE:]
    after = request.suffix[overwrite:].split("\n", _LINES_AFTER + 1)[: _LINES_AFTER + 1]
    return (
        _dim("\n".join(before).lstrip("\n"), style)
        + f"{style.bright}{text}{style.end_bright}"
        + _dim("\n".join(after).rstrip("\n"), style)
    )


def _dim(text: str, style: _Style) -> str:
    return f"{style.dim}{text}{style.end}" if text else ""


def _vsix_version() -> str:
    return version() if version() != "unknown" else "0.1.0"
