"""The command `parrotlet`: finds the sub-commands, runs one and words its errors."""

from __future__ import annotations

import argparse
import difflib
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import NoReturn, TypeAlias

from .errors import CommandError, UsageError
from .version import version

GROUP = "parrotlet.commands"
DEBUG_VARIABLE = "PARROTLET_DEBUG"

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Register: TypeAlias = Callable[[Subparsers], None]


class _Parser(argparse.ArgumentParser):
    """A parser whose errors take one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"parrotlet: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: without the program's name; None takes those of the process.

    Returns:
        The exit code: 0, 1 for a failure, 2 for wrong use, 130 after an interruption.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that is not of UTF-8
    try:
        return _run(words)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # whoever read the output has gone; nothing more may be written at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE) == "1":
            traceback.print_exc()
        return _report(error)


def _run(words: list[str]) -> int:
    parser: argparse.ArgumentParser = _Parser(
        prog="parrotlet",
        description="Completes Python code as you type, on your own processor.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"parrotlet {version()}")
    subparsers = parser.add_subparsers(metavar="COMMAND", dest="command", title="commands")
    _own()(subparsers)
    own = set(subparsers.choices)
    # the server starts without looking at the commands of other parts, nor importing them
    command = next((word for word in words if not word.startswith("-")), None)
    if command not in subparsers.choices:
        missing = _others(subparsers)
        if command is not None and command not in subparsers.choices:
            raise _unknown(command, subparsers, missing)
    options = parser.parse_args(words)
    if options.command is None:
        parser.print_help(sys.stderr)
        return 2
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("parrotlet"):
            raise
        package = "parrotlet" if command in own else "parrotlet[train]"
        raise UsageError(
            f'{command!r} needs {error.name}, which is not installed: pip install "{package}"'
        ) from error


def _own() -> Register:
    from .commands import register

    return register


def _others(subparsers: Subparsers) -> list[str]:
    """Adds the commands of the other parts.

    Returns:
        Why parts could not be loaded.
    """
    reasons = []
    for entry in entry_points(group=GROUP):
        if entry.module == f"{__package__}.commands":
            continue
        try:
            register: Register = entry.load()
            register(subparsers)
        except Exception as error:  # one broken part must not take the others along
            reasons.append(str(error) or type(error).__name__)
    return reasons


def _unknown(command: str, subparsers: Subparsers, missing: list[str]) -> UsageError:
    similar = difflib.get_close_matches(command, subparsers.choices, n=1)
    if similar:
        return UsageError(f"there is no command {command!r}; did you mean {similar[0]!r}?")
    if missing:
        return UsageError(
            f"{command!r} is not available ({missing[0]}): "
            'pip install "parrotlet[train]" installs what training needs'
        )
    return UsageError(f"there is no command {command!r} (see parrotlet --help)")


def _report(error: Exception) -> int:
    """Prints `error` in one line and gives the exit code."""
    code = 1
    text = " ".join(str(error).split()) or type(error).__name__
    package = type(error).__module__.partition("_")[0]
    if isinstance(error, CommandError):
        code = error.exit_code
    elif package != "parrotlet" and not isinstance(error, OSError):
        text = f"{type(error).__name__}: {text} ({DEBUG_VARIABLE}=1 shows where)"
    print(f"parrotlet: {text}", file=sys.stderr)
    return code
