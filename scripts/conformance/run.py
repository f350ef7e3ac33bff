"""Runs pynvme's own tests, unmodified, on the embedded target and in the lab; writes docs/conformance.md.

make conformance [ON=tcp|pcie|both] [TESTS=…] [JOBS=…] [FAILED=1]

Every test runs in a process of its own with a time limit, over TCP on a target of its own, and over PCIe in a guest
that is booted anew when a test has spoiled it: a crash, a hang or a leak of one never touches another. Parameters of
a cheap function share a process, in the lab a few quick functions as well; what does not pass there runs by itself.
The status is 1 if a test did not pass that should have.
"""

import argparse
import dataclasses
import json
import pathlib
import signal
import subprocess
import sys

import cases
import fetch
import report
from lab import Lab
from outcome import Outcome
from runner import Runner, embedded_target

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FILES = ("driver_test.py", "scripts/test_examples.py", "scripts/psd.py", "scripts/zns.py")


def arguments():
    """What the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--on", choices=(*cases.SLOWER, "both"), default="both", help="the transport")
    parser.add_argument("--tests", default="", help="run only what has this in its name")
    parser.add_argument(
        "--rated", default="", metavar="LETTERS", help="run only what has one of these ratings"
    )
    parser.add_argument("--failed", action="store_true", help="run only what was not fine the last time")
    parser.add_argument(
        "--jobs", type=int, default=1, help="tests at a time over TCP; timing suffers (default 1)"
    )
    parser.add_argument(
        "--limit", type=float, default=cases.LIMIT, help="seconds for a test without a rating"
    )
    parser.add_argument(
        "--work", type=pathlib.Path, default=ROOT / "target/conformance", help="where all is kept"
    )
    parser.add_argument("--report", type=pathlib.Path, default=ROOT / "docs/conformance.md")
    other = parser.add_argument_group("tests of others")
    other.add_argument("--folder", type=pathlib.Path, help="where they are; without it pynvme's are fetched")
    other.add_argument("--files", nargs="+", default=FILES, help="the files in it")
    other.add_argument("--ratings", type=pathlib.Path, default=HERE / "ratings.tsv")
    other.add_argument("--no-target", action="store_true", help="they need no device (with --on tcp)")
    return parser.parse_args()


def check_module(folder):
    """Refuse to judge a module that is not ours."""
    command = [
        sys.executable,
        "-B",
        "-c",
        "import nvme, nvme._nvme; print(nvme.__file__); print(nvme.spdk_version)",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        sys.exit(
            f"conformance: the module nvme cannot be imported: {done.stderr.strip()}\nwhat to do: make setup"
        )
    file, spdk = done.stdout.splitlines()
    if folder.resolve() in pathlib.Path(file).resolve().parents:
        sys.exit(f"conformance: {file} stands before the module to be tested\nwhat to do: remove it")
    return spdk


class Transport:
    """The tests on one transport: what is known about them, and what became of them."""

    def __init__(self, on, everything, options):
        self.on, self._options = on, options
        ratings = cases.read_ratings(options.ratings, on, options.limit)
        unknown = cases.Facts(limit=options.limit * cases.SLOWER[on])
        facts = {id: ratings.get(id.partition("[")[0], unknown) for id in everything}
        self.cases = [cases.Case(id, facts[id]) for id in everything if facts[id].rating != "-"]
        self._file = options.work / f"{on}.json"
        known = {case.id for case in self.cases}
        self.outcomes = {id: outcome for id, outcome in self._load().items() if id in known}
        self.ran, self._chosen = [], []

    def _load(self):
        """The outcomes of earlier runs."""
        try:
            return {entry["id"]: Outcome(**entry) for entry in json.loads(self._file.read_text())["tests"]}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    @property
    def is_whole(self):
        """Whether every test has been run."""
        return len(self.outcomes) == len(self.cases)

    @property
    def regressions(self):
        """Those that ran, and were regressions."""
        return [case for case in self.ran if report.is_regression(case, self.outcomes[case.id])]

    @property
    def is_done(self):
        """Whether all that was to run ran."""
        return {case.id for case in self._chosen} <= {case.id for case in self.ran}

    def run(self, folder, environment, cache):
        """Run what the command line chose."""
        options, outcomes = self._options, self.outcomes
        chosen = [case for case in self.cases if options.tests in case.id]
        chosen = [case for case in chosen if not options.rated or case.facts.rating in options.rated]
        if options.failed:
            chosen = [c for c in chosen if c.id not in outcomes or not report.is_fine(c, outcomes[c.id])]
            # An interrupted run goes on with what it did not come to, first with what ought to pass and is quick.
            chosen.sort(
                key=lambda case: (
                    case.id in outcomes,
                    case.facts.rating not in "YC",
                    not case.facts.quick,
                    case.facts.limit,
                )
            )
        self._chosen = chosen
        if not chosen:
            return
        logs = options.work / "logs" / self.on
        if self.on == "pcie":
            Lab(folder, options.work, self._done, cache).run(chosen)
        else:
            target = None if options.no_target else embedded_target
            Runner(folder, logs, self._done, environment, target).run(chosen, options.jobs)

    def _done(self, case, outcome):
        if case not in self.ran:
            self.ran.append(case)
        self.outcomes[case.id] = outcome
        mark = "!" if report.is_regression(case, outcome) else " "
        line = f"[{len(self.ran):3}/{len(self._chosen)}]{mark}{outcome.outcome:<8}{outcome.seconds:7.1f} s  {case.id}"
        print(line + (f"  ({outcome.why})" if outcome.why else ""), flush=True)
        entries = [dataclasses.asdict(self.outcomes[c.id]) for c in self.cases if c.id in self.outcomes]
        report.write(self._file, json.dumps({"tests": entries}, indent=1) + "\n")


def main():
    """Run what the command line asks for; returns the status."""
    options = arguments()
    options.work = options.work.resolve()
    try:
        folder = (options.folder or fetch.fetch(options.work)).resolve()
    except fetch.FetchError as error:
        sys.exit(f"conformance: {error}")
    spdk = check_module(folder)
    cache = options.work / "pycache"
    environment = cases.environment(cache)
    everything = cases.collect(folder, options.files, environment)
    # The report is about both, whichever runs; tests of others run on one.
    transports = [
        Transport(on, everything, options) for on in cases.SLOWER if not options.folder or on == options.on
    ]
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    running = [one for one in transports if options.on in (one.on, "both")]
    failure = ""
    try:
        for one in running:
            one.run(folder, environment, cache)
    except KeyboardInterrupt:
        failure = "interrupted"
    except RuntimeError as error:
        failure = str(error)

    # The published page shows whole runs only.
    whole = all(one.is_whole for one in transports)
    page = options.report if whole else options.work / "conformance.md"
    title = f"The tests in {folder.name}" if options.folder else "pynvme's own tests"
    about = "Each in a process of its own." if options.folder else report.ABOUT.format(fetch.VERSION, spdk)
    report.write(page, report.render(everything, transports, title, about))
    if not any(one.ran for one in running) and not failure:
        print("conformance: nothing to run")
    for one in running:
        if one.ran:
            fine = sum(report.is_fine(case, one.outcomes[case.id]) for case in one.ran)
            print(
                f"conformance: {one.on}: {len(one.ran)} run, {fine} fine, {len(one.regressions)} regressions; see {page}"
            )
    if failure:
        print(f"conformance: {failure}", file=sys.stderr)
    return 1 if failure or any(one.regressions or not one.is_done for one in running) else 0


if __name__ == "__main__":
    sys.exit(main())
