"""What a console that watches costs a worker at full speed: pairs of runs with and without one."""

import pathlib
import statistics
import sys
import tempfile

from cases import CASES
from sides import ROOT, BenchError, Side, worker

CONSOLE_SIDE = ROOT / "scripts/bench/console_side.py"
CASE = next(case for case in CASES if case.name == "randread-4k-qd16")

# It looks once a second: a run should have several of these.
SECONDS = 3


def costs(target, pairs, seconds):
    """IOPS of the worker with a console attached, divided by those without."""
    seconds = max(seconds, SECONDS)
    found = {True: [], False: []}
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder) / "nvme.sock")
        with (
            worker(target, "--serve", path) as side,
            Side([sys.executable, "-B", str(CONSOLE_SIDE), path]) as console,
        ):

            def measure(attached):
                before = console.ask({"do": "attach" if attached else "detach"})["answers"]
                found[attached].append(side.ask(CASE.load(False, seconds=seconds))["iops"])
                looks = console.ask({"do": "count"})["answers"] - before
                if (looks >= seconds - 1) != attached:
                    raise BenchError(f"the console looked {looks} times in {seconds} s")

            measure(True)
            found[True].clear()
            for number in range(pairs):
                for attached in (True, False) if number % 2 else (False, True):
                    measure(attached)
    ratios = [with_one / without for with_one, without in zip(found[True], found[False])]
    return {
        "ratio_iops": statistics.median(found[True]) / statistics.median(found[False]),
        "ratio_of_pairs": statistics.median(ratios),
        "ratio_lowest": min(ratios),
        "ratio_highest": max(ratios),
        "iops": statistics.median(found[True]),
    }
