"""The server's sub-commands. What they need is imported when one of them runs."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import CommandError, UsageError

if TYPE_CHECKING:
    from .engine import Completion, Request

_PLACE = re.compile(r"(?P<file>[^:].*?):(?P<line>\d+)(?::(?P<column>\d+))?\Z", re.DOTALL)
_LEVELS = ("debug", "info", "warning", "error")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `serve`, `complete`, `demo`, `stats`, `doctor` and those of bundles."""
    from .bundle.commands import register as register_bundle_commands

    serve = subparsers.add_parser(
        "serve", help="run the language server, on stdin and stdout or behind a port"
    )
    _add_model(serve)
    for option, kind in (("--tcp", "TCP"), ("--websocket", "WebSocket")):
        serve.add_argument(
            option,
            metavar="[HOST:]PORT",
            help=f"listen for {kind} clients instead; the host is 127.0.0.1, port 0 any free one",
        )
    serve.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="holds a token that each client must know (default: that in the variable "
        "PARROTLET_TOKEN, if any); needed where other machines can connect",
    )
    serve.add_argument(
        "--log-level", choices=_LEVELS, default="warning", help="default: %(default)s"
    )
    serve.set_defaults(run=_serve)

    complete = subparsers.add_parser("complete", help="print the suggestion for a place in a file")
    complete.add_argument(
        "place",
        metavar="FILE:LINE[:COLUMN]",
        help="line and column count from 1; without a column, the end of the line",
    )
    complete.add_argument("--json", action="store_true", help="print one JSON object")
    _add_model(complete)
    _add_backend(complete)
    complete.set_defaults(run=_complete)

    demo = subparsers.add_parser("demo", help="watch a sample file being completed")
    _add_model(demo)
    demo.set_defaults(run=_demo)

    stats = subparsers.add_parser("stats", help="show how many suggestions you took, by day")
    stats.add_argument("--json", action="store_true", help="print one JSON object")
    stats.add_argument("--reset", action="store_true", help="delete what was counted")
    stats.set_defaults(run=_stats)

    doctor = subparsers.add_parser("doctor", help="look for what keeps suggestions from coming")
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    _add_model(doctor)
    doctor.set_defaults(run=_doctor)

    register_bundle_commands(subparsers)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="folder of a model bundle or of a checkpoint, or owner/name@commit on the Hub "
        "(default: the model that comes with Parrotlet)",
    )


def _add_backend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--candidates", type=int, choices=(1, 2, 3), default=1, help="suggestions (%(default)s)"
    )
    parser.add_argument(
        "--backend",
        choices=("onnx", "torch", "openai"),
        default="onnx",
        help="what runs the model; openai is a server at --url (default: %(default)s)",
    )
    parser.add_argument("--device", help="of torch (default: cuda or mps where there is one)")
    parser.add_argument(
        "--url",
        default="",
        help="of openai, such as http://localhost:8080/v1; its key is read "
        "from the variable PARROTLET_API_KEY or the keyring",
    )
    parser.add_argument(
        "--served-model", default="", metavar="NAME", help="of openai: the model's name there"
    )
    parser.add_argument(
        "--prompt",
        default="tokens",
        help="of openai: tokens (it runs an exported Parrotlet model), suffix, codellama, "
        "deepseek, qwen, starcoder, or a template with {prefix} and {suffix} "
        "(default: %(default)s)",
    )


def _serve(options: argparse.Namespace) -> int:
    import sys

    from .lsp.heap import keep_compact

    keep_compact()
    if options.tcp is not None or options.websocket is not None:
        return _serve_network(options)
    if options.token_file is not None:
        raise UsageError("--token-file is for --tcp and --websocket")
    from .lsp.streams import take_standard_streams

    if sys.stdin is None or sys.stdout is None:
        raise UsageError("serve talks to an editor on stdin and stdout: leave both open, or --tcp")
    if sys.stdin.isatty():
        print(
            "parrotlet serve talks to an editor on stdin and stdout; Ctrl+C ends it.",
            file=sys.stderr,
        )
    streams = take_standard_streams()

    # The model is loaded meanwhile: the protocol's classes take as long to import.
    from .backends.options import BackendOptions
    from .lsp.preload import Preload

    load = Preload(BackendOptions(model=options.model))

    from .lsp.starting import quick_imports

    with quick_imports():
        from .lsp.logs import to_stderr
        from .lsp.stdio import serve

    to_stderr(options.log_level)
    return serve(streams, options.model, load)


def _serve_network(options: argparse.Namespace) -> int:
    from .lsp.starting import quick_imports

    with quick_imports():
        from .lsp.access import Address, Token
        from .lsp.logs import to_stderr
        from .lsp.network import serve

    to_stderr(options.log_level)
    return serve(
        options.model,
        None if options.tcp is None else Address.parse(options.tcp),
        None if options.websocket is None else Address.parse(options.websocket),
        Token.read(options.token_file),
        lambda line: print(line, flush=True),
    )


def _complete(options: argparse.Namespace) -> int:
    import json
    import sys

    request = request_at(options.place)
    from .backends.options import BackendOptions
    from .engine.completer import open_completer

    completer = open_completer(
        BackendOptions(
            kind=options.backend,
            model=options.model,
            device=options.device,
            url=options.url,
            served_model=options.served_model,
            prompt=options.prompt,
        )
    )
    completion = completer.complete(replace(request, candidates=options.candidates))
    if options.json:
        print(json.dumps(_as_json(completion)))
    elif completion.suggestion is not None:
        for suggestion in (completion.suggestion, *completion.others):
            print(suggestion.text)
    else:
        print(f"parrotlet: no suggestion ({completion.reason})", file=sys.stderr)
    return 0


def _as_json(completion: Completion) -> dict[str, object]:
    suggestion = completion.suggestion
    return {
        "text": suggestion and suggestion.text,
        "overwrite": suggestion and suggestion.overwrite,
        "score": suggestion and suggestion.score,
        "others": [
            {"text": other.text, "overwrite": other.overwrite, "score": other.score}
            for other in completion.others
        ],
        "reason": completion.reason,
        "promptTokens": completion.prompt_tokens,
        "evaluatedTokens": completion.evaluated_tokens,
        "generatedTokens": completion.generated_tokens,
        "passes": completion.passes,
        "draftedTokens": completion.drafted_tokens,
        "acceptedTokens": completion.accepted_tokens,
        "milliseconds": round(1000 * completion.seconds, 1),
    }


def _demo(options: argparse.Namespace) -> int:
    from .demo import run

    return run(options.model)


def _stats(options: argparse.Namespace) -> int:
    import json

    from .usage import Summary, by_day, read, usage_file

    file = usage_file()
    try:
        if options.reset:
            file.unlink(missing_ok=True)
            print(f"deleted {file}")
            return 0
        events = list(read(file))
    except OSError as error:
        raise CommandError(f"cannot use {file}: {error.strerror}") from error
    total = Summary()
    for event in events:
        total.add(event)
    rows = {**by_day(events), "all": total}
    if options.json:
        content = {name: summary.to_json() for name, summary in rows.items()}
        print(json.dumps({"file": str(file), "all": content.pop("all"), "days": content}))
        return 0
    if not events:
        print(f"nothing counted yet in {file}")
        return 0
    print(
        f"{'day':<10} {'shown':>7} {'taken':>7} {'share':>7} {'saved':>8} {'median':>9} {'p95':>9}"
    )
    for name, summary in rows.items():
        value = summary.to_json()
        share = "" if value["rate"] is None else f"{value['rate']:.1%}"
        times = [
            "" if value[key] is None else f"{value[key]:.0f} ms"
            for key in ("medianMilliseconds", "p95Milliseconds")
        ]
        print(
            f"{name:<10} {summary.shown:>7} {summary.accepted:>7} {share:>7} "
            f"{summary.characters:>8} {times[0]:>9} {times[1]:>9}"
        )
    print(f"saved: characters of the suggestions you took; counted in {file}")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    import json
    from dataclasses import asdict

    from .doctor import examine

    checks = []
    for check in examine(options.model):
        checks.append(check)
        if not options.json:
            print(f"{'ok   ' if check.fine else 'WRONG'} {check.name}: {check.found}", flush=True)
            if not check.fine:
                print(f"      mend: {check.remedy}", flush=True)
    fine = all(check.fine for check in checks)
    if options.json:
        print(json.dumps({"fine": fine, "checks": [asdict(check) for check in checks]}))
    return 0 if fine else 1


def request_at(place: str) -> Request:
    """The request for a place given as ``FILE:LINE:COLUMN`` or ``FILE:LINE``.

    Lines and columns count from 1, columns in characters; without a column it is the line's end.

    Raises:
        UsageError: if `place` is of another form or not in the file.
        CommandError: if the file cannot be read.
    """
    match = _PLACE.match(place)
    if match is None:
        raise UsageError(f"{place!r} is not FILE:LINE:COLUMN or FILE:LINE, such as app.py:12:5")
    file, line = Path(match["file"]), int(match["line"])
    lines = _read(file).split("\n")
    if not 1 <= line <= len(lines):
        raise UsageError(f"{file} has no line {line}: its last one is {len(lines)}")
    end = len(lines[line - 1]) + 1
    column = end if match["column"] is None else int(match["column"])
    if not 1 <= column <= end:
        raise UsageError(f"line {line} of {file} has no column {column}: it ends at {end}")
    before, after = lines[line - 1][: column - 1], lines[line - 1][column - 1 :]

    from .engine import Request

    return Request(
        prefix="\n".join([*lines[: line - 1], before]),
        suffix="\n".join([after, *lines[line:]]),
        path=_told_path(file),
    )


def _read(file: Path) -> str:
    """The file's text with ``\\n`` for each line end."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandError(f"{file} is not UTF-8 text: byte {error.start} is wrong") from error
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _told_path(file: Path) -> str:
    """The path that the model is told: below the working folder, or else the name alone."""
    path = file.resolve()
    here = Path.cwd().resolve()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.name
