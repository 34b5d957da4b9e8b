"""Checkpoints go to the Hub while training goes on.

A thread sends one checkpoint after the other, each in a process of its own, so that nothing that
hangs can hold up training or its end. What cannot be sent is tried again later, after longer and
longer waits, and those after it wait too.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from .card import CARD_FILE, checkpoint_card
from .failure import PushError, check_name, hub_token
from .upload import Upload, arguments_of, contents, environment, step_message

FINAL = "the final model"
MOST_WAITING = 8
"""Checkpoints; of more the oldest makes way, since each takes room on the disk."""

_ASIDE = ".push"
_READY = re.compile(r"step-(\d{8,})-[0-9a-f]+")


@dataclass(frozen=True)
class Patience:
    """Seconds.

    Attributes:
        first: wait after the first failure; each further one doubles it.
        longest: wait.
        attempt: one upload may take, at least; larger ones get what 100 kB a second need.
        last: training's end may be held up.
    """

    first: float = 5.0
    longest: float = 300.0
    attempt: float = 120.0
    last: float = 300.0


@dataclass(frozen=True)
class _Waiting:
    """A checkpoint on its way: its files lie in `upload`'s folder, which is ours to remove."""

    what: str
    upload: Upload


def branch_of(run: Path) -> str:
    """The branch of a run: its folder's name, as far as git takes it."""
    name = re.sub(r"[^A-Za-z0-9._-]+|\.{2,}", "-", run.resolve().name).strip("-.")
    name = re.sub(r"\.lock$", "-lock", name)
    return f"run-{name}" if name in ("", "main", "HEAD") else name


def say(line: str) -> None:
    """Prints a line on standard error, above a progress bar if there is one."""
    tqdm.write(f"parrotlet: {line}", file=sys.stderr)


class Publisher:
    """Sends checkpoints of a run to a branch named after it, and the final model to ``main``.

    `offer` never waits for the network. It takes the files aside by hard links, so that the
    checkpoint may be removed while it is on its way. At most `MOST_WAITING` wait.
    """

    def __init__(
        self,
        run: Path,
        repo_id: str,
        private: bool = False,
        with_state: bool = False,
        say: Callable[[str], None] = say,
        patience: Patience = Patience(),
    ) -> None:
        """Starts the thread.

        Args:
            run: folder of the run.
            repo_id: ``owner/name``; made if it is not there.
            private: whether a model that is made is private.
            with_state: also send the training state.
            say: is given a line when something goes wrong, and when it goes well again.
            patience: how long to wait for what.

        Raises:
            PushError: if the name is malformed, or there is no token at all.
        """
        check_name(repo_id)
        hub_token()
        self._run = run
        self._branch = branch_of(run)
        self._template = Upload("", repo_id, self._branch, "", private, with_state)
        self._say = say
        self._patience = patience
        self._aside = run / _ASIDE
        self._change = threading.Condition()
        # all below are read and changed under it
        self._waiting = deque(self._left())
        self._final: _Waiting | None = None
        self._closing = self._over = False
        self._process: subprocess.Popen[str] | None = None
        self._trouble = ""
        self._missed = [item.what for item in self._waiting]  # in the order of the offers
        self._pushed: list[str] = []  # the newest step, the final model
        self._address = ""
        # a join that Ctrl+C interrupts would take the thread for ended
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._work, name="publisher", daemon=True)
        self._thread.start()

    def offer(self, folder: Path, step: int) -> None:
        """Has the checkpoint in `folder` sent; returns at once."""
        what = f"step {step}"
        with self._change:
            self._missed.append(what)
            ended = self._over or self._closing
        taken = None if ended else self._take(folder, what, self._branch, step_message(step), step)
        if taken is None:
            return
        with self._change:
            self._waiting.append(taken)
            oldest = self._waiting.popleft() if len(self._waiting) > MOST_WAITING else None
            self._change.notify_all()
        if oldest is not None:
            _remove(oldest)
            self._say(f"{oldest.what} is not pushed: more than {MOST_WAITING} wait")

    def close(self, final: Path | None) -> list[str]:
        """Makes a last attempt, for `Patience.last` seconds at most, and ends the thread.

        Args:
            final: checkpoint for ``main`` with its card; None where training has not ended.

        Returns:
            Lines for the user: what was pushed, and what was not and how to do it later.
        """
        taken = None
        if final is not None:
            message = f"Final model of {self._branch}"
            taken = self._take(final, FINAL, "main", message, card=True)
        with self._change:
            self._final, self._closing = taken, True
            self._missed += [FINAL] if final is not None else []
            busy = not self._over and bool(self._process or self._waiting or taken)
            self._change.notify_all()
        why = f"not done in {self._patience.last:.0f} seconds"
        with _interruptible():
            try:
                if busy:
                    self._say(
                        f"pushing to {self._template.repo_id}, for {self._patience.last:.0f} "
                        "seconds at most; Ctrl+C leaves it"
                    )
                self._done.wait(self._patience.last)
            except KeyboardInterrupt:
                why = "interrupted"
        if not self._done.is_set():
            with self._change:
                self._over, self._trouble = True, why
                if self._process is not None:
                    self._process.kill()
                self._change.notify_all()
            self._done.wait(30)
        shutil.rmtree(self._aside, ignore_errors=True)
        return self._lines()

    def _lines(self) -> list[str]:
        target = self._template
        lines = []
        if self._pushed:
            lines.append(f"pushed to {self._address}: {', '.join(self._pushed)}")
        if self._missed:
            options = " --private" * target.private + " --with-state" * target.with_state
            missed = self._missed[-MOST_WAITING:]
            more = len(self._missed) - len(missed)
            named = f"{more} earlier ones, " * bool(more) + ", ".join(missed)
            why = f" ({self._trouble})" if self._trouble else ""
            lines.append(
                f"not pushed to {target.repo_id}: {named}{why}; "
                f"later: parrotlet push {shlex.quote(str(self._run))} {target.repo_id}{options}"
            )
        return lines

    def _left(self) -> list[_Waiting]:
        """What an earlier process had taken aside and not sent before it was killed, in order."""
        found = []
        for place in sorted(self._aside.glob("*")):
            if step := _READY.fullmatch(place.name):
                number = int(step[1])
                item = replace(self._template, folder=str(place), message=step_message(number))
                found.append(_Waiting(f"step {number}", item))
            else:
                shutil.rmtree(place, ignore_errors=True)
        return found

    def _take(
        self,
        folder: Path,
        what: str,
        branch: str,
        message: str,
        step: int | None = None,
        card: bool = False,
    ) -> _Waiting | None:
        """Links a checkpoint's files into a folder of our own; None, with a line, if that fails.

        That of a `step` is found again by `_left` if this process is killed.
        """
        token = secrets.token_hex(4)
        place = self._aside / token
        try:
            for file in contents(folder, self._template.with_state):
                link(file, place / file.relative_to(folder))
            if card and not (place / CARD_FILE).exists():
                text = checkpoint_card(folder, self._template.repo_id)
                (place / CARD_FILE).write_text(text, encoding="utf-8")
            if step is not None:  # it is whole, and says which it is
                place = place.rename(self._aside / f"step-{step:08d}-{token}")
        except OSError as error:
            shutil.rmtree(place, ignore_errors=True)
            with self._change:
                self._trouble = str(error)
            self._say(f"{what} will not be pushed, training goes on: {error}")
            return None
        item = replace(self._template, folder=str(place), branch=branch, message=message)
        return _Waiting(what, item)

    def _work(self) -> None:
        try:
            self._send_all()
        finally:
            self._done.set()

    def _send_all(self) -> None:
        wait = self._patience.first
        while (item := self._next()) is not None:
            last_attempt = self._closing
            error = self._attempt(item)
            if error is None:
                wait = self._patience.first
            elif last_attempt or self._over:
                _remove(item)
            else:
                with self._change:
                    self._waiting.appendleft(item)
                    self._change.wait_for(lambda: self._closing, wait)
                wait = min(2 * wait, self._patience.longest)

    def _next(self) -> _Waiting | None:
        """What is to be sent, once there is something; None when there will be nothing more."""
        with self._change:
            self._change.wait_for(lambda: self._over or self._waiting or self._closing)
            if self._over:
                return None
            # the final model first: there may not be time for all
            if self._final is not None:
                item, self._final = self._final, None
                return item
            return self._waiting.popleft() if self._waiting else None

    def _attempt(self, item: _Waiting) -> PushError | None:
        """One upload; notes how it went, and says so where that has changed."""
        try:
            address = self._send(item.upload)
        except PushError as error:
            with self._change:
                known, said = bool(self._trouble), self._closing
                if not self._over:
                    self._trouble = str(error)
                self._over = self._over or not error.again
            if not said and not (known and error.again):
                then = "trying again later" if error.again else "no further attempts"
                self._say(f"{item.what} not pushed, training goes on, {then}: {error}")
            return error
        with self._change:
            healed, self._trouble = bool(self._trouble), ""
            self._address = address
            self._missed.remove(item.what)
            if item.what == FINAL:
                self._pushed.append(FINAL)
            else:
                self._pushed = [item.what, *(one for one in self._pushed if one == FINAL)]
        if healed and not self._closing:
            self._say(f"{item.what} pushed")
        _remove(item)
        return None

    def _send(self, item: Upload) -> str:
        """Runs one upload in a process of its own; returns the model's address.

        Raises:
            PushError: if it fails, takes too long, or is ended by `close`.
        """
        try:
            limit = max(self._patience.attempt, item.size() / 100_000)
            with self._change:
                if self._over:
                    raise PushError("ended", True)
                process = self._process = subprocess.Popen(
                    arguments_of(item),
                    env=environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    start_new_session=True,  # Ctrl+C is for training alone
                )
            try:
                output, errors = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                raise PushError(f"the Hub did not answer in {limit:.0f} seconds", True) from None
        except OSError as error:
            raise PushError(f"the upload cannot be started: {error}", True) from error
        finally:
            with self._change:
                self._process = None
        try:
            answer = json.loads(output.splitlines()[-1])
        except (IndexError, ValueError):
            words = (errors.strip().splitlines() or ["it was ended"])[-1][:300]
            raise PushError(f"the upload broke off: {words}", True) from None
        if "error" in answer:
            raise PushError(answer["error"], answer["again"])
        return str(answer["address"])


def link(source: Path, target: Path) -> None:
    """Gives a file a second name, in a folder made if need be; a copy where links are not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _remove(item: _Waiting) -> None:
    shutil.rmtree(item.upload.folder, ignore_errors=True)


class _interruptible:  # noqa: N801
    """Gives Ctrl+C back to Python for a while, from whatever has taken it over."""

    def __enter__(self) -> None:
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def __exit__(self, *_: object) -> None:
        if self._main:
            signal.signal(signal.SIGINT, self._before)
