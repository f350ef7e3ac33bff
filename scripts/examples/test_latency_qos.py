"""Quality of service: how long reads take at a given rate, alone and beside a writer.

make test TESTS=scripts/examples/test_latency_qos.py pciaddr=01:00.0
"""

import contextlib
import logging

import pytest

IOPS = 2000
# What is promised, in microseconds: make it what your device promises. This is what a target in software can keep on
# a machine that has other things to do.
PROMISES = {99: 200_000, 99.9: 1_000_000}


@pytest.mark.parametrize("beside", ["alone", "beside a writer"])
def test_latency_of_paced_reads(nvme0n1, beside, seconds, tolerance):
    with contextlib.ExitStack() as stack:
        if beside != "alone":
            writer = nvme0n1.ioworker(io_size=32, read_percentage=0, iops=IOPS, time=seconds + 1, qdepth=16)
            stack.enter_context(writer)
        percentiles = dict.fromkeys((50, 90, 99, 99.9, 99.99), 0)
        reader = nvme0n1.ioworker(
            io_size=8, lba_align=8, iops=IOPS, time=seconds, qdepth=64, output_percentile_latency=percentiles
        )
        result = reader.start().close()
    assert result.error == 0
    told = ", ".join(f"{percent} % {us} us" for percent, us in percentiles.items())
    logging.info(
        "%s, %d reads at %d IOPS: %s, slowest %d us",
        beside,
        result.io_count_read,
        IOPS,
        told,
        result.latency_max_us,
    )
    for percent, promised in PROMISES.items():
        assert percentiles[percent] <= promised * tolerance, (
            f"{percent} % took up to {percentiles[percent]} us"
        )
