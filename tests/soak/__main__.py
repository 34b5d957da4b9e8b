"""Edits and asks at a steady rate for a long time, and tells what became of each request.

Ends with 1 if a reply is missing or came twice, a request failed, memory has grown, or the server
did not end properly.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ..support.lsp_client import at, client, notification

MIB = 2**20
CANCELLED = -32800
MODULES = ("argparse", "ast", "calendar", "cmd", "dis", "doctest", "inspect", "json/decoder")
SETTINGS = (
    {},
    {"multiline": "always"},
    {"multiline": "never", "debounce": 30},
    {"debounce": "manual"},
    {"exclude": ["excluded_*"], "comments": False},
    {"minimumScore": -0.7, "popup": False},
)
GROWTH = 1.1
"""Of the memory after the warm-up, and `ROOM` MiB: more at the end is a leak."""

ROOM = 20
LONG, STEEPEST = 1800, 20
"""Seconds from which on the slope of the memory in the second half is judged, and MiB an hour."""

INLINE, POPUP = "textDocument/inlineCompletion", "textDocument/completion"


@dataclass
class File:
    """An open file of which a part is being typed."""

    path: Path
    text: str
    at: int = 0
    end: int = 0
    version: int = 1

    @property
    def uri(self):
        return self.path.as_uri()

    @property
    def current(self):
        """The text as the server should have it."""
        return self.text[: self.at] + self.text[self.end :] if self.at else self.text

    def start(self, draw):
        """Gives the text without the rest of some line and the three below, which is typed next."""
        self.at = draw.randrange(len(self.text) // 2, len(self.text) - 400)
        end = self.at
        for _ in range(4):
            end = self.text.find("\n", end + 1)
        self.end = end
        self.version += 1
        return self.current

    @property
    def cursor(self):
        before = self.text[: self.at]
        return before.count("\n"), len(before) - before.rfind("\n") - 1

    def type(self, draw):
        """Types one to three characters; gives the change."""
        keys, cursor = self.text[self.at : self.at + draw.randint(1, 3)], self.cursor
        self.at += len(keys)
        self.version += 1
        return cursor, cursor, keys


@dataclass
class Soak:
    """A session and what was asked in it."""

    session: object
    folder: Path
    draw: random.Random
    sent: Counter = field(default_factory=Counter)
    asked: dict[int, str] = field(default_factory=dict)
    memory: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self):
        self.texts = [file.read_text(encoding="utf-8") for file in workspace_files()]
        self.files = []
        self.count = 0
        for _ in range(4):
            self.open()

    def run(self, seconds, rate):
        """Sends `rate` requests a second; one late is sent at once, none is left out."""
        process = psutil.Process(self.session.process.pid)
        started = time.monotonic()
        for number in range(round(seconds * rate)):
            due = started + number / rate
            if (early := due - time.monotonic()) > 0:
                time.sleep(early)
            if number % round(rate) == 0:
                self.memory.append((time.monotonic() - started, process.memory_info().rss / MIB))
            self.step()
        return time.monotonic() - started

    def step(self):
        draw = self.draw
        if draw.random() < 0.03:
            draw.shuffle(self.files)  # the last one is worked on
            self.sent["switch of the file"] += 1
        if draw.random() < 0.01:
            self.close()
            self.open()
        if draw.random() < 0.005:
            self.session.settings = draw.choice(SETTINGS)
            self.notify("workspace/didChangeConfiguration", {"settings": None})
        if draw.random() < 0.01:
            self.save(draw.choice(self.files))
        file = self.files[-1]
        if file.at == 0 or draw.random() < 0.02:
            self.change(file, file.start(draw))
        else:
            self.change(file, file.type(draw))
        kind = draw.choices(["ask", "cancel", "popup", "statistics", "accept"], [66, 18, 10, 4, 2])[
            0
        ]
        if kind == "statistics":
            self.request("parrotlet/statistics", {})
        elif kind == "accept":
            number = draw.randrange(1, 50)
            self.request(
                "workspace/executeCommand",
                {"command": "parrotlet.accepted", "arguments": [number]},
            )
        else:
            context = {"context": {"triggerKind": draw.choice([1, 2])}}
            params = {**at(file.uri, *file.cursor), **context}
            identity = self.request(POPUP if kind == "popup" else INLINE, params)
            if kind == "cancel":
                self.notify("$/cancelRequest", {"id": identity})

    def request(self, method, params):
        identity = self.session.request(method, params)
        self.asked[identity] = method
        self.sent[method] += 1
        return identity

    def notify(self, method, params):
        self.session.send(notification(method, params))
        self.sent[method] += 1

    def change(self, file, change):
        self.session.change(file.uri, change, version=file.version)
        self.sent["textDocument/didChange"] += 1

    def open(self):
        self.count += 1
        name = self.draw.choice(["module", "module", "excluded"])
        path = self.folder / "edited" / f"{name}_{self.count}.py"
        file = File(path, self.draw.choice(self.texts))
        self.session.open(file.uri, file.text)
        self.files.append(file)
        self.sent["textDocument/didOpen"] += 1

    def indexed(self, patience):
        """How many files of the workspace the server knows, once it knows all of them."""
        deadline, files = time.monotonic() + patience, 0
        while files < len(MODULES) and time.monotonic() < deadline:
            self.session.reply(self.request(INLINE, at(self.files[-1].uri, 0, 0)), timeout=60)
            reply = self.session.reply(self.request("parrotlet/statistics", {}), timeout=60)
            files = reply["result"]["workspaceFiles"]
            time.sleep(0.2)
        return files

    def save(self, file):
        """What the server reads of the workspace changes with it."""
        file.path.write_text(file.current, encoding="utf-8")
        self.notify("textDocument/didSave", {"textDocument": {"uri": file.uri}})

    def close(self):
        file = self.files.pop(self.draw.randrange(len(self.files)))
        self.notify("textDocument/didClose", {"textDocument": {"uri": file.uri}})
        file.path.unlink(missing_ok=True)


def workspace_files():
    """Of the standard library."""
    folder = Path(sysconfig.get_path("stdlib"))
    return [folder / f"{name}.py" for name in MODULES]


def slope(samples):
    """MiB an hour, by least squares."""
    if len(samples) < 2:
        return 0.0
    times, sizes = zip(*samples, strict=True)
    return 3600 * statistics.linear_regression(times, sizes).slope


def outcome(reply):
    """What became of a request."""
    if "error" in reply:
        return "cancelled" if reply["error"]["code"] == CANCELLED else "failed"
    result = reply["result"]
    if isinstance(result, dict) and "items" in result:
        result = result["items"]
    return "answered" if result else "nothing to suggest"


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600, help="default: %(default)s")
    parser.add_argument("--rate", type=float, default=20, help="requests a second (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", help="default: the bundled model")
    options = parser.parse_args()
    arguments = ("--model", options.model) if options.model else ()
    with (
        tempfile.TemporaryDirectory() as data,
        tempfile.TemporaryDirectory() as root,
        client(*arguments, env={"PARROTLET_DATA": data}) as session,
    ):
        folder = Path(root).resolve()
        (folder / "edited").mkdir()
        for file in workspace_files():
            shutil.copy(file, folder)
        session.start(rootUri=folder.as_uri())
        soak = Soak(session, folder, random.Random(options.seed))
        files_before = psutil.Process(session.process.pid).num_fds()
        took = soak.run(options.seconds, options.rate)
        session.settings = {}
        soak.notify("workspace/didChangeConfiguration", {"settings": None})
        indexed = soak.indexed(patience=30)
        missing = await_all(session, soak.asked)
        files_after = psutil.Process(session.process.pid).num_fds()
        code = session.shut_down(timeout=60)
        return report(session, soak, took, missing, files_after - files_before, indexed, code)


def await_all(session, asked, patience=60):
    """Waits for what is still under way; gives the ids without a reply."""
    deadline = time.monotonic() + patience
    missing = list(asked)
    while missing and time.monotonic() < deadline:
        missing = [identity for identity in missing if not session.replies(identity)]
        time.sleep(0.1)
    return missing


def report(session, soak, took, missing, more_files, indexed, code):
    """Prints a table and gives the exit code."""
    outcomes, waits, twice = Counter(), [], 0
    for identity, method in soak.asked.items():
        replies = session.replies(identity)
        twice += len(replies) > 1
        for reply in replies[:1]:
            outcomes[outcome(reply)] += 1
            if method == INLINE and outcome(reply) == "answered":
                waits.append(1000 * session.seconds[identity])
    warm = min(300, took / 4)
    steady = [(when, size) for when, size in soak.memory if when >= warm] or soak.memory
    edge = max(1, len(steady) // 10)
    later = [sample for sample in soak.memory if sample[0] >= took / 2]
    first = statistics.median(size for _, size in steady[:edge])
    last = statistics.median(size for _, size in steady[-edge:])
    times = sorted(waits) or [0.0]
    rows = {
        "time": f"{took:,.0f} s",
        "requests": f"{len(soak.asked):,} ({len(soak.asked) / took:.1f} a second)",
        **{name: f"{number:,}" for name, number in soak.sent.most_common()},
        **{f"replies: {name}": f"{number:,}" for name, number in outcomes.most_common()},
        "replies missing": f"{len(missing):,}",
        "replies too many": f"{twice:,}",
        "suggestion, median": f"{statistics.median(times):.0f} ms",
        "suggestion, 95th percentile": f"{times[int(0.95 * (len(times) - 1))]:.0f} ms",
        f"memory after {warm:.0f} s": f"{first:.0f} MiB",
        "memory at the end": f"{last:.0f} MiB",
        "slope of the memory in the second half": f"{slope(later):+.1f} MiB an hour",
        "more open files": f"{more_files:+d}",
        "exit code": str(code),
    }
    print("| | |\n| --- | ---: |")
    for name, value in rows.items():
        print(f"| {name} | {value} |")
    wrong = {
        "replies are missing": bool(missing),
        "replies came twice": twice > 0,
        "requests failed": outcomes["failed"] > 0,
        "nothing was suggested at all": not waits,
        "memory has grown": last > GROWTH * first + ROOM,
        "memory is growing": took >= LONG and slope(later) > STEEPEST,
        "the workspace was not looked at": indexed < len(MODULES),
        "files were left open": more_files > 3,
        "the server did not end properly": code != 0 or "Traceback" in session.stderr(),
    }
    for name, is_so in wrong.items():
        if is_so:
            print(f"soak: {name}", file=sys.stderr)
    return int(any(wrong.values()))


if __name__ == "__main__":
    sys.exit(main())
