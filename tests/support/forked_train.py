"""Trainings in processes that can be killed, without their minutes of imports.

One process imports all and then forks a child for each rank of each training. A child joins the
others by the environment that a launcher would give it: two ranks are two real processes with gloo.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Training:
    """One training, under way or over.

    Attributes:
        pids: of its ranks.
        output: of all of them.
    """

    pids: list[int]
    output: Path
    _server: ForkServer

    def wait(self) -> list[int]:
        """Exit codes of the ranks; the negative number of the signal that ended one."""
        return self._server.read()


class ForkServer:
    """The process that forks; one training at a time."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._count = 0
        paths = os.pathsep.join(filter(None, sys.path))
        environment = {
            **os.environ,
            "PYTHONPATH": paths,
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "TOKENIZERS_PARALLELISM": "false",
            "WANDB_MODE": "offline",
            "WANDB_SILENT": "true",
        }
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, recipe: Path, run: Path, *overrides: str, ranks=1, **more) -> Training:
        """Starts a training; `more` may hold ``init_from`` and ``fsdp``."""
        self._count += 1
        output = self._scratch / f"{self._count}.txt"
        job = {
            "recipe": str(recipe),
            "run": str(run),
            "overrides": overrides,
            "ranks": ranks,
            "output": str(output),
            **more,
        }
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return Training(self.read(), output, self)

    def train(self, recipe: Path, run: Path, *overrides: str, ranks=1, **more) -> str:
        """Trains to the end and returns what was printed."""
        training = self.start(recipe, run, *overrides, ranks=ranks, **more)
        codes = training.wait()
        assert codes == [0] * ranks, training.output.read_text()
        return training.output.read_text()

    def fail(self, recipe: Path, run: Path, *overrides: str, ranks=1, **more) -> str:
        """Trains until it fails and returns what was printed."""
        training = self.start(recipe, run, *overrides, ranks=ranks, **more)
        assert training.wait() == [1] * ranks, training.output.read_text()
        return training.output.read_text()

    def read(self):
        line = self._process.stdout.readline()
        assert line, "the process that forks has ended"
        return json.loads(line)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(60)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def main() -> None:
    """Reads a job a line; answers with the pids, then with the exit codes."""
    from parrotlet_training.train import train  # noqa: F401  all that children need

    for line in sys.stdin:
        job = json.loads(line)
        port = free_port()
        pids = []
        for rank in range(job["ranks"]):
            pid = os.fork()
            if not pid:
                os._exit(_child(job, rank, port))
            pids.append(pid)
        print(json.dumps(pids), flush=True)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        print(json.dumps(codes), flush=True)


def _child(job, rank: int, port: int) -> int:
    output = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(output, number)
    if job["ranks"] > 1:
        os.environ |= {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(job["ranks"]),
            "LOCAL_WORLD_SIZE": str(job["ranks"]),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
    try:
        import torch

        from parrotlet_training.recipe import load_recipe
        from parrotlet_training.train import train

        torch.set_num_threads(1)
        if job.get("fsdp"):
            _shard_on_processors()
        recipe = load_recipe(job["recipe"], job["overrides"])
        print("checkpoint:", train(recipe, Path(job["run"]), job.get("init_from")), flush=True)
        return 0
    except Exception as error:
        traceback.print_exc()
        print(f"{type(error).__name__}: {error}", flush=True)
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _shard_on_processors() -> None:
    """Accelerate shards on accelerators alone, though its code and torch's run on CPUs as well."""
    from accelerate.state import PartialState
    from accelerate.utils import DistributedType

    original = PartialState.__init__

    def init(self, cpu=False, **options):
        original(self, cpu, **options)
        if self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.MULTI_GPU

    PartialState.__init__ = init


if __name__ == "__main__":
    main()
