"""A program in, how it ended out: one short-lived sandbox for each."""

from __future__ import annotations

import json
import os
import secrets
import select
import subprocess
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import chain, count
from pathlib import Path
from typing import Literal

from .errors import SandboxError
from .limits import Limits
from .view import View

Tool = Literal["bwrap", "unshare"]
Rights = Literal["user", "root"]

_INSIDE = Path(__file__).with_name("inside.py").read_text(encoding="utf-8")
_ENTER = Path(__file__).with_name("enter.py").read_text(encoding="utf-8")

# No site packages, nothing from the environment but what stands in _ENVIRONMENT.
_FLAGS = ("-s", "-S", "-P", "-B", "-X", "utf8", "-c")
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "PYTHONHASHSEED": "0",  # sets have the same order in every run
}
# If memory runs out all the same, the kernel shall take these processes first.
_FIRST_TO_GO = ("/bin/sh", "-c", 'echo 1000 >/proc/self/oom_score_adj; exec "$@"', "sh")

_NOBODY = 65534
_FIRST_USER, _USERS = 61_184, 4_336
"""Real user ids that belong to nobody (systemd's range for services that come and go)."""

START_SECONDS = 60.0
"""For the sandbox to be ready, on however busy a machine."""

_READY = b"ready\n"
_LONGEST_ANSWER = 4096

_turns = count()


@dataclass(frozen=True)
class Verdict:
    """How a program ended.

    Attributes:
        passed: whether it ran to its end.
        reason: "passed", or what stopped it: an exception, "out of time", "no verdict (…)".
    """

    passed: bool
    reason: str


@dataclass(frozen=True)
class Sandbox:
    """A way to contain programs; `find_sandbox` finds one that works here.

    Each program has its own process, network, IPC and mount namespaces and sees a read-only
    interpreter, the system's libraries and an empty /tmp that vanishes.

    Attributes:
        tool: the program that makes the namespaces.
        executable: its path.
        rights: "user": inside a user namespace, as any user may; "root": with root's own rights,
            from which the program is cut off as a real user that owns nothing.
        view: what the program sees.
        helper: ``setpriv``, which `unshare` needs.
    """

    tool: Tool
    executable: str
    rights: Rights
    view: View
    helper: str = ""

    def __str__(self) -> str:
        return self.tool if self.rights == "user" else f"{self.tool} as root"

    def run(self, program: str, limits: Limits | None = None) -> Verdict:
        """Runs the Python text `program` and waits for its end.

        Threads may call this at the same time. The thread must live until it returns.

        Raises:
            SandboxError: if the sandbox could not be set up; `program` has not been run then.
        """
        limits = limits or Limits()
        token = secrets.token_hex(16)
        job = json.dumps({"program": program, "token": token}).encode()
        with ExitStack() as files:
            source = files.enter_context(open(os.memfd_create("job"), "w+b"))  # noqa: PTH123
            source.write(job)
            source.seek(0)
            reader, writer = os.pipe()
            files.callback(os.close, reader)
            try:
                process = subprocess.Popen(
                    self._command(limits, writer),
                    stdin=source,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env=_ENVIRONMENT,
                    cwd="/",
                    pass_fds=(writer,),
                    start_new_session=True,
                )
            except OSError as error:
                raise SandboxError(f"{self} cannot be started: {error}") from error
            finally:
                os.close(writer)
            with process:
                try:
                    ready, _ = _listen(reader, START_SECONDS, len(_READY))
                    ended = ready != _READY
                    if not ended:
                        answer, ended = _listen(reader, limits.wall_seconds, _LONGEST_ANSWER)
                    if ended:
                        process.wait(START_SECONDS)
                except subprocess.TimeoutExpired:
                    ended = False
                finally:
                    process.kill()
                _, said = process.communicate()
        if ready != _READY:
            lines = said.decode(errors="replace").strip().splitlines()
            reason = lines[-1] if lines else f"exit code {process.returncode}"
            raise SandboxError(f"{self} cannot be set up: {reason}")
        return _judge(answer, token, not ended, process.returncode)

    def _command(self, limits: Limits, report: int) -> list[str]:
        turn = os.getpid() + next(_turns)
        user = _FIRST_USER + turn % _USERS if self.rights == "root" else None
        inside = [self.view.python, *_FLAGS, _INSIDE, "LIMIT", json.dumps(limits.resources())]
        inside += [json.dumps(user), str(report)]
        outside = self._bwrap(limits) if self.tool == "bwrap" else self._unshare(limits)
        return [*_FIRST_TO_GO, *outside, *inside]

    def _bwrap(self, limits: Limits) -> list[str]:
        command = [self.executable, "--die-with-parent", "--new-session"]
        command += [f"--unshare-{name}" for name in ("ipc", "pid", "net", "uts", "cgroup-try")]
        command += ["--hostname", "sandbox", "--cap-drop", "ALL"]
        if self.rights == "user":
            command += ["--unshare-user", "--uid", str(_NOBODY), "--gid", str(_NOBODY)]
        else:
            command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        for folder in self.view.parents:  # bubblewrap's own would be for root alone
            command += ["--perms", "0755", "--dir", folder]
        for path in self.view.read_only:
            command += ["--ro-bind", path, path]
        command += chain.from_iterable(("--symlink", *link) for link in self.view.links)
        for path in self.view.devices:
            command += ["--dev-bind", path, path]
        command += ["--perms", "1777", "--size", str(limits.disk), "--tmpfs", "/tmp"]
        return [*command, "--remount-ro", "/", "--"]

    def _unshare(self, limits: Limits) -> list[str]:
        command = [self.helper, "--pdeathsig", "KILL", self.executable, "--fork"]
        command += ["--kill-child=KILL", "--mount", "--pid", "--net", "--ipc", "--uts"]
        if self.rights == "user":
            command += ["--user", "--map-root-user"]
        spec = {
            **asdict(self.view),
            "disk": limits.disk,
            "changes_user": self.rights == "root",
        }
        return [*command, "--", self.view.python, *_FLAGS, _ENTER, json.dumps(spec)]


def _listen(descriptor: int, seconds: float, size: int) -> tuple[bytes, bool]:
    """Reads up to `size` bytes of a pipe, for at most `seconds`.

    Returns:
        What came, and whether that is all: every process that could write has ended.
    """
    end = time.monotonic() + seconds
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    heard = b""
    while len(heard) < size:
        if not poll.poll(1000 * max(0.0, end - time.monotonic())):
            return heard, False
        more = os.read(descriptor, size - len(heard))
        if not more:
            return heard, True
        heard += more
    return heard, False


def _judge(end: bytes, token: str, timed_out: bool, code: int) -> Verdict:
    try:
        said, reason = json.loads(end)
    except (ValueError, TypeError):
        said = reason = None
    if said == token and isinstance(reason, str):
        return Verdict(not reason, reason or "passed")
    if timed_out:
        return Verdict(False, "out of time")
    if code in (137, -9):  # what the kernel does about too much processor time, among others
        return Verdict(False, "killed (out of processor time?)")
    return Verdict(False, f"no verdict (exit code {code})")
