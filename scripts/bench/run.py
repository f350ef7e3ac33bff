"""make bench: this driver against SPDK's own perf, pair by pair on the embedded target.

Both sides run in turn on the same core, the target on the other; every figure that matters is a ratio of two runs
side by side, and the median of many such pairs.
"""

import argparse
import atexit
import contextlib
import os
import pathlib
import statistics
import sys

import console
import instructions
import nvme as d
import report
import workers
from cases import CASES, TOOL_CASES
from sides import OUR_PERF, BenchError, Perf, python_side, worker


def log(text):
    print(text, file=sys.stderr, flush=True)


def median(values):
    return statistics.median(values)


AUTOGROUP = pathlib.Path("/proc/self/autogroup")


def stand_out():
    """Both sides and the target get the cores before whatever else runs here, as far as this is allowed."""
    with contextlib.suppress(OSError):
        os.nice(-20)
        # Linux shares cores out among sessions first: to other sessions niceness says nothing.
        nice = AUTOGROUP.read_text().split()[-1]
        AUTOGROUP.write_text("-20")
        atexit.register(AUTOGROUP.write_text, nice)


def compare(case, perf, side, pairs, seconds):
    """Each round runs perf between a worker that verifies and one that does not, now in this order, now in that."""
    side.ask({"do": "fill"})
    ours, checked = {False: [], True: []}, {False: 0, True: 0}
    theirs = []

    def measure(verify):
        answer = side.ask(case.load(verify, seconds=seconds))
        ours[verify].append(answer["iops"])
        checked[verify] += answer["verified"]
        if verify and not case.write and answer["verified"] != answer["blocks"]:
            raise BenchError(f"{case.name}: {answer['verified']} of {answer['blocks']} blocks were checked")

    for number in range(pairs):
        first = number % 2 == 1
        measure(first)
        theirs.append(perf.iops(case.pattern, case.size, case.in_flight, seconds))
        measure(not first)
    if case.write:
        # What was noted at the writes is compared with what is on the medium now, every block of it.
        swept = side.ask({"do": "check"})
        if swept["verified"] != swept["blocks"]:
            raise BenchError(f"{case.name}: only {swept['verified']} of {swept['blocks']} blocks are known")
        checked[True] = swept["verified"]
    return [row(case, verify, ours[verify], theirs, checked[verify]) for verify in (False, True)]


def row(case, verify, ours, theirs, checked):
    ratios = [a / b for a, b in zip(ours, theirs)]
    found = {
        "name": case.name,
        "verify": verify,
        "ratio_iops": median(ratios),
        "ratio_instr": None,
        "ratio_lowest": min(ratios),
        "ratio_highest": max(ratios),
        "pairs": len(ratios),
        "iops": median(ours),
        "perf_iops": median(theirs),
        "checked_lbas": checked,
    }
    with_or_without = "verified" if verify else "plain"
    log(f"  {case.name:19} {with_or_without:8} {found['ratio_iops']:.3f} of perf, {checked:,} LBAs checked")
    return found


def compare_tools(case, target, pairs, seconds):
    """The tool perf and SPDK's, with the same command line, now in this order, now in that."""
    tools = [Perf(target, OUR_PERF), Perf(target)]
    found = []
    for number in range(pairs):
        speeds = {}
        for tool in tools if number % 2 == 0 else reversed(tools):
            speeds[tool] = tool.iops(case.pattern, case.size, case.in_flight, seconds)
        found.append([speeds[tool] for tool in tools])
    ratios = [ours / theirs for ours, theirs in found]
    log(
        f"  {case.name:19} tool     {median(ratios):.3f} of perf, pairs {min(ratios):.2f} to {max(ratios):.2f}"
    )
    return {
        "name": case.name,
        "ratio_iops": median(ratios),
        "ratio_lowest": min(ratios),
        "ratio_highest": max(ratios),
        "pairs": pairs,
        "iops": median([ours for ours, _ in found]),
        "perf_iops": median([theirs for _, theirs in found]),
    }


def add_instructions(rows, target):
    """Instructions per command, where they can be counted."""
    perf = Perf(target)
    for case in CASES:
        for found in (each for each in rows if each["name"] == case.name):
            try:
                if not found["verify"]:
                    theirs = instructions.of_perf(perf, case)
                ours = instructions.of_worker(target, case, found["verify"])
            except BenchError as why:
                found["instr_reason"] = str(why)
                log(f"  {case.name}: instructions not counted: {why}")
                return
            found.update(ratio_instr=ours / theirs, instr=ours, perf_instr=theirs)
            log(f"  {case.name:19} {ours:8.0f} instructions per command, perf {theirs:.0f}")


def python_costs(target, perf, pairs, seconds):
    """Reads through the Python module against perf, and what single calls cost."""
    found = {}
    with python_side(target) as side:
        for queued in (1, 128):
            ratios, speeds = [], []
            for number in range(pairs):
                measure = (
                    lambda: speeds.append(side.ask({"do": "reads", "queued": queued, "seconds": seconds})),  # noqa: B023
                    lambda: ratios.append(perf.iops("randread", 4096, queued, seconds)),  # noqa: B023
                )
                for one in measure if number % 2 == 0 else reversed(measure):
                    one()
            ratios = [ours / theirs for ours, theirs in zip(speeds, ratios)]
            found[f"ratio_qd{queued}"] = median(ratios)
            found[f"reads_per_second_qd{queued}"] = median(speeds)
            log(f"  Python, {queued} queued: {median(ratios):.3f} of perf")
        found.update(side.ask({"do": "costs"}))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--seconds", type=int, default=1, help="of each run")
    parser.add_argument("--cases", default="", help="only those whose name contains this")
    parts = ["load", "tool", "instructions", "workers", "python", "console"]
    parser.add_argument(
        "--skip", action="append", default=[], choices=parts, help="can be given several times"
    )
    args = parser.parse_args()
    cases = [case for case in CASES if args.cases in case.name]
    found = {
        "cases": [],
        "tool": [],
        "worker_start_ms": None,
        "python": {},
        "worker_kib": None,
        "console": {},
    }
    stand_out()

    with d.Target(namespaces=2) as target:
        perf = Perf(target)
        if "workers" not in args.skip:
            found.update(workers.costs(target))
        if "load" not in args.skip:
            with worker(target) as side:
                for case in cases:
                    found["cases"] += compare(case, perf, side, args.pairs, args.seconds)
        if "tool" not in args.skip:
            for case in (case for case in TOOL_CASES if args.cases in case.name):
                found["tool"].append(compare_tools(case, target, args.pairs, args.seconds))
        if "console" not in args.skip and args.cases in "console":
            found["console"] = console.costs(target, args.pairs, args.seconds)
            log(f"  console: {found['console']['ratio_iops']:.3f} of what the worker does alone")
        if "python" not in args.skip:
            found["python"] = python_costs(target, perf, args.pairs, args.seconds)
    if "instructions" not in args.skip:
        # Filled anew for each measurement, and callgrind is slow.
        with d.Target(namespaces=2, megabytes=16) as target:
            add_instructions(found["cases"], target)
    print(report.write(found))


if __name__ == "__main__":
    try:
        main()
    except BenchError as why:
        sys.exit(f"bench: {why}")
