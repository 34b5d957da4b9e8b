"""Finding a sandbox that holds on this machine: each is tried before it is trusted."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from .errors import SandboxError
from .limits import MIB, Limits
from .sandbox import Rights, Sandbox
from .view import view_of_python

INSTALL = "install bubblewrap (apt install bubblewrap, dnf install bubblewrap)"

# Asserts, from the inside, what the sandbox promises.
_TRIAL = """
import os, resource, signal, socket, sys

assert os.getuid() != 0 or {user!r} == "user", "it runs as root"
assert not any(name != "lo" for _, name in socket.if_nameindex()), "it has a network"
assert sorted(os.listdir("/")) == {root!r}, f"it sees {{os.listdir('/')}}"
home = sorted(os.listdir({home!r})) if os.path.exists({home!r}) else None
assert home == {in_home!r}, f"it sees {{home}} in the home folder"
assert resource.getrlimit(resource.RLIMIT_AS)[1] == {memory!r}, "memory is not limited"
for folder in ("/", "/dev", os.path.dirname(sys.executable)):
    try:
        open(os.path.join(folder, "written"), "w")
    except OSError:
        pass
    else:
        raise AssertionError(f"it can write to {{folder}}")
try:
    os.chroot("/tmp")
except PermissionError:
    pass
else:
    raise AssertionError("it keeps privileges")
children = 0
try:
    while children < {processes!r}:
        if not os.fork():
            signal.pause()
        children += 1
except BlockingIOError:
    pass
assert children < {processes!r}, "the number of processes is not limited"
"""


def find_sandbox() -> Sandbox:
    """The first way to contain programs that works here.

    Raises:
        SandboxError: if none does; it says why and what to install.
    """
    reasons = []
    for sandbox in _candidates():
        reason = _fault(sandbox)
        if reason is None:
            return sandbox
        reasons.append(f"{sandbox}: {reason}")
    if not sys.platform.startswith("linux"):
        raise SandboxError(
            "generated code runs only in a sandbox, which takes Linux: run this on a Linux "
            "machine, or score the completions there (--score FILE)"
        )
    tried = f" ({'; '.join(reasons)})" if reasons else ""
    raise SandboxError(
        f"generated code runs only in a sandbox, and there is none here{tried}: {INSTALL}, in a "
        "container one that may make namespaces"
    )


def available() -> list[Sandbox]:
    """Every way that works here, for tests."""
    return [sandbox for sandbox in _candidates() if _fault(sandbox) is None]


def _candidates() -> Iterator[Sandbox]:
    if not sys.platform.startswith("linux"):
        return
    view = view_of_python()
    # Root outside of a user namespace first: there the kernel counts a user's processes, which it
    # does not for the real root under another name.
    rights: tuple[Rights, ...] = ("root", "user") if os.geteuid() == 0 else ("user",)
    bwrap, unshare, setpriv = map(shutil.which, ("bwrap", "unshare", "setpriv"))
    for right in rights:
        if bwrap:
            yield Sandbox("bwrap", bwrap, right, view)
    for right in rights:
        if unshare and setpriv:
            yield Sandbox("unshare", unshare, right, view, setpriv)


@cache
def _fault(sandbox: Sandbox) -> str | None:
    """What is wrong with `sandbox`; None if it holds."""
    limits = Limits(wall_seconds=60.0, memory=256 * MIB)
    home = Path.home().resolve()
    trial = _TRIAL.format(
        user=sandbox.rights,
        root=sandbox.view.names_in(Path("/")),
        home=str(home),
        in_home=sandbox.view.names_in(home),
        memory=limits.memory,
        processes=limits.processes,
    )
    try:
        verdict = sandbox.run(trial, limits)
    except SandboxError as error:
        return str(error).removeprefix(f"{sandbox} ")
    return None if verdict.passed else verdict.reason
