"""Devices that go away under load: the workers end, and everything goes on when the device is back."""

import os
import time

import nvme as d
import pytest
from sysfs import DEVICES

ADDRESS = "0000:01:00.0"

ROUNDS = 20


@pytest.fixture
def loaded():
    """A controller, and a function that starts four workers on it."""
    pcie = d.Pcie(ADDRESS)
    nvme0 = d.Controller(pcie)
    namespace = d.Namespace(nvme0)

    def load():
        workers = [namespace.ioworker(io_size=8, time=60, qdepth=16).start() for _ in range(4)]
        # They begin together, at most 0.2 s after the last is ready.
        time.sleep(0.4)
        return workers

    yield nvme0, load
    pcie.close()


def end(workers):
    """All of them, within ten seconds, and with what they have done."""
    begin = time.monotonic()
    for worker in workers:
        with pytest.warns(UserWarning, match="ioworker host ERROR"):
            result = worker.close()
        assert result.io_count_read > 0
    assert time.monotonic() - begin < 10


def upstream_port():
    return (DEVICES / ADDRESS).resolve().parent


def config(port, offset, value=None):
    """Two bytes of a port's configuration space."""
    with open(port / "config", "r+b", buffering=0) as file:
        file.seek(offset)
        before = int.from_bytes(file.read(2), "little")
        if value is not None:
            file.seek(offset)
            file.write(value.to_bytes(2, "little"))
    return before


def open_files():
    return len(os.listdir("/proc/self/fd"))


def works(nvme0):
    qpair = d.Qpair(nvme0, 8)
    d.Namespace(nvme0).read(qpair, d.Buffer(4096), 0, 8).waitdone()
    qpair.delete()


def test_the_memory_window_of_its_port_is_closed(loaded):
    nvme0, load = loaded
    port, command = upstream_port(), 4
    before = None
    for _ in range(ROUNDS):
        workers = load()
        enabled = config(port, command)
        config(port, command, enabled & ~2)
        try:
            end(workers)
        finally:
            config(port, command, enabled)
        nvme0.reset()
        works(nvme0)
        before = before or open_files()
    assert open_files() <= before
