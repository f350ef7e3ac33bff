"""Devices that are not to be had: nothing is taken from anybody, and the error says what to do. The commands it names
are run as they stand there, and the device is to be had then."""

import contextlib
import os
import pathlib
import re
import subprocess
import sys

import nvme as d
import pytest
from sysfs import DEVICES, bind, driver_of, kernel_disk, until

ADDRESS = "0000:01:00.0"
PROJECT = pathlib.Path(__file__).resolve().parents[2]
SETUP = f"scripts/setup bind {ADDRESS}"
PERF = ["vendor/spdk/build/examples/perf", "-q", "4", "-o", "4096", "-w", "randread", "-t", "60", "-s", "64"]
PAGES = pathlib.Path("/proc/sys/vm/nr_hugepages")


def shell(command):
    # As many hugepages as usual are more than the lab has memory.
    command = command.replace(SETUP, f"{SETUP} --hugepages 1")
    return subprocess.run(command, shell=True, cwd=PROJECT, capture_output=True, text=True, timeout=60)


def refused():
    with pytest.raises(d.NvmeEnumerateError, match=r"^fail to create the controller: ") as caught:
        d.Pcie(ADDRESS)
    return str(caught.value)


def advice(text):
    """The command that an error names."""
    return re.search(r"as root: (.*?)(; or .*)?$", text)[1]


def follow(text):
    done = shell(advice(text))
    assert done.returncode == 0, f"{advice(text)}: {done.stderr}"


def works():
    pcie = d.Pcie(ADDRESS)
    nvme0 = d.Controller(pcie)
    buf = d.Buffer(4096)
    nvme0.identify(buf).waitdone()
    assert buf[4:14] == b"LAB-PLAIN "
    pcie.close()


@pytest.fixture
def kernels(bound_to):
    """The disk of a controller that the kernel's driver has."""
    subprocess.run(["modprobe", "nvme"], check=True)
    bound_to(ADDRESS, "nvme")
    yield kernel_disk(ADDRESS)
    shell("scripts/setup undo")


def test_the_kernel_has_it(kernels):
    text = refused()
    assert "it is bound to the kernel's driver nvme" in text and advice(text) == SETUP
    assert driver_of(ADDRESS) == "nvme"
    follow(text)
    works()


def test_nobody_has_it(bound_to):
    bound_to(ADDRESS, "uio_pci_generic")
    pathlib.Path("/sys/bus/pci/drivers/uio_pci_generic/unbind").write_text(ADDRESS)
    text = refused()
    assert "it is bound to no driver" in text and advice(text) == SETUP
    follow(text)
    works()
    shell("scripts/setup undo")


@contextlib.contextmanager
def mounted(disk):
    for module in ("crc32c_generic", "ext4"):
        subprocess.run(["modprobe", module], check=True)
    place = pathlib.Path("/tmp/lab disk")
    place.mkdir(exist_ok=True)
    subprocess.run(["mkfs.ext4", "-q", "-F", disk, "64M"], check=True)
    subprocess.run(["mount", disk, place], check=True)
    yield f"is mounted at {place}", f"umount '{place}'"


@contextlib.contextmanager
def swap(disk):
    subprocess.run(["mkswap", disk], check=True, capture_output=True)
    subprocess.run(["swapon", disk], check=True)
    yield "is swap space", f"swapoff {disk}"


@contextlib.contextmanager
def volume(disk):
    subprocess.run(["modprobe", "dm_mod"], check=True)
    table = f"0 2048 linear {disk} 0"
    subprocess.run(["dmsetup", "create", "lab", "--noudevsync", "--table", table], check=True)
    yield "is part of dm-0 (lab)", "dmsetup remove lab"


@contextlib.contextmanager
def held(disk, flags):
    script = f"import os, time; os.open({disk!r}, {flags}); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield f"process {process.pid} (", f"kill {process.pid}"
        process.kill()


USERS = {
    "mounted": mounted,
    "swap": swap,
    "volume": volume,
    "open": lambda disk: held(disk, os.O_RDONLY),
    "claimed": lambda disk: held(disk, os.O_RDONLY | os.O_EXCL),
}


@pytest.mark.parametrize("user", USERS)
def test_something_uses_its_disk(kernels, user):
    with USERS[user](kernels) as (why, remedy):
        text = refused()
        assert f"PCI function {ADDRESS} is in use: " in text and why in text, text
        assert advice(text).endswith(remedy), text
        done = shell(SETUP)
        assert done.returncode == 1 and "refused" in done.stderr and "--even-in-use" in done.stderr
        assert driver_of(ADDRESS) == "nvme"
        follow(text)
        until(lambda: "is in use" not in refused(), "end of that")
    # Then it is as with any disk of the kernel.
    follow(refused())
    works()


@pytest.fixture(autouse=True)
def strangers(monkeypatch):
    """Processes that are started here share nothing with this one."""
    monkeypatch.setenv("NVME_SHARING", "0")


ANOTHER = f"import nvme as d, time; pcie = d.Pcie({ADDRESS!r}); d.Controller(pcie); time.sleep(60)"


@pytest.mark.parametrize(
    "command",
    [[*PERF, "-r", f"trtype:PCIe traddr:{ADDRESS}"], [sys.executable, "-c", ANOTHER]],
    ids=["perf", "nvme"],
)
def test_another_process_drives_it(command):
    works()
    with subprocess.Popen(
        command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        holds = f"process {process.pid} has "
        until(lambda: holds in shell("scripts/setup status").stdout, "user of the device", 30)
        text = refused()
        assert f"process {process.pid} (" in text and "has it open" in text, text
        assert process.poll() is None and advice(text) == f"kill {process.pid}"
        follow(text)
        process.wait(10)
    works()


def in_another_process(before=""):
    """What an attempt says in a process that does something else first."""
    script = f"""
import os
import nvme as d
{before}
try:
    d.Pcie({ADDRESS!r})
except d.NvmeEnumerateError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    return done.stdout.strip() or done.stderr


def test_without_hugepages():
    before = PAGES.read_text()
    PAGES.write_text("0")
    try:
        text = in_another_process()
        assert text.startswith("fail to create the controller: ") and "PCIe needs hugepages" in text, text
        assert f"as root: {SETUP}, or echo 512 > /proc/sys/vm/nr_hugepages" in text
    finally:
        PAGES.write_text(before)
    works()


def test_without_root():
    text = in_another_process("os.setgroups([]); os.setgid(65534); os.setuid(65534)")
    assert text.startswith("fail to create the controller: ") and "PCIe needs root" in text, text
    assert "start this program as root, with sudo" in text


needs_iommu = pytest.mark.skipif(
    not (DEVICES / ADDRESS / "iommu_group").exists(), reason="needs an IOMMU: scripts/lab --vfio"
)


@needs_iommu
def test_dma_through_the_iommu():
    assert driver_of(ADDRESS) == "vfio-pci"
    works()


@needs_iommu
def test_the_iommu_prevents_dma(bound_to):
    subprocess.run(["modprobe", "uio_pci_generic"], check=True)
    bound_to(ADDRESS, "uio_pci_generic")
    text = refused()
    assert "the IOMMU translates its addresses, and with uio_pci_generic its DMA would fail" in text, text
    assert advice(text) == f"{SETUP} --driver vfio-pci" and "iommu=pt" in text
    follow(text)
    assert driver_of(ADDRESS) == "vfio-pci"
    works()
    shell("scripts/setup undo")


@needs_iommu
def test_dma_past_the_iommu(bound_to):
    """As with iommu=pt."""
    subprocess.run(["modprobe", "uio_pci_generic"], check=True)
    bound_to(ADDRESS, "uio_pci_generic")
    (DEVICES / ADDRESS / "driver" / "unbind").write_text(ADDRESS)
    kind = DEVICES / ADDRESS / "iommu_group" / "type"
    before = kind.read_text().strip()
    kind.write_text("identity")
    try:
        bind(ADDRESS, "uio_pci_generic")
        works()
        (DEVICES / ADDRESS / "driver" / "unbind").write_text(ADDRESS)
    finally:
        kind.write_text(before)
