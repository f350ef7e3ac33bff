"""scripts/zns.py: zones of the lab's zoned namespace."""

import pathlib
import sys

import nvme as d
import pytest
from initialisation import CC_USUAL, initialise

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from zns import Zone

# CC.CSS
ALL_COMMAND_SETS = 6 << 4
# In blocks of 4 KiB: 8 MiB, and the 6 MiB of them that can be written.
SIZE, CAPACITY = 2048, 1536


@pytest.fixture(scope="module")
def zoned():
    """A queue pair and a namespace of a controller that was enabled with all command sets."""
    pcie = d.Pcie("0000:03:00.0")
    nvme0 = d.Controller(pcie, lambda nvme0: initialise(nvme0, CC_USUAL | ALL_COMMAND_SETS))
    namespace = d.Namespace(nvme0)
    yield d.Qpair(nvme0, 16), namespace
    namespace.close()
    pcie.close()


@pytest.fixture
def zone(zoned):
    with pytest.warns(UserWarning, match="ERROR status"):
        # Its gap is marked with Write Uncorrectable, which QEMU does not have.
        zone = Zone(*zoned, SIZE)
    zone.reset()
    return zone


def test_states(zone):
    assert (zone.capacity, zone.zsze, zone.elba) == (CAPACITY, SIZE, SIZE + CAPACITY)
    assert (zone.state, zone.wpointer) == ("Empty", SIZE)
    zone.open()
    assert zone.state == "Explicitly Opened"
    zone.close()
    assert zone.state in ("Closed", "Empty")
    zone.finish()
    assert zone.state == "Full"
    zone.reset()
    assert repr(zone) == f"slba {SIZE:#x}, state Empty, capacity {CAPACITY:#x}, write pointer {SIZE:#x}"


def test_write_append_and_read(zoned, zone):
    qpair, _ = zoned
    first, second, back = (
        d.Buffer(4096, ptype=32, pvalue=1),
        d.Buffer(4096, ptype=32, pvalue=2),
        d.Buffer(4096),
    )
    zone.write(qpair, first, 0).waitdone()
    assert (zone.state, zone.wpointer) == ("Implicitly Opened", SIZE + 1)
    where = zone.append(qpair, second).waitdone()
    assert where == SIZE + 1
    zone.read(qpair, back, 1).waitdone()
    assert back[:] == second[:]
    with pytest.warns(UserWarning, match="ERROR status: 01/bc"):
        zone.write(qpair, first, 100).waitdone()


def test_a_worker_fills_a_zone(zone):
    result = zone.ioworker(io_count=CAPACITY // 8, qdepth=2, time=0).start().close()
    assert result.error == 0 and result.io_count_nonread == CAPACITY // 8
    assert zone.state == "Full"


def test_a_worker_steps_over_the_gap_between_zones(zoned):
    with pytest.warns(UserWarning, match="ERROR status"):
        zones = Zone(*zoned, 0, 2 * SIZE)
    result = zones.ioworker(io_size=1, io_count=2 * CAPACITY, time=0).start().close()
    assert result.error == 0 and result.io_count_nonread == 2 * CAPACITY
    for slba in (0, SIZE):
        with pytest.warns(UserWarning, match="ERROR status"):
            assert Zone(*zoned, slba).state == "Full"
