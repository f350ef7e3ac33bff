"""Namespace.ioworker."""

import time

import nvme as d
import pytest


def test_result(nvme0n1):
    result = (
        nvme0n1.ioworker(io_size=8, lba_random=True, read_percentage=50, time=1, qdepth=16).start().close()
    )
    assert result.error == 0 and result["error"] == 0
    assert result.io_count_read > 0 and result.io_count_write == result.io_count_nonread > 0
    assert 1000 <= result.mseconds < 2000
    assert 0 < result.latency_average_us <= result.latency_max_us
    assert 0 < result.cpu_usage <= 1


def test_counts_and_outputs(nvme0n1):
    seconds, percentiles, shares = [], {50: 0, 99: 0, 99.9: 0}, {2: 40, 1: 60}
    result = nvme0n1.ioworker(
        io_size=1,
        io_count=2000,
        iops=1000,
        qdepth=8,
        op_percentage=shares,
        output_io_per_second=seconds,
        output_percentile_latency=percentiles,
    )
    result = result.start().close()
    assert result.io_count_read == shares[2] and result.io_count_write == shares[1]
    assert sum(shares.values()) == 2000
    assert len(seconds) == result.mseconds // 1000 and all(abs(count - 1000) <= 10 for count in seconds)
    assert 0 < percentiles[50] <= percentiles[99] <= percentiles[99.9]


def test_running_and_with(nvme0n1):
    worker = nvme0n1.ioworker(io_size=8, time=1)
    assert worker.running
    with worker:
        assert worker.running
        while worker.running:
            time.sleep(0.01)
    assert not worker.running
    assert worker.close() is worker.close(), "the same result again"


def test_with_and_an_exception(nvme0, nvme0n1):
    with pytest.raises(AssertionError, match="ioworker exits with exception: sorry"):
        with nvme0n1.ioworker(io_size=8, time=60):
            raise ValueError("sorry")
    qpair = d.Qpair(nvme0, 4)
    assert qpair.sqid == 1, "its queue is free again"
    qpair.delete()


def test_filling_a_region(nvme0n1):
    result = nvme0n1.ioworker(io_size=8, lba_random=False, read_percentage=0, region_end=801).start().close()
    assert result.io_count_write == 101


def test_work_goes_on_beside_it(nvme0, nvme0n1, qpair, buf):
    with nvme0n1.ioworker(io_size=8, time=1):
        for _ in range(20):
            nvme0n1.read(qpair, buf, 0).waitdone()
            nvme0.getfeatures(7).waitdone()


@pytest.mark.parametrize(
    "arguments, match",
    [
        (dict(qdepth=1), "qdepth should be in"),
        (dict(qdepth=1025), "qdepth should be in"),
        (dict(region_start=5, region_end=5), "region end is not included"),
        (dict(time=3600001), "worker needs a rest"),
        (dict(read_percentage=101), "read percentage is less than 100"),
        (dict(iops=3), "iops must be larger than qdepth"),
        (dict(op_percentage={2: 99}), "op_percentage definition error"),
        (dict(lba_random=101), "lba_random is a percentage, 0-100"),
        (dict(lba_random=[1]), "lba_random is a percentage, int"),
        (dict(io_size=0), "io_size cannot be 0"),
        (dict(time=0), "when to stop the ioworker"),
    ],
)
def test_wrong_arguments(nvme0n1, arguments, match):
    with pytest.raises(AssertionError, match=match):
        nvme0n1.ioworker(**{"io_size": 8, "time": 1, **arguments})


def test_a_worker_that_cannot_start_says_so_at_the_end(nvme0, nvme0n1):
    worker = nvme0n1.ioworker(io_size=257, time=1).start()
    with pytest.warns(UserWarning, match="ioworker host ERROR"):
        assert worker.close().io_count_read == 0


def test_a_worker_before_its_start(nvme0n1):
    with pytest.raises(AssertionError, match="start"):
        nvme0n1.ioworker(io_size=8, time=1).close()
