"""The server ends with the editor that started it, even if its pipes stay open."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable

logger = logging.getLogger(__name__)

_INTERVAL = 2.0


def is_alive(pid: int) -> bool:
    """Whether there is a process of that number."""
    if pid <= 0:
        return False
    if sys.platform == "win32":
        return _is_alive_on_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


async def watch(pid: int, gone: Callable[[], None]) -> None:
    """Calls `gone` once the process has ended.

    A process that is not there from the start is in another container, or the client does not
    tell the truth: then it is not watched.
    """
    if not is_alive(pid):
        logger.info("the editor's process %d is not visible from here", pid)
        return
    while is_alive(pid):
        await asyncio.sleep(_INTERVAL)
    logger.warning("the editor's process %d has ended", pid)
    gone()


def _is_alive_on_windows(pid: int) -> bool:
    # os.kill(pid, 0) would send Ctrl+C there
    import ctypes

    synchronize, wait_timeout = 0x00100000, 0x102
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined]
    handle = kernel.OpenProcess(synchronize, False, pid)
    if not handle:
        return False
    try:
        return bool(kernel.WaitForSingleObject(handle, 0) == wait_timeout)
    finally:
        kernel.CloseHandle(handle)
