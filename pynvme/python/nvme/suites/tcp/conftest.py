"""Fixtures of the suite: the device for the session, the target for a test; evidence where one fails."""

import pathlib

import pytest

from nvme import wire

from . import evidence
from .association import Barred
from .changes import ChangeFailed
from .device import Device, Gone
from .target import Target
from .verdicts import not_applicable

# What a connection raises if the target does not answer as it should.
UNEXPECTED = (OSError, wire.ProtocolError)


def pytest_configure(config):
    """The markers of the suite."""
    config.addinivalue_line("markers", "section(title, ...): the parts of the specification a test checks")
    config.addinivalue_line(
        "markers", "deadly: a target is known that serves nobody any more after this test"
    )


def pytest_collection_modifyitems(items):
    """What is known to bring targets down comes last, so that all others have their verdict."""
    items.sort(key=lambda item: item.get_closest_marker("deadly") is not None)


@pytest.fixture(scope="session")
def device(request, record_testsuite_property):
    """The device under test."""
    chosen = (
        request.config.getoption(name) for name in ("--pciaddr", "--nqn", "--nvme-namespaces", "--hostnqn")
    )
    device = Device(*chosen)
    yield device
    if device.facts:
        record_testsuite_property("target", f"{device.facts.model} {device.facts.firmware}")
    device.end()


@pytest.fixture
def target(request, device, record_property):
    """The target, of which a well-behaved association is served before and after the test."""
    sections = [title for marker in request.node.iter_markers("section") for title in marker.args]
    for section in sections:
        record_property("section", section)
    try:
        device.begin()
    except Gone as gone:
        raise pytest.fail.Exception(str(gone), pytrace=False) from None
    except Barred as barred:
        not_applicable(str(barred))
    target = Target(device, sections)
    request.node.target = target
    try:
        yield target
        problem = device.check()
        if problem:
            target.fail(problem)
    finally:
        target.close()


@pytest.fixture(params=["end", "reason"])
def judged(request):
    """What a test of a fatal error looks at: that the association ends, or the reason the target gives."""
    return request.param


def _folder(item):
    chosen = item.config.getoption("--nvme-capture")
    if chosen:
        return pathlib.Path(chosen)
    return item.config._tmp_path_factory.getbasetemp() / "captures"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure has the bytes and the capture with it."""
    outcome = yield
    report = outcome.get_result()
    target = getattr(item, "target", None)
    if report.when == "teardown":
        # pytest keeps its items, and connections every byte that went over them.
        item.target = None
    if not report.failed or target is None:
        return
    if call.excinfo and call.excinfo.errisinstance(ChangeFailed):
        report.longrepr = f"the namespace could not be changed: {call.excinfo.value}"
    elif call.excinfo and call.excinfo.errisinstance(Barred):
        report.longrepr = f"the host was let in before, and is not any more: {call.excinfo.value}"
    elif call.excinfo and call.excinfo.errisinstance(UNEXPECTED):
        # A step on the way failed that the test takes for granted: that is a verdict as well.
        report.longrepr = target.violation(str(call.excinfo.value))
    report.sections.append(("NVMe/TCP", evidence.describe(target.connections)))
    path = evidence.save(_folder(item), item.nodeid, target.connections)
    report.sections.append(
        ("capture", f"{path} (tshark -d tcp.port==PORT,nvme-tcp for ports other than 4420)")
    )
