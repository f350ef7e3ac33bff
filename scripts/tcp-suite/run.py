"""Runs nvme.suites.tcp on two targets that are not ours, and writes docs/tcp-suite-results.md.

make tcp-suite [ON=spdk|linux|both] [TESTS=…]

The targets are the embedded one, SPDK's nvmf_tgt, and Linux's nvmet in the lab's guest. What fails there is what the
suite is for, so the status is 0 if each run came to its end; a selection of tests leaves the page as it is.
"""

import argparse
import os
import pathlib
import shlex
import subprocess
import sys

import results

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORK = ROOT / "target/tcp-suite"
PAGE = ROOT / "docs/tcp-suite-results.md"
# Minutes are usual; a suite that takes longer hangs.
LIMIT = 1800
NQN = "nqn.2026-01.org.nvme-spdk:linux1"
# Of pytest: all passed, some failed. Any other says that the run did not come to its end.
ENDED = (0, 1)


def arguments():
    """What the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--on", choices=("spdk", "linux", "both"), default="both", help="the target")
    parser.add_argument("tests", nargs="*", help="arguments of pytest: -k SOMETHING")
    return parser.parse_args()


def pytest(name, tests):
    """The command line of a run."""
    command = [".venv/bin/python", "-B", "-m", "pytest", "--pyargs", "nvme.suites.tcp", "-q", "--tb=short"]
    command += ["-p", "no:cacheprovider", "-o", "log_cli=false", f"--junit-xml=target/tcp-suite/{name}.xml"]
    return [*command, f"--nvme-capture=target/tcp-suite/{name}", *tests]


def run_spdk(tests):
    """On the embedded target."""
    return subprocess.run(pytest("spdk", tests), timeout=LIMIT, check=False).returncode


def run_linux(tests):
    """On nvmet, in the lab."""
    options = ["--pciaddr=127.0.0.1:4420", f"--nqn={NQN}", "--nvme-namespaces=scripts/nvmet namespace"]
    suite = shlex.join(pytest("linux", [*options, *tests]))
    # It ends with the guest: after the last tests `scripts/nvmet stop` would wait for ever.
    script = f"scripts/nvmet start && {suite}"
    lab = [sys.executable, "-B", "scripts/lab", "--timeout", str(LIMIT), script]
    return subprocess.run(lab, check=False).returncode


RUNS = {"spdk": run_spdk, "linux": run_linux}


def main():
    """Runs, and publishes whole runs."""
    given = arguments()
    os.chdir(ROOT)
    WORK.mkdir(parents=True, exist_ok=True)
    chosen = RUNS if given.on == "both" else {given.on: RUNS[given.on]}
    status = 0
    for name, run in chosen.items():
        (WORK / f"{name}.xml").unlink(missing_ok=True)
        ended = run(given.tests)
        if ended not in ENDED:
            status = 2
            print(f"tcp-suite: the run on {name} ended with status {ended}", file=sys.stderr)
    if status or given.tests:
        return status
    runs = [results.read(file) for name in RUNS if (file := WORK / f"{name}.xml").exists()]
    if len(runs) == len(RUNS):
        PAGE.write_text(results.page(runs), encoding="utf-8")
        print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
