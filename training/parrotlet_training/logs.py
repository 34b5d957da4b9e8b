"""What the processes of a training say: a log file each, and the first one on the terminal too."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm
from transformers.utils import logging as transformers_logging

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _AboveBar(logging.Handler):
    """Writes to standard error without breaking a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(f"parrotlet: {self.format(record)}", file=sys.stderr)


@contextmanager
def logged(folder: Path, rank: int) -> Iterator[None]:
    """Sends what any library logs or warns to ``rank-N.log`` in `folder`, until the block ends.

    The first process also shows what is for the user; the others are silent, unless they fail.

    Args:
        folder: is made.
        rank: of this process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = logging.FileHandler(folder / f"rank-{rank}.log", encoding="utf-8")
    file.setFormatter(logging.Formatter(_FORMAT))
    shown = _AboveBar(logging.INFO if rank == 0 else logging.CRITICAL)
    shown.addFilter(lambda record: record.name.startswith("parrotlet") or record.levelno > 30)
    root, own = logging.getLogger(), logging.getLogger("parrotlet_training")
    level, own_level = root.level, own.level
    for handler in (file, shown):
        root.addHandler(handler)
    root.setLevel(min(level, logging.WARNING))
    own.setLevel(logging.INFO)
    logging.captureWarnings(True)
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # for files that are there in a blink
    try:
        yield
    except BaseException:
        # to the file alone: on the terminal the command says it in its own words
        record = own.makeRecord(
            own.name, logging.ERROR, __file__, 0, "ended by an error", (), sys.exc_info()
        )
        file.handle(record)
        raise
    finally:
        logging.captureWarnings(False)
        if bars:
            transformers_logging.enable_progress_bar()
        root.setLevel(level)
        own.setLevel(own_level)
        for handler in (file, shown):
            root.removeHandler(handler)
            handler.close()
