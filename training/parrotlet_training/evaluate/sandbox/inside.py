"""What runs inside the sandbox: gives up the rights that are left, then runs the program.

It is handed to the interpreter as text, since nothing of Parrotlet is to be seen in there, and
uses the standard library alone. It runs twice: ``LIMIT`` sets limits, which hold from the next
program on, and becomes a fresh interpreter, which as ``RUN`` reads the program and runs it.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import types
from typing import Any


def limit(limits: dict[str, int], user: int | None) -> None:
    """Sets `limits` and becomes `user` unless that is None; what follows can undo neither."""
    for name, value in limits.items():
        resource.setrlimit(getattr(resource, name), (value, value))
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    os.chdir("/tmp")


def run(report: int) -> None:
    """Runs the program on standard input and writes how it ended to the descriptor `report`."""
    job: dict[str, Any] = json.load(sys.stdin)
    # bound now: the program may put others in their place
    write, leave, who, to_json, own = os.write, os._exit, os.getpid, json.dumps, os.getpid()
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    if "random" in job["program"]:  # the same numbers in every run
        import random

        random.seed(0)
    module = types.ModuleType("program")
    sys.modules["program"] = module
    write(report, b"ready\n")
    try:
        exec(compile(job["program"], "program.py", "exec"), module.__dict__)
        end = ""
    except BaseException as error:
        end = type(error).__name__
        try:
            end += f": {error}"
        except BaseException:
            end += ": (its message fails)"
    if who() == own:  # and not a child that the program forked
        write(report, to_json([job["token"], end[:200]]).encode())
    leave(0)


if __name__ == "__main__":
    if sys.argv[1] == "LIMIT":
        limit(json.loads(sys.argv[2]), json.loads(sys.argv[3]))
        same = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1]
        os.execv(same[0], [*same, "RUN", sys.argv[4]])
    run(int(sys.argv[2]))
