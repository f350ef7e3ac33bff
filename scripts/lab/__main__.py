"""python3 scripts/lab [--timeout SECONDS] [--vfio] COMMAND: runs a shell command in the lab's guest.

The command's output is passed on as it comes and its exit status is returned; 124 says that the time was over, and 125
that the guest could not run it. docs/lab.md tells what the guest is like.
"""

import argparse
import os
import pathlib
import signal
import subprocess
import sys
import time

from guest import LAB, Guest, LabError, exit_on_signal

TIME_OVER = 124
LAB_FAILED = 125


def arguments():
    parser = argparse.ArgumentParser(prog="lab", description="Runs a shell command in the lab's guest.")
    parser.add_argument("command", help="what bash shall run, in the current folder")
    parser.add_argument("--timeout", type=float, default=1800, metavar="SECONDS", help="end it then (1800)")
    parser.add_argument(
        "--vfio", action="store_true", help="bind the controllers to vfio-pci, behind an IOMMU"
    )
    parser.add_argument(
        "--qemu", action="append", default=[], metavar="ARG", help="one more argument for QEMU"
    )
    given = parser.parse_args()
    if not given.command.strip():
        parser.error('the command is empty; make lab wants CMD="…"')
    return given


def complain(message, remedy):
    print(f"lab: error: {message}\nlab: what to do: {remedy}", file=sys.stderr)


def write(data):
    """Standard output without a buffer in between: what the guest's command wrote is seen at once."""
    while data:
        data = data[os.write(sys.stdout.fileno(), data) :]


def main():
    given = arguments()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, exit_on_signal)
    if subprocess.run([LAB / "setup"]).returncode:
        return LAB_FAILED
    try:
        with Guest(given.command, pathlib.Path.cwd(), given.vfio, given.qemu) as guest:
            until = time.monotonic() + given.timeout
            return guest.run(write, lambda: until)
    except TimeoutError:
        complain(
            f"the command did not end within {given.timeout:g} s; the guest was ended.",
            "allow it more time: TIMEOUT=…",
        )
        return TIME_OVER
    except LabError as error:
        complain(error, error.remedy)
        return LAB_FAILED
    except OSError as error:
        complain(
            f"the guest did not start: {error}",
            "free some space where target/ is, and run the command again.",
        )
        return LAB_FAILED


if __name__ == "__main__":
    sys.exit(main())
