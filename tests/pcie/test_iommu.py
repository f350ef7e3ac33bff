"""Behind an IOMMU that translates: make test-pcie VFIO=1."""

import re
import shlex
import subprocess

import nvme as d
import pytest
from sysfs import BEHIND_IOMMU, driver_of
from test_setup import setup

pytestmark = pytest.mark.skipif(not BEHIND_IOMMU, reason="needs an IOMMU: make test-pcie VFIO=1")

ADDRESS = "0000:01:00.0"


@pytest.fixture
def under_uio(bound_to):
    subprocess.run(["modprobe", "uio_pci_generic"], check=True)
    bound_to(ADDRESS, "uio_pci_generic")
    yield
    setup("undo")


def works():
    pcie = d.Pcie(ADDRESS)
    nvme0 = d.Controller(pcie)
    there, back = d.Buffer(4096, ptype=0xBEEF, pvalue=100), d.Buffer(4096)
    namespace, qpair = d.Namespace(nvme0), d.Qpair(nvme0, 8)
    namespace.write(qpair, there, 0, 8).waitdone()
    namespace.read(qpair, back, 0, 8).waitdone()
    assert back[:] == there[:]
    pcie.close()


def test_dma_that_would_fail_is_refused_with_the_command_that_helps(under_uio):
    with pytest.raises(d.NvmeEnumerateError, match=r"fail to create the controller.*IOMMU") as refused:
        d.Pcie(ADDRESS)
    command = re.search(r"as root: (scripts/setup [^;]*)", str(refused.value))[1]
    subprocess.run([*shlex.split(command), "--hugepages", "1"], check=True)
    works()


def test_setup_sees_it(under_uio):
    status = setup("status").stdout
    assert f"the IOMMU prevents its DMA; as root: scripts/setup bind {ADDRESS} --driver vfio-pci" in status
    done = setup("bind", ADDRESS, "--driver", "uio_pci_generic", "--hugepages", "1")
    assert done.returncode == 1 and "the IOMMU prevents DMA under uio_pci_generic" in done.stderr
    done = setup("bind", ADDRESS, "--hugepages", "1")
    assert done.returncode == 0, done.stderr
    assert driver_of(ADDRESS) == "vfio-pci"
    assert "prevents" not in setup("status").stdout
    works()


def test_interrupts_say_what_they_need():
    pcie = d.Pcie(ADDRESS)
    qpair = d.Qpair(d.Controller(pcie), 8)
    command = f"scripts/setup bind {ADDRESS} --driver uio_pci_generic"
    for use in (qpair.msix_isset, qpair.msix_clear, qpair.msix_mask, qpair.msix_unmask):
        with pytest.raises(NotImplementedError, match=rf"iommu=pt .*{command}"):
            use()
    pcie.close()
