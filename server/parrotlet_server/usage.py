"""What became of suggestions, counted on this machine and nowhere else.

One line of JSON for each suggestion that was shown or taken, without any text of it, in a file that
the user can read and delete. Nothing is sent anywhere.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Literal

DATA_VARIABLE = "PARROTLET_DATA"
LARGEST = 4_000_000
"""Bytes of the file; beyond, the older half goes."""


@dataclass(frozen=True)
class Event:
    """A suggestion that was shown or taken.

    Attributes:
        kind: which of the two.
        time: when, in the local time zone.
        characters: of the suggestion.
        lines: of the suggestion.
        milliseconds: from the request to the answer, if it was shown.
        cached: whether it had been made before.
    """

    kind: Literal["shown", "accepted"]
    time: datetime
    characters: int
    lines: int = 1
    milliseconds: float | None = None
    cached: bool = False

    def to_json(self) -> str:
        """One line, without its end."""
        values: dict[str, Any] = {
            "time": self.time.isoformat(timespec="seconds"),
            "event": self.kind,
            "characters": self.characters,
            "lines": self.lines,
        }
        if self.milliseconds is not None:
            values |= {"milliseconds": round(self.milliseconds, 1), "cached": self.cached}
        return json.dumps(values)

    @classmethod
    def from_json(cls, line: str) -> Event:
        """Reads a line.

        Raises:
            ValueError: if it is none.
        """
        try:
            values = json.loads(line)
            kind = values["event"]
            if kind not in ("shown", "accepted"):
                raise ValueError(f"no such event: {kind!r:.40}")
            milliseconds = values.get("milliseconds")
            return cls(
                kind,
                datetime.fromisoformat(values["time"]),
                int(values["characters"]),
                int(values["lines"]),
                None if milliseconds is None else float(milliseconds),
                bool(values.get("cached")),
            )
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"not an event: {line!r:.60}") from error


@dataclass
class Summary:
    """Counts of a day or of all days.

    Attributes:
        shown: suggestions.
        accepted: of these.
        characters: of the accepted ones.
        milliseconds: that each shown one took.
    """

    shown: int = 0
    accepted: int = 0
    characters: int = 0
    milliseconds: list[float] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """Counts `event`."""
        if event.kind == "accepted":
            self.accepted += 1
            self.characters += event.characters
            return
        self.shown += 1
        if event.milliseconds is not None:
            self.milliseconds.append(event.milliseconds)

    def to_json(self) -> dict[str, float | int | None]:
        """The counts, the share that was taken, and the latency's median and 95th percentile."""
        times = self.milliseconds
        high = quantiles(times, n=20, method="inclusive")[-1] if len(times) > 1 else None
        return {
            "shown": self.shown,
            "accepted": self.accepted,
            "rate": round(self.accepted / self.shown, 4) if self.shown else None,
            "charactersSaved": self.characters,
            "medianMilliseconds": round(median(times), 1) if times else None,
            "p95Milliseconds": round(high, 1) if high is not None else None,
        }


def usage_file() -> Path:
    """The file, which need not exist yet.

    ``PARROTLET_DATA`` names another folder than the platform's own for a user's data.
    """
    # Imported here: the server's start needs no folder.
    from platformdirs import user_data_path

    chosen = os.environ.get(DATA_VARIABLE)
    folder = Path(chosen).expanduser() if chosen else user_data_path("parrotlet", appauthor=False)
    return folder / "usage.jsonl"


def append(file: Path, events: Iterable[Event]) -> None:
    """Adds `events`, in one write, so that several servers may do so at once.

    Raises:
        OSError: if the file cannot be written.
    """
    data = "".join(event.to_json() + "\n" for event in events).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, data)
        size = os.fstat(handle).st_size
    finally:
        os.close(handle)
    if size > LARGEST:
        _halve(file)


def read(file: Path) -> Iterator[Event]:
    """The events in `file`, none if there is none; lines that are no events are passed over."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    for line in text.splitlines():
        try:
            yield Event.from_json(line)
        except ValueError:
            continue


def by_day(events: Iterable[Event]) -> dict[str, Summary]:
    """A summary for each day, in order."""
    days: dict[str, Summary] = {}
    for event in events:
        days.setdefault(event.time.date().isoformat(), Summary()).add(event)
    return dict(sorted(days.items()))


def _halve(file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    aside = file.with_suffix(f".{os.getpid()}.tmp")
    aside.write_bytes(b"".join(lines[len(lines) // 2 :]))
    aside.replace(file)
