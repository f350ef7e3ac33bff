"""The two sides of a comparison: SPDK's perf, and programs of ours that answer requests."""

import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PERF = pathlib.Path(os.environ.get("SPDK_DIR") or ROOT / "vendor/spdk") / "build/examples/perf"
WORKER = ROOT / "target/release/examples/bench_worker"
OUR_PERF = ROOT / "target/release/examples/perf"
PYTHON_SIDE = ROOT / "scripts/bench/python_side.py"

# The namespaces of the target. Each side has its own, so that what perf writes is not found as corruption.
PERF_NSID = 1
OUR_NSID = 2


class BenchError(Exception):
    """A measurement that cannot be had; the text says why."""


def last_cpu():
    """The one both initiators run on; the target has the first."""
    return max(os.sched_getaffinity(0))


class Perf:
    """SPDK's perf, run once per measurement; or the tool of ours that takes the same options and prints the same."""

    def __init__(self, target, program=PERF):
        if not program.exists():
            raise BenchError(f"{program} is missing: run 'make build', which builds it")
        self.program = program
        host, port = target.address.rsplit(":", 1)
        self.where = (
            f"trtype:TCP adrfam:IPv4 traddr:{host} trsvcid:{port} subnqn:{target.subnqn} ns:{PERF_NSID}"
        )

    def command(self, pattern, size, in_flight, seconds):
        mask = hex(1 << last_cpu())
        options = ["-q", in_flight, "-o", size, "-w", pattern, "-t", seconds, "-c", mask, "-r", self.where]
        return [str(self.program), *map(str, options)]

    def iops(self, pattern, size, in_flight, seconds):
        command = self.command(pattern, size, in_flight, seconds)
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
        return parse_iops(done.stdout, done.stderr)


def parse_iops(stdout, stderr=""):
    """From the last line of perf's table: `Total  :   80360.00     313.91 …`."""
    total = re.search(r"^Total\s*:\s*([0-9.]+)", stdout, re.MULTILINE)
    if not total:
        raise BenchError(f"perf did not finish: {(stderr or stdout)[-500:]}")
    return float(total[1])


class Side:
    """A program of ours: one line of JSON asks, one line answers."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise BenchError(f"{request} ended the program with {self.process.wait(10)}")
        return json.loads(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()


def worker(target, *options):
    return Side([str(WORKER), *options, target.address, str(OUR_NSID)])


def python_side(target):
    return Side([sys.executable, "-B", str(PYTHON_SIDE), target.address, str(OUR_NSID), str(last_cpu())])
