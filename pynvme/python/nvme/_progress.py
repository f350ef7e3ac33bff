"""How far something is that takes long: a bar where a person watches, now and then a line where nobody does.

A person watches where standard error is a terminal. That is not the case under pytest, unless it runs with -s; there,
and wherever logging is set up, a line is a message of Python's log, so that it shows where other messages do. The
variable NVME_PROGRESS switches bars off (0).
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
import time

# Seconds between two lines.
LINE_PERIOD = 10

_lock = threading.Lock()


def _bars():
    """What draws bars, if anybody would see them."""
    try:
        if os.environ.get("NVME_PROGRESS") == "0" or not sys.stderr.isatty():
            return None
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    except (ImportError, AttributeError, ValueError):
        return None
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[percentage]} {task.fields[text]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        auto_refresh=False,
        # What scripts print goes where they print it.
        redirect_stdout=False,
        redirect_stderr=False,
    )


class _Screen:
    """The bars that are shown at the moment, those of several threads together."""

    def __init__(self):
        self.bars, self.users = None, 0

    def enter(self):
        """One more; what it is drawn with, or nothing."""
        with _lock:
            if self.users == 0:
                self.bars = _bars()
                if self.bars is not None:
                    # Whatever is shown then: the cursor is back when the process has ended.
                    atexit.register(self._stop)
                    self.bars.start()
            self.users += 1
            return self.bars

    def leave(self):
        """One less; with the last one, the terminal is as it was."""
        with _lock:
            self.users -= 1
            if self.users == 0 and self.bars is not None:
                atexit.unregister(self._stop)
                self._stop()

    def _stop(self):
        bars, self.bars = self.bars, None
        bars.stop()


_screen = _Screen()


class Task:
    """Something that takes long."""

    def __init__(self):
        _end_what_nobody_looks_at()
        self._bars = _screen.enter()
        self._id = None
        self._next_line = LINE_PERIOD

    def update(self, what: str, seconds: float, fraction: float | None, text: str) -> None:
        """What it is, how long it has taken so far, and how far it is if that is known, 0 to 1."""
        percentage = "" if fraction is None else f"{100 * fraction:3.0f} %"
        if self._bars is not None:
            if self._id is None:
                self._id = self._bars.add_task(what, total=None, percentage="", text="")
            self._bars.update(
                self._id,
                description=what,
                total=None if fraction is None else 1,
                completed=fraction or 0,
                percentage=percentage,
                text=text,
            )
            self._bars.refresh()
        elif seconds >= self._next_line:
            self._next_line += LINE_PERIOD
            _say(", ".join(part for part in (f"{what}: {seconds:.0f} s", percentage.strip(), text) if part))

    def end(self) -> None:
        """It is over."""
        if self._bars is not None and self._id is not None:
            self._bars.remove_task(self._id)
        self._bars = None
        _screen.leave()


def _say(line: str) -> None:
    if logging.getLogger().isEnabledFor(logging.INFO) or "PYTEST_CURRENT_TEST" in os.environ:
        logging.info("%s", line)
    else:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            print(line, file=sys.stderr, flush=True)


# Operations that go on behind their command, by the log page that says how far they are.
_LOGS = {0x81: "sanitize", 0x06: "self test"}


# Seconds without a look after which nobody seems to look any more.
PATIENCE = 10


class _Behind:
    """Such an operation, between two looks of the script."""

    def __init__(self):
        self.task = None

    def show(self, lid: int, data: bytes) -> None:
        """The beginning of its log page."""
        import nvme

        log = nvme.decode(data, _LOGS[lid])
        if lid == 0x81:
            busy, fraction = log["SOS"] == 2, log["SPROG"] / 65536
        else:
            busy, fraction = log["CDSTO"] != 0, log["CDSTC"] / 100
        self.seen = time.monotonic()
        if self.task is None and busy:
            self.task, self.begin = Task(), self.seen
        if self.task is not None:
            self.task.update(log.name, self.seen - self.begin, fraction, "")
        if not busy:
            self.end()

    def end(self) -> None:
        """It is over, or nobody looks."""
        if self.task is not None:
            self.task.end()
            self.task = None


# By controller and log page.
_behind: dict[tuple[str, int], _Behind] = {}
_looking = threading.RLock()


def observe(controller: str, lid: int, data: bytes) -> None:
    """A script has read such a log page of the controller at an address."""
    with _looking:
        _end_what_nobody_looks_at()
        _behind.setdefault((controller, lid), _Behind()).show(lid, data)


def _end_what_nobody_looks_at() -> None:
    with _looking:
        for behind in _behind.values():
            if behind.task is not None and time.monotonic() - behind.seen > PATIENCE:
                behind.end()
