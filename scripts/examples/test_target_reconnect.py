"""Connections that come and go: what was written is there after every reconnect, and a target that dies under load is
noticed in time and used again when it is back.

make test TESTS=scripts/examples/test_target_reconnect.py pciaddr=192.168.1.7:4420
"""

import logging
import time
import warnings

import nvme as d
import pytest

RECONNECTS = 5
BLOCKS = 8


def open_device(address):
    pcie = d.Pcie(address)
    nvme0 = d.Controller(pcie)
    return pcie, nvme0, d.Namespace(nvme0), d.Qpair(nvme0, 16)


def load(worker, seconds):
    """Let a worker work for so long, from its first completion on."""
    while worker.running and not worker.completed:
        time.sleep(0.01)
    time.sleep(seconds)


def test_data_survives_reconnects(pciaddr):
    written = d.Buffer(4096, pvalue=100, ptype=0xBEEF)
    pcie, _, namespace, qpair = open_device(pciaddr)
    namespace.write(qpair, written, 0, BLOCKS).waitdone()
    content = written[:]
    pcie.close()
    for _ in range(RECONNECTS):
        begin = time.monotonic()
        pcie, _, namespace, qpair = open_device(pciaddr)
        found = d.Buffer(4096)
        namespace.read(qpair, found, 0, BLOCKS).waitdone()
        logging.info("connected and read after %.1f ms", 1000 * (time.monotonic() - begin))
        assert found[:] == content
        pcie.close()


def test_reset_under_load(nvme0, nvme0n1, seconds):
    """On NVMe/TCP a reset of the controller is a new connection."""
    worker = nvme0n1.ioworker(io_size=8, time=100, qdepth=32).start()
    load(worker, seconds / 2)
    nvme0.reset()
    # A worker that a reset has ended is none that failed.
    before = worker.close()
    after = nvme0n1.ioworker(io_size=8, time=seconds, qdepth=32).start().close()
    assert before.error == 0 and before.io_count_read > 0 and after.error == 0
    logging.info("%d commands before the reset, %d after it", before.io_count_read, after.io_count_read)


def test_target_dies_and_comes_back(seconds):
    """On a target of the test's own."""
    target = d.Target(megabytes=64)
    port = int(target.address.rsplit(":", 1)[1])
    pcie, _, namespace, _ = open_device(target.address)
    worker = namespace.ioworker(io_size=8, time=100, qdepth=32).start()
    load(worker, seconds / 2)
    begin = time.monotonic()
    target.stop()
    with warnings.catch_warnings():
        # It says that it ended early, and that is what is wanted here.
        warnings.simplefilter("ignore")
        result = worker.close()
    logging.info("the worker noticed within %.0f ms", 1000 * (time.monotonic() - begin))
    assert result.io_count_read > 0
    with pytest.raises(d.NvmeEnumerateError):
        d.Pcie(target.address)
    pcie.close()

    with d.Target(port=port, megabytes=64) as target:
        pcie, _, namespace, qpair = open_device(target.address)
        buf = d.Buffer(4096)
        namespace.read(qpair, buf, 0, BLOCKS).waitdone()
        assert namespace.ioworker(io_size=8, io_count=1000).start().close().io_count_read == 1000
        pcie.close()
