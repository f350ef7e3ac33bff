"""How fast blocks are deallocated, and that they read as zeros afterwards where the device promises that.

make test TESTS=scripts/examples/test_trim_bandwidth.py pciaddr=01:00.0
"""

import logging

import nvme as d
import pytest

TRIM = 9  # Dataset Management with the attribute Deallocate


@pytest.fixture(autouse=True)
def supported(nvme0):
    # ONCS (NVMe base specification, "Identify Controller").
    if not nvme0.id_data(521, 520) & 1 << 2:
        pytest.skip("the device has no Dataset Management")


@pytest.mark.parametrize("kib", [4, 32, 128])
def test_trim_bandwidth(nvme0n1, block, kib, seconds):
    blocks = kib * 1024 // block
    worker = nvme0n1.ioworker(
        io_size=blocks, lba_align=blocks, op_percentage={TRIM: 100}, time=seconds, qdepth=16
    )
    result = worker.start().close()
    assert result.error == 0
    gigabytes = result.io_count_nonread * kib * 1024 / 1e9
    rate = gigabytes / (result.mseconds / 1000)
    logging.info("%5d KiB each: %8.1f GB/s, %6.0f commands/s", kib, rate, result.iops)


def test_trimmed_blocks(nvme0n1, block, qpair):
    # DLFEAT (NVM command set specification, "Identify Namespace"): 1 means zeros.
    reads_as = nvme0n1.id_data(33) & 7
    buf, ranges = d.Buffer(4096), d.Buffer(4096)
    blocks = 4096 // block
    nvme0n1.write(qpair, d.Buffer(4096, pvalue=0x5A5A5A5A, ptype=32), 0, blocks).waitdone()
    ranges.set_dsm_range(0, 0, blocks)
    nvme0n1.dsm(qpair, ranges, 1).waitdone()
    nvme0n1.read(qpair, buf, 0, blocks).waitdone()
    told = {0: "whatever there is", 1: "zeros", 2: "ones"}
    logging.info("the device says that deallocated blocks read as %s", told.get(reads_as))
    if reads_as == 1:
        assert buf[:] == bytes(4096)
