"""scripts/zns.py without a zoned device: what it sends."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from zns import Zone


class Sent:
    """A command that is done."""

    def waitdone(self):
        return 0


class Namespace:
    """Zones of a size and a capacity that is smaller; it remembers which blocks were made unreadable."""

    def __init__(self, size, capacity):
        self.size, self.capacity, self.bad = size, capacity, []

    def zns_mgmt_receive(self, qpair, buf, slba):
        for at, number in {64: 2, 72: self.capacity, 80: slba}.items():
            for place, byte in enumerate(number.to_bytes(8, "little")):
                buf[at + place] = byte
        return Sent()

    def id_data(self, high, low, cns=0, csi=0):
        return self.size if (cns, csi) == (5, 2) else 8 * self.size

    def write_uncorrectable(self, qpair, lba, lba_count):
        assert 1 <= lba_count <= 0x10000, "more than a command can be about"
        self.bad.append(range(lba, lba + lba_count))
        return Sent()


@pytest.mark.parametrize("gap", [1, 0x10000, 0x10001, 0x38000])
def test_all_of_a_gap_is_marked(gap):
    size = 0x80000
    namespace = Namespace(size, size - gap)
    Zone(None, namespace, size, 3 * size)
    marked = [lba for run in namespace.bad for lba in run]
    assert marked == [lba for end in (2 * size, 3 * size) for lba in range(end - gap, end)]


def test_zones_without_a_gap():
    namespace = Namespace(0x8000, 0x8000)
    zone = Zone(None, namespace, 0)
    assert namespace.bad == [] and zone.elba == 0x8000
