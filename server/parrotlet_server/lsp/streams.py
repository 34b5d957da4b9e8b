"""Standard input and output, kept for the protocol."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Streams:
    """Descriptors to an editor.

    Attributes:
        source: to read from.
        sink: to write to.
    """

    source: int
    sink: int


def take_standard_streams() -> Streams:
    """Takes standard input and output away from everything else.

    From now on, what a library prints goes to standard error, and input is at its end.
    """
    sys.stdout.flush()
    streams = Streams(os.dup(0), os.dup(1))
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return streams
