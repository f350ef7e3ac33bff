"""Several workers with a mixed load, each on blocks of its own; whatever is read is compared with what was written.

make test TESTS=scripts/examples/test_mixed_workload.py pciaddr=01:00.0
"""

import logging

import pytest

WRITE, READ, TRIM = 1, 2, 9
WORKERS = 4
SIZES = {1: 10, 8: 60, 64: 20, 256: 10}  # blocks: share of the commands


@pytest.mark.parametrize("lba_random", [0, 100])
def test_mixed_workload(nvme0n1, verify, lba_random, seconds):
    assert verify
    share = nvme0n1.id_data(7, 0) // WORKERS
    workers = [
        nvme0n1.ioworker(
            io_size=SIZES,
            op_percentage={READ: 60, WRITE: 35, TRIM: 5},
            lba_random=lba_random,
            region_start=number * share,
            region_end=(number + 1) * share,
            time=seconds,
            qdepth=32,
        ).start()
        for number in range(WORKERS)
    ]
    results = [worker.close() for worker in workers]
    assert [result.error for result in results] == [0] * WORKERS
    total = sum(result.io_count_read + result.io_count_nonread for result in results)

    # What is there now, all of it.
    result = nvme0n1.ioworker(
        io_size=256, lba_random=False, region_end=WORKERS * share, read_percentage=100, qdepth=32
    )
    result = result.start().close()
    assert result.error == 0
    logging.info(
        "%d commands of %d workers; then %d reads found every block as it was written",
        total,
        WORKERS,
        result.io_count_read,
    )
