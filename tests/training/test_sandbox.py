"""Containment of generated code: what it must not do, tried for real in every sandbox there is."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from itertools import count
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parrotlet_server.cli import main
from parrotlet_training.evaluate.execution import run_programs
from parrotlet_training.evaluate.sandbox import Limits, SandboxError, available, find_sandbox

SANDBOXES = available()
MIB = 1024 * 1024
_marks = count(os.getpid() % 100_000)


@pytest.fixture(params=SANDBOXES or [None], ids=str)
def sandbox(request):
    if request.param is None:
        with pytest.raises(SandboxError, match="install bubblewrap"):
            find_sandbox()
        pytest.skip("no sandbox works here, and code is refused")
    return request.param


def marked(**others) -> Limits:
    """Limits that tell this test's processes from all others."""
    return Limits(memory=300 * MIB + 4096 * next(_marks), **others)


def processes(limits: Limits) -> list[psutil.Process]:
    """Those of sandboxes with `limits`."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "status"])
        if f'"RLIMIT_AS": {limits.memory},' in " ".join(process.info["cmdline"] or [])
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


def survivors(limits: Limits) -> list[psutil.Process]:
    """Processes of sandboxes with `limits` that are still there after a while."""
    end = time.monotonic() + 20
    while (found := processes(limits)) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def run(sandbox, program: str, **limits):
    return sandbox.run(textwrap.dedent(program), marked(**limits))


def test_a_program_that_ends_passes(sandbox):
    verdict = run(sandbox, "import math\nassert math.sqrt(4) == 2\nprint('x' * 10_000_000)")
    assert (verdict.passed, verdict.reason) == (True, "passed")


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("assert 1 == 2, 'no'", "AssertionError: no"),
        ("def f(:", "SyntaxError"),
        ("raise SystemExit(0)", "SystemExit"),
        ("import os; os._exit(0)", "no verdict"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "no verdict"),
        ("def f(): f()\nf()", "RecursionError"),
        (
            "class E(Exception):\n    def __str__(self): raise self\nraise E",
            "E: (its message fails)",
        ),
        ("import os\nif os.fork(): raise ValueError('parent')", "ValueError: parent"),
        ("input()", "EOFError"),
        ("import parrotlet_training", "ModuleNotFoundError"),
    ],
)
def test_anything_else_does_not(sandbox, program, reason):
    verdict = run(sandbox, program)
    assert not verdict.passed
    assert verdict.reason.startswith(reason)


def test_a_verdict_cannot_be_forged_without_the_token(sandbox):
    program = """
        import os
        for descriptor in range(64):
            try:
                os.write(descriptor, b'["", ""]')
            except OSError:
                pass
        os._exit(0)
    """
    assert not run(sandbox, program).passed


def test_an_infinite_loop_ends(sandbox):
    limits = marked(cpu_seconds=1)
    assert not sandbox.run("while True: pass", limits).passed
    assert not survivors(limits)


def test_a_program_that_sleeps_ends(sandbox):
    limits = marked(wall_seconds=2.0)
    program = "import signal, time\nsignal.alarm(0)\nwhile True: time.sleep(60)"
    assert sandbox.run(program, limits).reason == "out of time"
    assert not survivors(limits)


@pytest.mark.parametrize("end", ["pass", "os.setsid()"])
def test_a_fork_bomb_is_smothered(sandbox, end):
    limits = marked(wall_seconds=2.0)
    program = f"import os\nwhile True:\n    try: os.fork()\n    except OSError: {end}"
    before = len(psutil.pids())
    assert not sandbox.run(program, limits).passed
    assert not survivors(limits)
    assert len(psutil.pids()) < before + 200


def test_processes_and_threads_are_counted(sandbox):
    program = """
        import os, signal, threading
        children = 0
        try:
            while children < 1000:
                if not os.fork():
                    signal.pause()
                children += 1
        except BlockingIOError:
            pass
        assert 1 <= children <= 12, children
        try:
            threading.Thread(target=signal.pause).start()
        except RuntimeError:
            pass
        else:
            raise AssertionError("one more thread")
    """
    limits = marked()
    assert sandbox.run(textwrap.dedent(program), limits).reason == "passed"
    assert not survivors(limits)  # the children that were still waiting


def test_nothing_can_be_written_but_scratch_files(sandbox, tmp_path):
    name = f"parrotlet-test-{os.getpid()}"
    home = str(Path.home())
    program = f"""
        import os, sys
        places = ["/", "/usr", "/usr/lib", "/etc", "/dev", "/dev/shm", "/var/tmp", {home!r},
                  {str(tmp_path)!r}, {str(Path(__file__).parent)!r}, os.path.dirname(os.__file__),
                  os.path.dirname(sys.executable)]
        for place in places:
            try:
                open(os.path.join(place, {name!r}), "w").write("x")
            except OSError:
                continue
            raise AssertionError(place)
        open("/tmp/{name}", "w").write("x")
        assert open({name!r}).read() == "x"
    """
    assert run(sandbox, program).reason == "passed"
    for place in ("/", "/usr", "/usr/lib", "/etc", "/tmp", "/dev/shm", "/var/tmp", home):
        assert not Path(place, name).exists()
    assert not any(tmp_path.iterdir())
    assert run(sandbox, f"open('/tmp/{name}')").reason.startswith("FileNotFoundError")


def test_the_users_files_are_not_there(sandbox, tmp_path):
    secret = Path.home() / f".parrotlet-test-{os.getpid()}"
    secret.write_text("secret")
    (tmp_path / "secret").write_text("secret")
    try:
        files = [str(secret), str(tmp_path / "secret"), __file__, "/etc/passwd", "/proc/1/environ"]
        program = f"""
            import os
            for file in {files!r}:
                try:
                    open(file).close()
                except FileNotFoundError:
                    continue
                raise AssertionError(file)
            assert set(os.environ) <= {{"PATH", "HOME", "TMPDIR", "PYTHONHASHSEED", "LC_CTYPE",
                                       "PWD", "SHLVL", "_", "OLDPWD"}}, os.environ
        """
        assert run(sandbox, program).reason == "passed"
    finally:
        secret.unlink()


def test_there_is_no_network(sandbox):
    abstract = f"\0parrotlet-test-{os.getpid()}"
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as local,
    ):
        local.bind(abstract)
        local.listen()
        program = f"""
            import socket
            addresses = [
                (socket.AF_INET, ("127.0.0.1", {server.getsockname()[1]})),
                (socket.AF_INET, ("192.0.2.1", 80)),
                (socket.AF_UNIX, {abstract!r}),
            ]
            for family, address in addresses:
                with socket.socket(family) as client:
                    client.settimeout(5)
                    try:
                        client.connect(address)
                    except OSError:
                        continue
                raise AssertionError(address)
        """
        assert run(sandbox, program).reason == "passed"
        for listener in (server, local):
            listener.setblocking(False)
            with pytest.raises(BlockingIOError):
                listener.accept()


@pytest.mark.parametrize(
    "program",
    [
        "x = bytearray(10 ** 10)",
        "x = []\nwhile True: x.append(bytearray(10 ** 6))",
        "import mmap\nx = [mmap.mmap(-1, 10 ** 8) for _ in range(50)]",
        "for n in range(100):\n    open(f'/tmp/{n}', 'wb').write(bytes(10 ** 6))",
        "with open('/tmp/x', 'wb') as f:\n    for n in range(100): f.write(bytes(10 ** 6))",
        "import os\nos.ftruncate(os.memfd_create('x'), 10 ** 9)",
    ],
)
def test_memory_and_disk_end(sandbox, program):
    verdict = run(sandbox, program)
    assert not verdict.passed
    names = ("MemoryError", "OSError", "no verdict")  # the last: a signal for a file too large
    assert verdict.reason.startswith(names)


@pytest.mark.parametrize(
    "victim",
    ["os.getppid()", "1", "-1", "0", str(os.getpid()), f"-{os.getpgid(0)}"],
    ids=["parent", "first", "all", "own group", "this process", "this group"],
)
def test_the_parent_cannot_be_killed(sandbox, victim):
    limits = marked()
    program = f"import os, signal\nos.kill({victim}, signal.SIGKILL)\nraise SystemExit"
    assert not sandbox.run(program, limits).passed
    assert not survivors(limits)


def test_no_privileges_are_left(sandbox):
    program = """
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == -1
        assert libc.mount(b"none", b"/", None, 32 | 4096, None) == -1  # writable again
        assert libc.sethostname(b"x", 1) == -1
        for call in (lambda: os.setuid(0), lambda: os.chroot("/tmp"), lambda: os.nice(-5)):
            uid = os.getuid()
            try:
                call()
            except PermissionError:
                continue
            assert os.getuid() == uid and call.__code__.co_names[1] == "setuid"  # 0 to 0
        try:
            import resource
            resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
        except ValueError:
            pass
        else:
            raise AssertionError("limits can be raised")
    """
    assert run(sandbox, program).reason == "passed"


def test_it_dies_with_who_runs_it(sandbox):
    limits = marked()
    at = SANDBOXES.index(sandbox)
    code = (
        "from parrotlet_training.evaluate.sandbox import Limits, available\n"
        "sandbox = available()[int(sys.argv[1])]\n"
        "print('on', flush=True)\n"
        "sandbox.run('import time; time.sleep(100)', Limits(memory=int(sys.argv[2])))\n"
    )
    runner = subprocess.Popen(
        [sys.executable, "-c", "import sys\n" + code, str(at), str(limits.memory)],
        stdout=subprocess.PIPE,
    )
    assert runner.stdout.readline() == b"on\n"
    while not processes(limits):
        time.sleep(0.05)
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    runner.stdout.close()
    assert not survivors(limits)


@settings(max_examples=5, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_any_text_reaches_the_program(text):
    if SANDBOXES:
        program = f"assert {text!r}.encode() == bytes({list(text.encode())!r})"
        assert SANDBOXES[0].run(program).reason == "passed"


def test_results_are_the_same_each_time_and_in_order(sandbox):
    programs = [
        "import random; raise ValueError(random.random())",
        "raise ValueError(sorted({'a', 'b', 'c'}, key=hash))",
        *(f"assert {number} % 3" for number in range(6)),
    ]
    done = []
    first = run_programs(programs * 2, sandbox, Limits(), 3, done.append)
    assert first == run_programs(programs * 2, sandbox, Limits(), 1)
    assert done == list(range(1, 9))  # equal ones once
    assert [verdict.passed for verdict in first[2:8]] == [False, True, True, False, True, True]


def test_without_a_sandbox_code_is_refused(monkeypatch, tmp_path, capsys):
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text(
        '{"task_id": "t/0", "prompt": "def f():\\n", "canonical_solution": "    return 1\\n", '
        '"test": "def check(f): assert f() == 1", "entry_point": "f"}\n'
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    words = ["evaluate", "tasks", str(tasks), "--reference", "--run-generated-code"]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "install bubblewrap" in said


def test_a_tool_that_does_not_contain_is_refused(monkeypatch, tmp_path):
    tool = tmp_path / "bwrap"  # runs what it is given, with all rights
    tool.write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match=r"it sees|network|privileges"):
        find_sandbox()
    monkeypatch.setenv("PATH", str(tmp_path / "other"))
    (tmp_path / "other").mkdir()
    tool = tmp_path / "other" / "bwrap"
    tool.write_text("#!/bin/sh\necho out of order >&2\nexit 1\n")
    tool.chmod(0o755)
    with pytest.raises(SandboxError, match="out of order"):
        find_sandbox()
