"""What the tests of the lab share. They run in its guest: `make test-pcie`."""

import contextlib
import pathlib
import sys

import pytest

LAB = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "lab"
sys.path.insert(0, str(LAB))

import controllers  # noqa: E402
from monitor import Monitor  # noqa: E402
from sysfs import bind, driver_of  # noqa: E402


def pytest_collection_modifyitems(items):
    if not pathlib.Path("/run/lab").exists():
        for item in items:
            if pathlib.Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="needs the lab: make test-pcie"))


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
