"""Replay of a recorded trace: what an application did, at the times it did it.

TRACE=mine.csv make test TESTS=scripts/examples/test_trace_replay.py pciaddr=01:00.0

The file has the columns us, op (read, write, trim, flush), lba, blocks; trace.csv beside this script is one second of a
small database.
"""

import csv
import logging
import os
import pathlib

import pytest

OPCODES = {"flush": 0, "write": 1, "read": 2, "trim": 9}
TRACE = pathlib.Path(os.environ.get("TRACE") or pathlib.Path(__file__).with_name("trace.csv"))


def load(file):
    """Rows as a worker takes them: microseconds since the start, opcode, first block, number of blocks."""
    with file.open(newline="") as lines:
        rows = [
            (int(row["us"]), OPCODES[row["op"]], int(row["lba"]), int(row["blocks"]))
            for row in csv.DictReader(lines)
        ]
    return sorted(rows)


@pytest.mark.parametrize("speed", [1, 10])
def test_trace_replay(nvme0n1, speed):
    trace = [(us // speed, *command) for us, *command in load(TRACE)]
    percentiles = {50: 0, 99: 0}
    last = [(0, 0, 0)] * 10
    worker = nvme0n1.ioworker(
        io_sequence=trace,
        io_count=len(trace),
        qdepth=64,
        output_percentile_latency=percentiles,
        output_cmdlog_list=last,
    )
    result = worker.start().close()
    assert result.error == 0
    assert result.io_count_read + result.io_count_nonread == len(trace)
    # Not before its time; how much later is up to the device.
    assert result.mseconds >= trace[-1][0] // 1000
    logging.info(
        "%d commands, recorded in %d ms, replayed in %d ms; half within %d us, 99 %% within %d us",
        len(trace),
        trace[-1][0] // 1000,
        result.mseconds,
        percentiles[50],
        percentiles[99],
    )
    logging.info("the last ones that completed (lba, blocks, opcode): %s", last[-3:])
