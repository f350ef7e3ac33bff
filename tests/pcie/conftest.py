"""What the tests of the lab share. They run in its guest: `make test-pcie`."""

import contextlib
import pathlib
import sys
import time

import pytest

LAB = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "lab"
sys.path.insert(0, str(LAB))

import controllers  # noqa: E402
from monitor import Monitor  # noqa: E402

DEVICES = pathlib.Path("/sys/bus/pci/devices")
DRIVERS = pathlib.Path("/sys/bus/pci/drivers")


def pytest_collection_modifyitems(items):
    if not pathlib.Path("/run/lab").exists():
        for item in items:
            if pathlib.Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="needs the lab: make test-pcie"))


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
    pathlib.Path("/sys/bus/pci/drivers_probe").write_text(address)
    assert driver_of(address) == driver


@pytest.fixture(scope="session")
def described():
    """The controllers of the lab's description, by name."""
    return {one.name: one for one in controllers.read()}


@pytest.fixture
def monitor():
    """A session with QEMU's monitor."""
    with Monitor() as session:
        yield session


@pytest.fixture
def bound_to():
    """Binds controllers to a kernel driver until the test ends."""
    with contextlib.ExitStack() as afterwards:

        def bound(address, driver):
            afterwards.callback(bind, address, driver_of(address))
            bind(address, driver)

        yield bound
