"""Runs cases, each unit of them in a pytest process and on a target of its own."""

import concurrent.futures
import contextlib
import pathlib
import re
import sys
import tempfile
import threading

import isolate
from cases import PYTEST, units
from outcome import ERROR, PASSED, SKIPPED, Outcome, of_ended, read_report, shorten

# What the tests assume: exactly 16 I/O queues. The rest is the embedded target's own.
IO_QUEUES, MEGABYTES = 16, 256

# Seconds for quick cases in company.
COMPANY_LIMIT = 60


def embedded_target(megabytes):
    """A target of its own; a context manager that gives its address."""
    import nvme

    return nvme.Target(io_queues=IO_QUEUES, megabytes=megabytes or MEGABYTES)


class Runner:
    """Runs cases; `done(case, outcome)` is called for each, in no order when there are several jobs."""

    def __init__(self, folder, logs, done, environment, target=embedded_target, start=isolate.start):
        self._folder, self._logs, self._done = folder, pathlib.Path(logs), done
        self._environment, self._target, self._start = environment, target, start
        self._stop, self._lock = threading.Event(), threading.Lock()

    def run(self, cases, jobs=1):
        """Run them all; those that must be alone come last."""
        beside = [case for case in cases if not case.facts.alone]
        alone = [case for case in cases if case.facts.alone]
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            try:
                for part in (units(beside), [[case] for case in alone]):
                    if part and part[0][0].facts.alone:
                        for unit in part:
                            self.unit(unit)
                    else:
                        list(pool.map(self.unit, part))
            finally:
                # Ctrl-C: what runs ends now, what waits does not start.
                self._stop.set()

    def unit(self, unit):
        """Run one unit."""
        outcomes = self._process(unit) if len(unit) > 1 else {}
        for case in unit:
            outcome = outcomes.get(case.id)
            # What did not pass in company runs by itself: only that tells whose fault it is.
            if outcome is None or outcome.outcome not in (PASSED, SKIPPED):
                outcome = self._process([case]).get(case.id)
            if outcome is None:
                return
            with self._lock:
                self._done(case, outcome)

    def _process(self, unit):
        """Outcomes by case; without those that a process which crashed or hung with several left unclear."""
        if self._stop.is_set():
            return {}
        facts = unit[0].facts
        # Quick cases that are not, together, are not waited for.
        limit = min(facts.limit, COMPANY_LIMIT) if facts.quick and len(unit) > 1 else facts.limit
        with contextlib.ExitStack() as stack:
            address = ""
            if self._target is not None:
                try:
                    address = stack.enter_context(self._target(facts.megabytes)).address
                except RuntimeError as error:
                    return {unit[0].id: Outcome(unit[0].id, ERROR, 0.0, shorten(f"target: {error}"))}
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="conformance-"))
            report = pathlib.Path(scratch, "report.xml")
            command = [
                *PYTEST,
                "-s",
                f"--pciaddr={address}",
                f"--junitxml={report}",
                "--override-ini=junit_family=legacy",
                # So that one sees where it hung. It counts from the start of a test, the limit from that of Python.
                f"--override-ini=faulthandler_timeout={limit - min(limit / 2, 5)}",
                *(case.id for case in unit),
            ]
            # Temporary files of a test that was killed go with the folder.
            environment = {**self._environment, "TMPDIR": scratch}
            ended = isolate.run(
                command,
                cwd=self._folder,
                limit=limit,
                environment=environment,
                stop=self._stop,
                start=self._start,
            )
            if self._stop.is_set():
                return {}
            outcomes = {} if ended.timed_out or ended.crashed else read_report(report, unit)
        if len(unit) == 1:
            case = unit[0]
            outcome = outcomes.setdefault(case.id, of_ended(case, ended))
            self._explain(outcome, ended)
        elif ended.left_behind:
            # Whose they were only shows when each runs by itself.
            return {}
        return outcomes

    def _explain(self, outcome, ended):
        """What else is to be known about a case, and its output."""
        if ended.left_behind:
            left = f"left {len(ended.left_behind)} process(es) behind: {ended.left_behind[0]}"
            outcome.why = "; ".join(filter(None, (outcome.why, shorten(left))))
        # The report is for others: no paths of this machine in it.
        outcome.why = outcome.why.replace(f"{self._folder}/", "").replace(f"{sys.prefix}/", "")
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / (re.sub(r"[^\w.\[\]-]+", "_", outcome.id)[:150] + ".log")
        if outcome.outcome in (PASSED, SKIPPED):
            log.unlink(missing_ok=True)
        else:
            log.write_text(ended.output)
