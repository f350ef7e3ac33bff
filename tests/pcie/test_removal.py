"""Devices that go away under load: the workers end, and everything goes on when the device is back."""

import time

import nvme as d
import pytest
from monitor import out_of_reach
from resources import Steady
from sysfs import BEHIND_IOMMU, DEVICES, bind, until

ADDRESS = "0000:01:00.0"

ROUNDS = 20


@pytest.fixture
def loaded():
    """A controller, its namespace, and a function that starts four workers on it."""
    pcie = d.Pcie(ADDRESS)
    try:
        nvme0 = d.Controller(pcie)
        namespace = d.Namespace(nvme0)

        def load():
            workers = [namespace.ioworker(io_size=8, time=60, qdepth=16).start() for _ in range(4)]
            until(lambda: all(worker.completed for worker in workers), "reads of all workers")
            return workers

        yield nvme0, namespace, load
    finally:
        pcie.close()


def end(workers, begin):
    """All of them, within ten seconds of what ends them, and with what they have done."""
    for worker in workers:
        with pytest.warns(UserWarning, match="ioworker host ERROR"):
            result = worker.close()
        assert result.io_count_read > 0
    assert time.monotonic() - begin < 10


def works(nvme0, namespace):
    qpair = d.Qpair(nvme0, 8)
    # The queues from before are given back.
    assert qpair.sqid == 1
    namespace.read(qpair, d.Buffer(4096), 0, 8).waitdone()
    qpair.delete()


def test_the_memory_window_of_its_port_is_closed(loaded):
    nvme0, namespace, load = loaded
    for _ in Steady(ROUNDS):
        workers = load()
        begin = time.monotonic()
        with out_of_reach("plain"):
            end(workers, begin)
        nvme0.reset()
        works(nvme0, namespace)


@pytest.mark.skipif(
    BEHIND_IOMMU, reason="the kernel takes a function from vfio-pci when its user has closed it"
)
def test_it_is_unplugged(loaded, monitor):
    """By QMP's device_del, and plugged in again."""
    nvme0, namespace, load = loaded
    for _ in Steady(ROUNDS):
        workers = load()
        begin = time.monotonic()
        monitor.unplug("plain")
        end(workers, begin)
        assert not (DEVICES / ADDRESS).exists()
        monitor.plug("plain")
        until((DEVICES / ADDRESS).exists, f"device at {ADDRESS}")
        bind(ADDRESS, "uio_pci_generic")
        nvme0.reset()
        works(nvme0, namespace)
