"""The pytest plugin: the fixtures of pynvme, and a device where there is none.

Without --pciaddr, tests run against the embedded target, which starts with the first test that needs a
device. A conftest.py with an option --pciaddr and fixtures of its own keeps both: the plugin adds only what
is missing, and fixtures of the same name win over the ones here.

pytest loads this wherever the module is installed, in projects that have nothing to do with NVMe as well. So
the two things that act on every test, the fixture `script` and the reports kept on items, leave a test alone
unless its module imports nvme or it needs the fixture `pciaddr`, on which all fixtures of a device depend.
Nothing starts before a fixture or a test asks for it.
"""

import contextlib
import inspect
import logging
import pathlib
import time

import pytest

import nvme as d


class EmbeddedTarget:
    """One target for the whole session, started when somebody asks where it is."""

    def __init__(self):
        self._target = None

    def address(self):
        """Where it listens."""
        if self._target is None or not self._target.running:
            self._target = d.Target()
        return self._target.address

    def stop(self):
        """End it, if it runs."""
        if self._target is not None:
            self._target.stop()
            self._target = None


_embedded = EmbeddedTarget()


# The device under test, and what the suite nvme.suites.tcp takes, whose conftest.py is found too late for options.
OPTIONS = {
    "--pciaddr": {
        "default": "",
        "help": "the device under test: a PCIe address or the host[:port] of an NVMe/TCP target; without it, the "
        "embedded target",
    },
    "--nqn": {"default": "", "help": "the subsystem to test; without it, what discovery lists first"},
    "--hostnqn": {
        "default": "",
        "help": "the name under which nvme.suites.tcp connects; without it, one of its own",
    },
    "--nvme-capture": {
        "metavar": "DIR",
        "default": "",
        "help": "where nvme.suites.tcp leaves a pcapng of each test that fails; without it, a temporary folder",
    },
    "--nvme-namespaces": {
        "metavar": "COMMAND",
        "default": "",
        "help": "what nvme.suites.tcp runs to add a namespace to the subsystem under test, with `add` behind it, and "
        "to remove that one again, with `remove`",
    },
    "--nvme-rounds": {
        "metavar": "N",
        "type": int,
        "default": 10,
        "help": "how often nvme.suites.tcp cuts the connections of its verified load",
    },
}


@pytest.hookimpl(hookwrapper=True)
def pytest_load_initial_conftests(parser):
    """Add the options once every conftest.py had its chance to."""
    yield
    for name, option in OPTIONS.items():
        # A conftest.py may have it already.
        with contextlib.suppress(ValueError):
            parser.addoption(name, **option)


def pytest_addoption(parser):
    """Options of reports: names that nobody else has."""
    group = parser.getgroup("nvme", "NVMe")
    group.addoption(
        "--nvme-report",
        metavar="FILE.html",
        help="write what was tested as one HTML file that opens without network, and as JSON beside it",
    )
    group.addoption(
        "--nvme-baseline",
        metavar="OLD.json",
        help="compare with an earlier report, of which this is the JSON file; needs --nvme-report",
    )


def pytest_configure(config):
    """An empty address stands for the embedded target, also in fixtures that are not ours."""
    d._nvme.set_default_address(_embedded.address)
    path, baseline = config.getoption("--nvme-report"), config.getoption("--nvme-baseline")
    if path:
        _record(config, path, baseline)
    elif baseline:
        raise pytest.UsageError(
            "--nvme-baseline says what to compare with; say where to with --nvme-report=FILE.html"
        )


def _record(config, path, baseline):
    """Make a report; what stands in its way is said before any test runs."""
    from .report import compare, page, recorder

    try:
        page.check()
        earlier = compare.load(baseline) if baseline else None
        target = pathlib.Path(path).absolute()
        if target.suffix in ("", ".json"):
            raise pytest.UsageError(f"--nvme-report={path}: name an HTML file, the JSON goes beside it")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    except (page.MissingLibrary, compare.BaselineError, OSError) as error:
        raise pytest.UsageError(str(error)) from error
    config.pluginmanager.register(recorder.Recorder(config, target, earlier), "nvme-report")


def pytest_unconfigure(config):
    """Nothing runs on after the session."""
    d._nvme.set_default_address(None)
    _embedded.stop()


def _is_of_nvme(value):
    """Whether a name in a test's module came from here: the module, or something `from nvme import …` brought."""
    return value is d or getattr(value, "__module__", None) in ("nvme", "nvme._nvme")


def _concerns_us(item):
    """Whether a test has to do with NVMe; see above."""
    if "pciaddr" in getattr(item, "fixturenames", ()):
        return True
    module = getattr(item, "module", None)
    return module is not None and any(map(_is_of_nvme, list(vars(module).values())))


def _is_empty(function):
    """A test that was never written: a few lines, the last one of which is `pass`."""
    try:
        lines = inspect.getsourcelines(function)[0]
    except (OSError, TypeError):  # no source to look at
        return False
    return len(lines) < 5 and "pass" in lines[-1]


@pytest.fixture(autouse=True)
def script(request):
    """Around every test: empty ones are skipped, random numbers seeded (the log says how), the time taken."""
    if not _concerns_us(request.node):
        yield
        return
    if _is_empty(getattr(request, "function", None)):
        pytest.skip("empty test function")
    begin = time.time()
    d.srand(int(begin * 1_000_000) & 0xFFFFFFFF)
    yield
    logging.info("test duration: %.3f sec", time.time() - begin)


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item):
    """Fixtures find out how their test went: item.rep_setup, item.rep_call, item.rep_teardown."""
    outcome = yield
    if _concerns_us(item):
        report = outcome.get_result()
        setattr(item, f"rep_{report.when}", report)


@pytest.fixture(scope="session")
def pciaddr(request):
    """The address of the device under test."""
    return request.config.getoption("--pciaddr") or _embedded.address()


@pytest.fixture
def pcie(pciaddr):
    """The device under test, closed after the test."""
    device = d.Pcie(pciaddr)
    yield device
    device.close()


@pytest.fixture
def nvme0(pcie):
    """Its controller."""
    return d.Controller(pcie)


@pytest.fixture
def subsystem(nvme0):
    """Its subsystem: power and resets, on PCIe."""
    return d.Subsystem(nvme0)


@pytest.fixture
def nvme0n1(nvme0):
    """Its first namespace, closed after the test."""
    namespace = d.Namespace(nvme0)
    yield namespace
    namespace.close()


@pytest.fixture
def qpair(nvme0):
    """A queue pair as deep as the controller allows, deleted after the test."""
    queue = d.Qpair(nvme0, min(1024, (nvme0.cap & 0xFFFF) + 1))
    yield queue
    queue.delete()


@pytest.fixture(scope="session")
def buf():
    """A buffer of 4 KiB, the same for all tests."""
    return d.Buffer(4096, "pynvme buffer")


@pytest.fixture
def verify(nvme0n1):
    """Data verification, switched on; whether it could be."""
    return nvme0n1.verify_enable(True)


@pytest.fixture
def tcg(nvme0):
    """There is no class Tcg, as in the original: an AttributeError for who asks."""
    return d.Tcg(nvme0)


@pytest.fixture
def aer():
    """Gone in the original already; it says what to use."""
    assert False, "aer fixture is replaced by admin command nvme0.aer()"
