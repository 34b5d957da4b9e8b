"""Builds the sandbox's view of the file system inside fresh namespaces of `unshare`.

It does what bubblewrap does where that is missing. It is handed to the interpreter as text, is the
first process of its namespaces, and uses the standard library alone.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import sys
from pathlib import Path
from typing import Any

# from the kernel's headers: linux/mount.h, linux/prctl.h, asm-generic/unistd.h
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC = 1, 2, 4, 32, 4096, 16384
MNT_DETACH = 2
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE = 442, -100, 0x8000
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
CAP_SETGID, CAP_SETUID, LAST_CAP = 6, 7, 63

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    """Raises OSError if a call of the C library failed."""
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Calls the kernel's function of this name."""
    encoded = None if kind is None else kind.encode()
    result = libc.mount(
        source.encode(), target.encode(), encoded, ctypes.c_ulong(flags), data.encode()
    )
    check(result, f"cannot mount {target}")


def show(path: str, flags: int) -> None:
    """Makes `path` visible at the same place below the working folder, with what lies in it."""
    target = path.lstrip("/")
    if Path(path).is_dir():
        Path(target).mkdir(parents=True, exist_ok=True)
    else:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(target).touch()
    mount(path, target, None, MS_BIND | MS_REC)
    attributes = struct.pack("=QQQQ", flags, 0, 0, 0)
    result = libc.syscall(
        MOUNT_SETATTR, AT_FDCWD, target.encode(), AT_RECURSIVE, attributes, len(attributes)
    )
    check(result, f"cannot protect {path}")


def enter(spec: dict[str, Any]) -> None:
    """Leaves the machine's file system for one that holds what `spec` names, and its rights."""
    # any folder will do to build on; nothing here needs /proc any more
    mount("tmpfs", "/proc", "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")
    os.chdir("/proc")
    for path in spec["read_only"]:
        show(path, MS_RDONLY | MS_NOSUID | MS_NODEV)
    for target, path in spec["links"]:
        Path(path.lstrip("/")).symlink_to(target)
    for path in spec["devices"]:
        show(path, MS_NOSUID)
    Path("tmp").mkdir()
    size = f"size={spec['disk']},nr_inodes=4096,mode=1777"
    mount("tmpfs", "tmp", "tmpfs", MS_NOSUID | MS_NODEV, size)
    mount("", ".", None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)
    check(libc.pivot_root(b".", b"."), "cannot change the root")  # pivot_root(2), NOTES
    check(libc.umount2(b".", MNT_DETACH), "cannot leave the old root")
    os.chdir("/")
    kept = (CAP_SETGID, CAP_SETUID) if spec["changes_user"] else ()
    for capability in range(LAST_CAP + 1):
        if capability not in kept:
            libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails for those unknown here
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "cannot give up privileges")


def main() -> None:
    """Enters, starts the command in a process of its own and ends, with all others, when it does.

    Its arguments: the specification, then the command.
    """
    enter(json.loads(sys.argv[1]))
    child = os.fork()
    if not child:
        os.setsid()
        os.execv(sys.argv[2], sys.argv[2:])
    ended, status = 0, 0
    while ended != child:
        ended, status = os.wait()
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
