"""What a program in the sandbox may use."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """Bounds of one program.

    Attributes:
        cpu_seconds: processor time of each of its processes; it tells what is too slow, since it
            depends little on how busy the machine is.
        wall_seconds: time by the clock, for a program that waits.
        memory: bytes of address space of each of its processes.
        processes: processes and threads at a time, a few of the sandbox's own included.
        file_size: bytes of one file.
        disk: bytes of all its files together; they lie in memory and vanish with it.
        open_files: at a time, in each process.
    """

    cpu_seconds: int = 10
    wall_seconds: float = 60.0
    memory: int = 512 * MIB
    processes: int = 12
    file_size: int = 8 * MIB
    disk: int = 32 * MIB
    open_files: int = 64

    @classmethod
    def of(cls, seconds: int, memory: int) -> Limits:
        """Limits for `seconds` of processor time and `memory` MiB."""
        return cls(cpu_seconds=seconds, wall_seconds=6.0 * seconds, memory=memory * MIB)

    def resources(self) -> dict[str, int]:
        """Those that the kernel enforces for each process, by their names in `resource`."""
        return {
            "RLIMIT_CPU": self.cpu_seconds,
            "RLIMIT_AS": self.memory,
            "RLIMIT_NPROC": self.processes,
            "RLIMIT_FSIZE": self.file_size,
            "RLIMIT_NOFILE": self.open_files,
            "RLIMIT_CORE": 0,
            "RLIMIT_MEMLOCK": 0,
        }
