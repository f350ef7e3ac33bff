"""Configuration space and resets of a device that scripts drive."""

import os
import signal
import time

import nvme as d
import pytest
from initialisation import CC_USUAL, initialise
from resources import Steady
from sysfs import BEHIND_IOMMU, until

ADDRESS = "0000:01:00.0"

DELETE_SQ, DELETE_CQ = 0x00, 0x04
READ = 0x02
# CC.AMS
WEIGHTED_ROUND_ROBIN = 1 << 11


@pytest.fixture
def pcie():
    device = d.Pcie(ADDRESS)
    yield device
    device.close()


@pytest.fixture
def nvme0(pcie):
    return d.Controller(pcie)


def works(nvme0, sqid=1):
    """Data goes both ways, and the queues from before are given back."""
    qpair = d.Qpair(nvme0, 8)
    assert qpair.sqid == sqid
    namespace = d.Namespace(nvme0)
    there, back = d.Buffer(4096, ptype=0xBEEF, pvalue=100), d.Buffer(4096)
    namespace.write(qpair, there, 64, 8).waitdone()
    namespace.read(qpair, back, 64, 8).waitdone()
    assert back[:] == there[:]
    qpair.delete()
    namespace.close()


@pytest.mark.parametrize("address", [ADDRESS, "01:00.0"])
def test_either_form_of_the_address(address):
    pcie = d.Pcie(address)
    assert repr(pcie) == f"<device: {ADDRESS}>"
    nvme0 = d.Controller(pcie)
    assert nvme0.addr == ADDRESS
    works(nvme0)
    pcie.close()


def test_configuration_space(pcie):
    assert pcie[9:12] == [2, 8, 1]
    assert pcie[0:4:2] == [pcie[0], pcie[2]]
    assert pcie.register(0, 2) == pcie[0] | pcie[1] << 8
    with pytest.raises(AssertionError, match="support uptp 8-byte PCIe register access"):
        pcie.register(0, 9)
    for wrong in ("a", 1.0, slice(4, None)):
        with pytest.raises(TypeError):
            pcie[wrong]
    assert (
        pcie.cap_offset(1) and pcie.cap_offset(0x10) and pcie.cap_offset(0x11) and pcie.cap_offset(2) is None
    )
    pcie[0x0C] = 0x55
    assert pcie[0x0C] == 0x55
    pcie.power_state = 3
    assert pcie.power_state == 3
    pcie.power_state = 0
    for wrong in (4, -1):
        with pytest.raises((AssertionError, OverflowError)):
            pcie.aspm = wrong


def test_registers_and_doorbells(nvme0):
    assert nvme0[0x14] == 0x460001 and nvme0[0x1C] & 1 == 1
    assert nvme0.cap == nvme0[0] | nvme0[4] << 32
    with pytest.raises(IndexError, match="BAR0"):
        nvme0[1 << 24]
    with pytest.raises(AssertionError, match="4-byte aligned"):
        nvme0[2]


def test_an_initialisation_of_the_scripts_own(pcie):
    steps = []

    def my_own(nvme0):
        steps.append("begun")
        initialise(nvme0, CC_USUAL | WEIGHTED_ROUND_ROBIN)

    nvme0 = d.Controller(pcie, my_own)
    assert nvme0[0x14] == 0x00460801
    works(nvme0)
    nvme0.reset()
    works(nvme0)
    assert steps == ["begun", "begun"]

    running = d.Controller(pcie, True)
    works(running)
    with pytest.raises(AssertionError, match="attached"):
        running.reset()
    for wrong in (False, 1, "init"):
        with pytest.raises(AssertionError, match="nvme_init_func"):
            d.Controller(pcie, wrong)


def test_a_queue_the_device_refuses(pcie, nvme0):
    """Its memory is given back and nothing else is disturbed."""
    nvme0.init_queues(0x03FF03FF)
    queues = []
    with pytest.raises(d.QpairCreationError, match="qpair create fail"):
        while True:
            queues.append(d.Qpair(nvme0, 8))
    assert len(queues) >= 64
    for qpair in queues:
        qpair.delete()
    works(nvme0)


@pytest.mark.parametrize("opcodes", [[DELETE_SQ], [DELETE_SQ, DELETE_CQ]])
def test_a_queue_that_was_deleted_behind_the_drivers_back(nvme0, opcodes):
    """Deleting it is refused, and its identifier is free again all the same."""
    for _ in range(3):
        qpair, other = d.Qpair(nvme0, 8), d.Qpair(nvme0, 8)
        assert qpair.sqid == 1
        for opcode in opcodes:
            nvme0.send_cmd(opcode, cdw10=1).waitdone()
        with pytest.raises(d.QpairDeletionError, match=r"qpair delete fail.*\(01/01\)"):
            qpair.delete()
        assert qpair.sqid == 0
        qpair.delete()
        d.Namespace(nvme0).read(other, d.Buffer(4096), 0, 8).waitdone()
        works(nvme0)
        other.delete()


def test_the_longest_transfer(nvme0):
    """A buffer that a list of pages cannot describe is refused here, and nothing else is disturbed."""
    qpair = d.Qpair(nvme0, 8)
    namespace, buf = d.Namespace(nvme0), d.Buffer(504 * 4096)
    for _ in range(20):
        # One block is read, whatever room there is.
        buf.offset = 0
        namespace.send_cmd(READ, qpair, buf).waitdone()
        buf.offset = 4
        with (
            pytest.warns(UserWarning, match="ERROR status: 00/02"),
            pytest.raises(AssertionError, match="505 pages"),
        ):
            namespace.send_cmd(READ, qpair, buf)
    works(nvme0, sqid=2)


def test_what_cannot_be_had_says_so(pcie):
    for address, why in [
        (ADDRESS, "this process has it open already; close it there first"),
        ("0000:00:00.0", "it is no NVMe controller; list the NVMe controllers with: lspci -D -d ::0108"),
        ("0000:7f:00.0", "no such PCI function; list the NVMe controllers with: lspci -D -d ::0108"),
    ]:
        with pytest.raises(d.NvmeEnumerateError, match=rf"^fail to create the controller: .*{why}"):
            d.Pcie(address)


@pytest.mark.skipif(BEHIND_IOMMU, reason="a group of vfio-pci is open in one process only")
def test_a_child_may_have_copies_of_what_was_open(pcie, nvme0):
    """DPDK's descriptors outlive the parent's in a forked child, which is no other user."""
    child = os.fork()
    if child == 0:
        time.sleep(120)
        os._exit(0)
    try:
        nvme0.reset()
        works(nvme0)
        pcie.reset()
        nvme0.reset()
        works(nvme0)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


RESETS = {
    "controller": lambda pcie: None,
    "hot": lambda pcie: pcie.reset(),
    "flr": lambda pcie: pcie.flr(),
    "own": lambda pcie: pcie.reset(lambda: None),
}


@pytest.mark.parametrize("kind", RESETS)
def test_resets_under_load(kind, pcie, nvme0):
    namespace = d.Namespace(nvme0)
    for _ in Steady(20):
        # What is known of blocks takes memory once they are written: few of them.
        load = {"lba_random": True, "read_percentage": 50, "region_end": 1 << 14}
        workers = [namespace.ioworker(io_size=8, time=60, qdepth=16, **load).start() for _ in range(4)]
        until(lambda workers=workers: all(worker.completed for worker in workers), "reads of all workers")
        begin = time.monotonic()
        RESETS[kind](pcie)
        nvme0.reset()
        for worker in workers:
            result = worker.close()
            assert result.error == 0 and result.io_count_read + result.io_count_nonread > 0
        assert time.monotonic() - begin < 10
        works(nvme0)


def test_power_goes_and_comes_back(pcie, nvme0, monitor):
    def on():
        monitor.wait_until_gone("plain")
        monitor.plug("plain")

    def off():
        # The kernel lets go of a function under vfio-pci when its user does, which is after this.
        monitor.ask_for("plain") if BEHIND_IOMMU else monitor.unplug("plain")

    subsystem = d.Subsystem(nvme0, on, off)
    for _ in range(3):
        works(nvme0)
        assert subsystem.poweroff() is True
        assert not os.path.exists(f"/sys/bus/pci/devices/{ADDRESS}")
        with pytest.raises(d.NvmeEnumerateError):
            nvme0.reset()
        assert subsystem.poweron() is True
        nvme0.reset()
        works(nvme0)


def test_shutdown(nvme0):
    subsystem = d.Subsystem(nvme0)
    for abrupt in (False, True):
        subsystem.shutdown_notify(abrupt)
        assert nvme0[0x1C] >> 2 & 3 == 2
        nvme0.reset()
        works(nvme0)
    assert subsystem.reset() is False
