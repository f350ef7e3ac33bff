"""IOPS and latency over queue depths, as a table and as a picture in target/examples.

make test TESTS=scripts/examples/test_queue_depths.py pciaddr=01:00.0
"""

import logging

import matplotlib
import pytest

matplotlib.use("Agg")  # no display needed
from matplotlib import pyplot

DEPTHS = (1, 4, 16, 63)


@pytest.mark.parametrize("what, read_percentage", [("read", 100), ("write", 0)])
def test_queue_depths(nvme0n1, what, read_percentage, block, seconds, plots):
    blocks = 4096 // block
    iops, average, slowest = [], [], []
    logging.info("4 KiB random %s: in flight, IOPS, average us, 99.9 %% within us", what)
    for depth in DEPTHS:
        percentiles = {99.9: 0}
        # One command less than the queue has entries can be in flight.
        result = nvme0n1.ioworker(
            io_size=blocks,
            lba_align=blocks,
            read_percentage=read_percentage,
            qdepth=depth + 1,
            time=seconds,
            output_percentile_latency=percentiles,
        )
        result = result.start().close()
        assert result.error == 0
        iops.append(result.iops)
        average.append(result.latency_average_us)
        slowest.append(percentiles[99.9])
        logging.info("%4d %10.0f %8d %8d", depth, iops[-1], average[-1], slowest[-1])

    figure, (upper, lower) = pyplot.subplots(2, sharex=True, figsize=(7, 6))
    upper.plot(DEPTHS, [value / 1000 for value in iops], "o-")
    upper.set(title=f"4 KiB random {what}", ylabel="thousand IOPS", ylim=0)
    lower.plot(DEPTHS, average, "o-", label="average")
    lower.plot(DEPTHS, slowest, "s--", label="99.9 %")
    lower.set(xlabel="commands in flight", ylabel="latency (us)", yscale="log")
    lower.set_xscale("log", base=2)
    lower.legend()
    picture = plots / f"queue_depths_{what}.png"
    figure.savefig(picture, dpi=100)
    pyplot.close(figure)
    logging.info("picture: target/examples/%s", picture.name)
