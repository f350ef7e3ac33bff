"""What the kernel shows of PCI devices and their drivers."""

import pathlib
import time

DEVICES = pathlib.Path("/sys/bus/pci/devices")
DRIVERS = pathlib.Path("/sys/bus/pci/drivers")


def lab_driver():
    """The driver that the lab has bound its controllers to: vfio-pci with an IOMMU, uio_pci_generic without."""
    settings = pathlib.Path("/run/lab/settings")
    return (
        "vfio-pci" if settings.exists() and "DRIVER=vfio-pci\n" in settings.read_text() else "uio_pci_generic"
    )


BEHIND_IOMMU = lab_driver() == "vfio-pci"


def until(condition, what, seconds=10):
    """Waits for what the kernel does on its own time."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"no {what} within {seconds} s"
        time.sleep(0.05)
    return found


def driver_of(address):
    """The name of the kernel driver the device at this address is bound to, or None."""
    link = DEVICES / address / "driver"
    return link.resolve().name if link.exists() else None


def bind(address, driver):
    """Binds the device to a kernel driver, whatever it was bound to."""
    if driver_of(address):
        (DEVICES / address / "driver" / "unbind").write_text(address)
    (DEVICES / address / "driver_override").write_text(driver)

    def bound():
        # A device that was just plugged in can be seen before the kernel is ready to bind it.
        pathlib.Path("/sys/bus/pci/drivers_probe").write_text(address)
        return driver_of(address) == driver

    until(bound, f"{driver} at {address}")


def disks(controller):
    """The block devices of the kernel driver's controller by namespace id.

    With multipath a disk hangs at the subsystem, where its controllers are linked, and hides its paths.
    """
    found = {}
    for disk in pathlib.Path("/sys/block").glob("nvme*"):
        beside = (disk / "device" / controller.name).exists()
        if (disk / "hidden").read_text().strip() == "0" and (
            beside or controller.resolve() in disk.resolve().parents
        ):
            found[int((disk / "nsid").read_text())] = disk
    return found


def kernel_controller(address):
    """The kernel driver's folder of the controller, when it is ready."""
    folder = DEVICES / address / "nvme"
    one = until(lambda: next(folder.glob("nvme*"), None), f"nvme driver at {address}")
    until(lambda: (one / "state").read_text().strip() == "live", f"live controller at {address}")
    return one


def kernel_disk(address):
    """The path of the disk of a controller with one namespace."""
    controller = kernel_controller(address)
    path = until(
        lambda: next((f"/dev/{disk.name}" for disk in disks(controller).values()), None), f"disk at {address}"
    )
    until(pathlib.Path(path).exists, path)
    return path
