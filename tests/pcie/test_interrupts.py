"""Interrupts that scripts look at: MSI-X messages that are written to memory."""

import time

import nvme as d
import pytest
from sysfs import BEHIND_IOMMU

pytestmark = pytest.mark.skipif(
    BEHIND_IOMMU, reason="vfio-pci keeps interrupts for the kernel (test_iommu.py)"
)

MSIX = 0x11


@pytest.fixture(params=["plain", "few"], ids=["table in BAR 0", "table in BAR 4"])
def nvme0(request, described):
    pcie = d.Pcie(described[request.param].address)
    table = pcie.register(pcie.cap_offset(MSIX) + 4)
    assert table & 7 == {"plain": 0, "few": 4}[request.param]
    yield d.Controller(pcie)
    pcie.close()


def comes(qpair, seconds=1.0):
    """The message may come a little after the completion."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if qpair.msix_isset():
            return True
    return False


@pytest.mark.parametrize("vector", [0xFFFF, 0, 5, 64, 65 + 7])
def test_a_completion_interrupts(nvme0, vector):
    namespace, buf = d.Namespace(nvme0), d.Buffer(4096)
    qpair = d.Qpair(nvme0, 8, iv=vector)
    qpair.msix_clear()
    for _ in range(3):
        assert not qpair.msix_isset()
        namespace.read(qpair, buf, 0, 8).waitdone()
        assert comes(qpair)
        # waitdone does not clear it.
        assert qpair.msix_isset()
        qpair.msix_clear()


def test_a_masked_interrupt_waits(nvme0):
    namespace, buf = d.Namespace(nvme0), d.Buffer(4096)
    qpair = d.Qpair(nvme0, 8)
    qpair.msix_mask()
    qpair.msix_clear()
    namespace.read(qpair, buf, 0, 8).waitdone()
    assert not comes(qpair, 0.2)
    qpair.msix_unmask()
    assert comes(qpair)


def test_each_queue_has_its_own(nvme0):
    namespace, buf = d.Namespace(nvme0), d.Buffer(4096)
    queues = [d.Qpair(nvme0, 8) for _ in range(2)]
    for qpair in queues:
        qpair.msix_clear()
    namespace.read(queues[1], buf, 0, 8).waitdone()
    assert comes(queues[1])
    assert [qpair.msix_isset() for qpair in queues] == [False, True]


def test_without_interrupts(nvme0):
    namespace, buf = d.Namespace(nvme0), d.Buffer(4096)
    silent, vector_0 = d.Qpair(nvme0, 8, ien=False), d.Qpair(nvme0, 8, iv=0)
    vector_0.msix_clear()
    namespace.read(silent, buf, 0, 8).waitdone()
    # Vector 0 is the one of a queue that has none.
    assert not comes(vector_0, 0.2)
    namespace.read(vector_0, buf, 0, 8).waitdone()
    assert comes(vector_0)
    with pytest.raises(NotImplementedError, match="has no interrupt"):
        silent.msix_isset()


def test_they_work_after_a_reset(nvme0):
    namespace, buf = d.Namespace(nvme0), d.Buffer(4096)
    nvme0.reset()
    qpair = d.Qpair(nvme0, 8)
    qpair.msix_clear()
    namespace.read(qpair, buf, 0, 8).waitdone()
    assert comes(qpair)
