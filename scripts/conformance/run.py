"""Runs pynvme's own tests, unmodified, on the embedded target; writes docs/conformance.md.

make conformance [TESTS=…] [JOBS=…] [FAILED=1]

Every test runs in a process and on a target of its own, with a time limit: a crash, a hang or a leak of one
never touches another. The status is 1 if a test did not pass that should have.
"""

import argparse
import dataclasses
import json
import pathlib
import subprocess
import sys

import cases
import fetch
import report
from outcome import Outcome
from runner import Runner, embedded_target

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FILES = ("driver_test.py", "scripts/test_examples.py")


def arguments():
    """What the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tests", default="", help="run only what has this in its name")
    parser.add_argument("--failed", action="store_true", help="run only what was not fine the last time")
    parser.add_argument("--jobs", type=int, default=1, help="tests at a time; timing suffers (default 1)")
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
    other.add_argument("--no-target", action="store_true", help="they need no device")
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


def load(file):
    """The outcomes of earlier runs."""
    try:
        return {entry["id"]: Outcome(**entry) for entry in json.loads(file.read_text())["tests"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def main():
    """Run what the command line asks for; returns the status."""
    options = arguments()
    try:
        folder = (options.folder or fetch.fetch(options.work)).resolve()
    except fetch.FetchError as error:
        sys.exit(f"conformance: {error}")
    spdk = check_module(folder)
    environment = cases.environment((options.work / "pycache").resolve())
    ratings = cases.read_ratings(options.ratings, options.limit)
    everything = cases.collect(folder, options.files, ratings, options.limit, environment)
    results = options.work / "results.json"
    known = {case.id for case in everything}
    outcomes = {id: outcome for id, outcome in load(results).items() if id in known}

    chosen = [case for case in everything if options.tests in case.id]
    if options.failed:
        chosen = [c for c in chosen if c.id not in outcomes or not report.is_fine(c, outcomes[c.id])]
        # An interrupted run goes on with what it did not come to.
        chosen.sort(key=lambda case: case.id in outcomes)
    if not chosen:
        print("conformance: nothing to run")
        return 0
    ran = []

    def done(case, outcome):
        ran.append(case)
        outcomes[case.id] = outcome
        mark = "!" if report.is_regression(case, outcome) else " "
        line = f"[{len(ran):3}/{len(chosen)}]{mark}{outcome.outcome:<8}{outcome.seconds:7.1f} s  {case.id}"
        print(line + (f"  ({outcome.why})" if outcome.why else ""), flush=True)
        entries = [dataclasses.asdict(outcomes[c.id]) for c in everything if c.id in outcomes]
        report.write(results, json.dumps({"tests": entries}, indent=1) + "\n")

    target = None if options.no_target else embedded_target
    try:
        Runner(folder, options.work / "logs", done, environment, target).run(chosen, options.jobs)
    except KeyboardInterrupt:
        print("conformance: interrupted", file=sys.stderr)

    title = "pynvme's own tests" if options.folder is None else f"The tests in {folder.name}"
    about = (
        f"`driver_test.py` and `scripts/test_examples.py` of pynvme {fetch.VERSION}, unmodified, on the embedded "
        f"NVMe/TCP target ({spdk}), each in a process and on a target of its own. `make conformance` writes this "
        "page; ratings are what studying the tests says about NVMe/TCP."
        if options.folder is None
        else "Each in a process of its own."
    )
    # The published page shows whole runs only.
    page = options.report if known == outcomes.keys() else options.work / "conformance.md"
    report.write(page, report.render(everything, outcomes, title, about))
    regressions = [case for case in ran if report.is_regression(case, outcomes[case.id])]
    fine = sum(report.is_fine(case, outcomes[case.id]) for case in ran)
    print(f"conformance: {len(ran)} run, {fine} fine, {len(regressions)} regressions; see {page}")
    return 1 if regressions or len(ran) < len(chosen) else 0


if __name__ == "__main__":
    sys.exit(main())
