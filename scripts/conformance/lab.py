"""Runs cases on the PCIe controller of the lab, many in one guest; whatever ends a guest has the next one booted."""

import collections
import dataclasses
import json
import pathlib
import shlex
import subprocess
import sys
import time

from cases import units
from outcome import CRASHED, PASSED, SKIPPED, TIMEOUT, Outcome, shorten

HERE = pathlib.Path(__file__).resolve().parent
LAB = HERE.parent / "lab"
sys.path.append(str(LAB))

import controllers  # noqa: E402
from guest import Guest, LabError  # noqa: E402

# The controller in the lab's description that is as the tests assume.
CONTROLLER = "pynvme"

# Seconds for the guest's boot, and what it may take beyond the limits of its cases.
BOOT, MARGIN = 120, 30


class Lab:
    """Runs cases; `done(case, outcome)` is called for each."""

    def __init__(self, folder, work, done, cache):
        self._folder, self._work, self._done, self._cache = folder, work, done, cache
        self._waiting = collections.deque()  # units
        self._last = self._suspect = None  # cases with their outcomes

    def run(self, cases):
        """Run them all, in as many guests as it takes."""
        if subprocess.run([LAB / "setup"]).returncode:
            raise RuntimeError("the lab cannot be set up; what it said is above")
        self._waiting.extend(units(cases))
        while self._waiting:
            self._guest()

    def _guest(self):
        """Run units in one guest until none is left, or the guest is of no more use."""
        self._begin, self._rest, self._first, self._running = time.monotonic(), b"", True, False
        self._deadline = self._begin + BOOT
        try:
            with Guest(self._command(), self._folder) as guest:
                status = guest.run(self._receive, lambda: self._deadline)
            how = CRASHED, f"the runner in the guest ended with status {status}"
        except TimeoutError:
            how = TIMEOUT, "the guest hung"
        except LabError as error:
            how = CRASHED, f"the guest ended with it: {shorten(str(error))}"
        if self._running:
            self._lost(*how)
        elif self._first:
            raise RuntimeError(f"no test could begin: {how[1]}")

    def _command(self):
        file = self._work / "in_lab.json"
        work = {
            "address": next(one.address for one in controllers.read() if one.name == CONTROLLER),
            "folder": str(self._folder),
            "logs": str(self._work / "logs/pcie"),
            "cache": str(self._cache),
            "units": [[dataclasses.asdict(case) for case in unit] for unit in self._waiting],
        }
        file.write_text(json.dumps(work))
        return shlex.join([sys.executable, "-B", str(HERE / "in_lab.py"), str(file)])

    def _receive(self, data):
        """What the guest wrote: lines of ours, and whatever else went wrong there."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            try:
                said = json.loads(line)
            except ValueError:
                print(line.decode(errors="replace"), file=sys.stderr)
                continue
            if "begin" in said:
                self._running, self._begin = True, time.monotonic()
                self._deadline = self._begin + said["seconds"] + MARGIN
            else:
                self._running, self._deadline = False, time.monotonic() + MARGIN
                self._ended([Outcome(**outcome) for outcome in said["outcomes"]], said["unusable"])

    def _ended(self, outcomes, unusable):
        """A unit has ended, and the device is in order or is not."""
        first, self._first = self._first, False
        passed = all(outcome.outcome in (PASSED, SKIPPED) for outcome in outcomes)
        if unusable and not passed and not first:
            # Its own fault, or that of the one before: it runs again, in a guest of which it is the first.
            self._suspect = self._last
            return
        unit = self._waiting.popleft()
        if unusable:
            outcomes[-1] = _blame(outcomes[-1], unusable)
        elif self._suspect:
            case, outcome = self._suspect
            self._done(case, _blame(outcome, "the next test found the device unusable"))
        self._suspect = None
        by_id = {case.id: case for case in unit}
        for outcome in outcomes:
            self._last = by_id[outcome.id], outcome
            self._done(*self._last)

    def _lost(self, how, why):
        """The guest has ended while a unit was running."""
        unit = self._waiting.popleft()
        if len(unit) > 1:
            self._waiting.extendleft([case] for case in reversed(unit))
        else:
            self._done(unit[0], Outcome(unit[0].id, how, time.monotonic() - self._begin, why))


def _blame(outcome, why):
    said = f"{outcome.outcome}, but afterwards: {why}"
    return dataclasses.replace(outcome, outcome=CRASHED, why="; ".join(filter(None, (said, outcome.why))))
