"""scripts/setup: binds what nobody uses, refuses the rest, and restores what it found."""

import os
import pathlib
import subprocess

import pytest
from sysfs import BEHIND_IOMMU, DEVICES, driver_of, kernel_disk, lab_driver

SETUP = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "setup"


def setup(*arguments):
    return subprocess.run([SETUP, *arguments], capture_output=True, text=True, timeout=60)


@pytest.fixture
def kernels(described, bound_to):
    """A controller the kernel's own driver has, and the name of its disk."""
    one = described["plain"]
    subprocess.run(["modprobe", "nvme"], check=True)
    bound_to(one.address, "nvme")
    (DEVICES / one.address / "driver_override").write_text("\n")
    yield one.address, kernel_disk(one.address)
    setup("undo")


def test_bind_and_undo(kernels):
    address, _ = kernels
    pages = pathlib.Path("/proc/sys/vm/nr_hugepages")
    before = int(pages.read_text())
    done = setup("bind", address, "--hugepages", str(before + 4))
    assert done.returncode == 0, done.stderr
    assert driver_of(address) == lab_driver()
    assert int(pages.read_text()) == before + 4
    assert f"undo gives {address} back to nvme" in setup("status").stdout

    assert "already" in setup("bind", address, "--hugepages", "1").stdout
    done = setup("undo")
    assert done.returncode == 0, done.stderr
    assert driver_of(address) == "nvme"
    assert int(pages.read_text()) == before
    assert "undo gives" not in setup("status").stdout


def test_a_disk_in_use_is_refused(kernels):
    address, disk = kernels
    subprocess.run(["mkswap", disk], check=True, capture_output=True)
    subprocess.run(["swapon", disk], check=True)
    try:
        done = setup("bind", address, "--hugepages", "1")
        assert done.returncode == 1
        assert (
            f"{address}: refused, " in done.stderr
            and "swap" in done.stderr
            and "--even-in-use" in done.stderr
        )
        assert driver_of(address) == "nvme"

        everything = setup("bind", "--hugepages", "1")
        assert everything.returncode == 0 and "refused" in everything.stderr
        assert driver_of(address) == "nvme"
    finally:
        subprocess.run(["swapoff", disk], check=True)
    assert setup("bind", address, "--hugepages", "1").returncode == 0


def test_a_disk_open_in_a_process_is_refused_unless_told(kernels):
    address, disk = kernels
    with open(disk, "rb"):
        done = setup("bind", address, "--hugepages", "1")
        assert done.returncode == 1
        assert f"process {os.getpid()} has {disk} open" in done.stderr
        assert setup("bind", address, "--hugepages", "1", "--even-in-use").returncode == 0
    assert driver_of(address) == lab_driver()


def test_what_cannot_be_bound_is_an_error(kernels):
    address, _ = kernels
    done = setup("bind", "0000:7f:00.0", "--hugepages", "1")
    assert done.returncode == 1 and "no NVMe controller at 0000:7f:00.0" in done.stderr
    driver, why = ("uio_pci_generic", "prevents DMA") if BEHIND_IOMMU else ("vfio-pci", "no IOMMU")
    done = setup("bind", address, "--driver", driver, "--hugepages", "1")
    assert done.returncode == 1 and why in done.stderr
    assert driver_of(address) == "nvme"
