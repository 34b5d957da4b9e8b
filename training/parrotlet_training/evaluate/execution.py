"""Many programs in sandboxes, several at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from .sandbox import Limits, Sandbox, Verdict


def run_programs(
    programs: Sequence[str],
    sandbox: Sandbox,
    limits: Limits,
    workers: int,
    progress: Callable[[int], object] | None = None,
) -> list[Verdict]:
    """The verdict of each of `programs`, in their order; equal ones are run once.

    Args:
        programs: Python texts.
        sandbox: of `find_sandbox`.
        limits: of each program.
        workers: sandboxes at a time.
        progress: is told the number of different programs done.

    Raises:
        SandboxError: if a sandbox cannot be set up.
    """
    different = list(dict.fromkeys(programs))
    verdicts: dict[str, Verdict] = {}
    pool = ThreadPoolExecutor(max_workers=workers)
    try:
        waiting = {pool.submit(sandbox.run, program, limits): program for program in different}
        for done in as_completed(waiting):
            verdicts[waiting[done]] = done.result()
            if progress:
                progress(len(verdicts))
    finally:
        pool.shutdown(cancel_futures=True)
    return [verdicts[program] for program in programs]
