"""Instructions per command of the initiator, in user space: both sides spin, so CPU time says nothing.

The same load is run twice under callgrind, the second time with more commands; what the second run takes more is
what these commands took. Start and end cancel out.
"""

import json
import re
import subprocess
import tempfile

from sides import OUR_NSID, WORKER, BenchError, parse_iops

COUNTS = 10_000, 40_000
LARGE_COUNTS = 1_000, 5_000
# perf takes no count, only whole seconds.
SECONDS = 1, 4


def callgrind(command, stdin=None):
    """Instructions of a program, and what it printed."""
    with tempfile.TemporaryDirectory() as folder:
        tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out"]
        try:
            done = subprocess.run(
                [*tool, *command], input=stdin, capture_output=True, text=True, timeout=300, check=False
            )
        except FileNotFoundError:
            raise BenchError("valgrind is not installed") from None
        except subprocess.TimeoutExpired:
            raise BenchError(f"{command[0]} does not end under callgrind") from None
    collected = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not collected:
        raise BenchError(f"under callgrind: {done.stderr[-300:]}")
    return int(collected[1]), done.stdout


def slope(runs):
    """Of two pairs of instructions and commands."""
    (few, first), (many, last) = runs
    return (many - few) / (last - first)


def of_perf(perf, case):
    runs = []
    for seconds in SECONDS:
        taken, printed = callgrind(perf.command(case.pattern, case.size, case.in_flight, seconds))
        runs.append((taken, parse_iops(printed) * seconds))
    return slope(runs)


def of_worker(target, case, verify):
    runs = []
    for count in COUNTS if case.size == 4096 else LARGE_COUNTS:
        requests = [{"do": "fill"}, case.load(verify, count=count)]
        stdin = "".join(json.dumps(request) + "\n" for request in requests)
        taken, printed = callgrind([str(WORKER), target.address, str(OUR_NSID)], stdin)
        runs.append((taken, json.loads(printed.splitlines()[-1])["ios"]))
    return slope(runs)
