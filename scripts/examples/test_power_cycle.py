"""Data that was written survives a loss of power: write, cut the power, compare every block; again and again.

In the lab, where QEMU's monitor is the power supply:

    make lab CMD=".venv/bin/python -m pytest scripts/examples/test_power_cycle.py --pciaddr=01:00.0"

On a machine of yours, replace power_off and power_on by what switches your slot; a device without a switch is
power cycled by the machine's sleep (S3).
"""

import logging
import os
import pathlib
import sys

import nvme as d
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CYCLES = int(os.environ.get("CYCLES", 2))


@pytest.fixture
def powered(nvme0):
    """The subsystem, with a power supply."""
    if ":" in nvme0.addr and not os.path.exists(f"/sys/bus/pci/devices/{nvme0.addr}"):
        pytest.skip("an NVMe/TCP target has no power switch of ours")
    if not pathlib.Path("/run/lab").exists():
        yield d.Subsystem(nvme0)
        return
    sys.path.insert(0, str(ROOT / "scripts/lab"))
    from monitor import Monitor

    with Monitor() as monitor:

        def power_on():
            monitor.plug("plain")

        def power_off():
            monitor.unplug("plain")

        yield d.Subsystem(nvme0, power_on, power_off)


def write_and_read(namespace, read_percentage, region_end):
    worker = namespace.ioworker(
        io_size=64, lba_random=False, region_end=region_end, read_percentage=read_percentage, qdepth=16
    )
    return worker.start().close()


def test_power_cycle(pcie, nvme0, nvme0n1, powered, verify):
    assert verify
    blocks = min(nvme0n1.id_data(7, 0), 64 << 10)
    for cycle in range(CYCLES):
        assert write_and_read(nvme0n1, 0, blocks).error == 0
        # The device may keep data in a volatile cache until it is told that the power goes.
        powered.shutdown_notify()
        powered.poweroff()
        powered.poweron()
        nvme0.reset()
        result = write_and_read(nvme0n1, 100, blocks)
        assert result.error == 0, f"cycle {cycle + 1}"
        logging.info("cycle %d: %d reads, every block as it was written", cycle + 1, result.io_count_read)
