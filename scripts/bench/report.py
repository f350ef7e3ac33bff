"""Writes what was found: a table for people, JSON for programs."""

import json

from sides import ROOT

FOLDER = ROOT / "target/bench"

# Smallest ratio to SPDK's perf that is good enough: without and with verification, and from Python.
BARS = {False: 0.97, True: 0.90}
PYTHON_BAR = 0.90
# Of a worker that is watched, to the same one alone.
CONSOLE_BAR = 0.98

CALLS = {
    "getfeatures_us": "`getfeatures(7).waitdone()`",
    "id_data_us": "`id_data(63, 24, str)`",
    "buffer_us": "`Buffer(4096)`",
    "buf_read_us": "`buf[:]`, 4 KiB",
    "buf_write_us": "`buf[:] = data`, 4 KiB",
    "buf_dump_us": "`buf.dump()`, 4 KiB",
    "qpair_us": "`Qpair(nvme0, 16).delete()`",
}


def write(found):
    """Into target/bench; returns the table."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    kept = {
        key: found[key] for key in ("cases", "tool", "worker_start_ms", "python", "worker_kib", "console")
    }
    (FOLDER / "bench.json").write_text(json.dumps(kept, indent=2) + "\n")
    text = "\n".join(lines(found)) + "\n"
    (FOLDER / "bench.md").write_text(text)
    return text


def lines(found):
    yield "| case | verified | IOPS / perf | lowest, highest | bar | instructions / perf | LBAs checked |"
    yield "|---|---|---|---|---|---|---|"
    for case in found["cases"]:
        yield case_line(case)
    reasons = {case["instr_reason"] for case in found["cases"] if case.get("instr_reason")}
    yield from (f"\nInstructions were not counted: {reason}" for reason in reasons)
    yield ""
    yield "| the tool perf | IOPS / SPDK's perf | lowest, highest | bar |"
    yield "|---|---|---|---|"
    for case in found["tool"]:
        yield (
            f"| {case['name']} | {judged(case['ratio_iops'], BARS[False])} | {case['ratio_lowest']:.2f}, "
            f"{case['ratio_highest']:.2f} | {BARS[False]:.2f} |"
        )
    yield ""
    yield "| workers | |"
    yield "|---|---|"
    if found["worker_start_ms"] is not None:
        yield (
            f"| start() to the first command | {found['worker_start_ms']:.2f} ms (median), "
            f"{found['worker_start_ms_worst']:.2f} ms (worst) |"
        )
        yield f"| memory of one, without data buffers | {found['worker_kib']:.0f} KiB |"
        yield (
            f"| {found['workers_at_once']} at once in one process | all end well, the slowest after "
            f"{found['workers_at_once_fewest_ios']:,} commands in a second |"
        )
    if console := found["console"]:
        yield (
            f"| with a console attached | {judged(console['ratio_iops'], CONSOLE_BAR)} of the IOPS without; pairs "
            f"{console['ratio_lowest']:.2f} to {console['ratio_highest']:.2f} |"
        )
    yield ""
    yield "| Python | |"
    yield "|---|---|"
    python = found["python"]
    if python:
        yield f"| read and waitdone, one at a time | {judged(python['ratio_qd1'], PYTHON_BAR)} of perf |"
        yield f"| 128 reads, waitdone(128) | {judged(python['ratio_qd128'], PYTHON_BAR)} of perf |"
        for name, call in CALLS.items():
            yield f"| {call} | {python[name]:.2f} us |"


def case_line(case):
    bar = BARS[case["verify"]]
    instructions = "" if case["ratio_instr"] is None else f"{case['ratio_instr']:.2f}"
    cells = (
        case["name"],
        "yes" if case["verify"] else "no",
        judged(case["ratio_iops"], bar),
        f"{case['ratio_lowest']:.2f}, {case['ratio_highest']:.2f}",
        f"{bar:.2f}",
        instructions,
        f"{case['checked_lbas']:,}",
    )
    return "| " + " | ".join(cells) + " |"


def judged(ratio, bar):
    """A ratio, in bold if it is not good enough."""
    return f"{ratio:.3f}" if ratio >= bar else f"**{ratio:.3f}**"
