"""Load while connections come and go: verified data, and a target that serves everybody afterwards."""

import random
import threading
import time
import warnings

import pytest

import nvme as d
from nvme import wire

from .association import connect
from .proxy import Proxy, split
from .structures import CAP
from .verdicts import not_applicable

WORKERS = 4
REGION = 1024
CHUNK = 64
DEPTH = 16
# Seconds in which a worker has connected its queue and a command completed.
STARTS = 30
# Seconds in which a worker whose connection is cut ends; its own time is a minute.
NOTICED = 15
# What commands end with whose queue is gone: nothing, as no answer comes; Abort Requested; SQ Deletion; a path
# that is gone (status code type 3).
NO_ANSWER, ABORTED, PATH = 0, (0x007, 0x008), 3
# What the driver raises.
DRIVER = (
    d.NvmeEnumerateError,
    d.NvmeDeletionError,
    d.QpairCreationError,
    d.QpairDeletionError,
    d.NamespaceCreationError,
    AssertionError,
    OSError,
)


def _close(worker):
    """What a worker did; it warns that its connection broke, which is what is wanted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return worker.close()


class Host:
    """A controller of the driver, whose data is verified."""

    def __init__(self, target, workers, **options):
        self._target, self.facts = target, target.facts
        self.blocks = workers * REGION
        self._pcie = d.Tcp(nqn=target.device.nqn, hostnqn=target.device.hostnqn, **options)
        try:
            self.controller = d.Controller(self._pcie)
            self._namespace = d.Namespace(self.controller, self.facts.nsid, self.blocks)
            self._namespace.verify_enable()
        except BaseException:
            self._pcie.close()
            raise
        self._workers = []

    def load(self, count):
        """Starts so many workers, each on blocks of its own, and waits until all of them have done something."""
        self._workers = [self._start(index) for index in range(count)]
        end = time.monotonic() + STARTS
        while idle := [index for index, worker in enumerate(self._workers) if not worker.completed]:
            if time.monotonic() > end:
                self._target.fail(f"after {STARTS} s workers {idle} of {count} had no command completed")
            for index in idle:
                if not self._workers[index].running:
                    # The target may not know yet that the last queue with this identifier has ended.
                    _close(self._workers[index])
                    self._workers[index] = self._start(index)
            time.sleep(0.05)

    def _start(self, index):
        region = {"region_start": index * REGION, "region_end": (index + 1) * REGION}
        return self._namespace.ioworker(
            io_size=8, read_percentage=50, qdepth=DEPTH, time=60, **region
        ).start()

    def finish(self):
        """Waits for the workers, whose connections are lost: they end for that reason, and no other."""
        begin = time.monotonic()
        results = [_close(worker) for worker in self._workers]
        if time.monotonic() - begin > NOTICED:
            self._target.fail("a worker did not notice that its connection was lost")
        for result in results:
            if not result.io_count_read + result.io_count_nonread:
                self._target.fail("a worker had no command completed")
            if result.error not in (NO_ANSWER, *ABORTED) and result.error >> 8 != PATH:
                self._target.fail(
                    f"a worker ended with status {result.error >> 8:02x}/{result.error & 0xFF:02x}, which is no lost "
                    "connection"
                )

    def check(self):
        """Everything that was written is there."""
        qpair = d.Qpair(self.controller, DEPTH)
        buffer = d.Buffer(CHUNK * self.facts.block)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for lba in range(0, self.blocks, CHUNK):
                try:
                    self._namespace.read(qpair, buffer, lba, CHUNK).waitdone()
                except UserWarning as warning:
                    self._target.fail(f"reading {CHUNK} blocks from {lba}: {warning}")
        qpair.delete()

    def close(self):
        """Disconnects, whatever still goes on."""
        for worker in self._workers:
            _close(worker)
        self._pcie.close()


def workers_for(target):
    """How many workers the target has queues for, beside one that checks."""
    facts = target.facts
    if facts.nsid is None or facts.blocks < WORKERS * REGION:
        not_applicable("there is no namespace without metadata that is large enough")
    if facts.deepest <= DEPTH:
        not_applicable(f"queues have only {facts.deepest} entries")
    target.admin()
    granted = target.ask(WORKERS + 1)
    target.leave()
    if granted < 2:
        not_applicable("the controller grants one I/O queue only")
    return min(WORKERS, granted - 1)


@pytest.mark.section("Error Handling Model", "Transport Specific Initialization")
def test_verified_load_while_connections_are_cut(target, request):
    """Workers write, read and verify; all connections are cut at random moments, and made anew."""
    workers = workers_for(target)
    rounds = request.config.getoption("--nvme-rounds")
    chance = random.Random(rounds)
    proxy = Proxy(*split(target.device.address))
    host = None
    try:
        host = Host(target, workers, addr="127.0.0.1", port=proxy.port, reconnect=20)
        for _ in range(rounds):
            host.load(workers)
            time.sleep(chance.random() / 2)
            if not proxy.cut():
                target.fail("there was no connection to cut")
            host.finish()
            host.controller.reset()
            host.check()
            target.others_are_served()
    except DRIVER as error:
        target.fail(f"the driver gave up: {error}")
    finally:
        if host is not None:
            host.close()
        proxy.close()


@pytest.mark.section("Controller Level Reset", "Connect Command and Response")
def test_reset_under_load(target):
    """A host that disconnects and connects again finds its data."""
    workers = workers_for(target)
    host = None
    try:
        host = Host(target, workers, addr=target.device.address)
        for _ in range(3):
            host.load(workers)
            host.controller.reset()
            host.finish()
            host.check()
            target.others_are_served()
    except DRIVER as error:
        target.fail(f"the driver gave up: {error}")
    finally:
        if host is not None:
            host.close()


@pytest.mark.section("Transport Specific Initialization", "Connect Command and Response")
@pytest.mark.parametrize("depth", ["accepted", "initialised", "connected", "enabled"])
def test_reconnect_storm(target, depth):
    """Hosts that come and go as fast as they can, eight at a time; afterwards there is room for a new one."""
    problems = []

    def come_and_go():
        for number in range(25):
            try:
                connection = target.device.open()
                if depth != "accepted":
                    connection.initialise()
                if depth in ("connected", "enabled"):
                    connect(connection)
                if depth == "enabled":
                    connection.enable()
                connection.reset() if number % 2 else connection.close()
                target.keep(connection, brief=True)
            except (OSError, wire.ProtocolError) as error:
                problems.append(str(error))

    hosts = [threading.Thread(target=come_and_go) for _ in range(8)]
    for host in hosts:
        host.start()
    for host in hosts:
        host.join()
    # A target may turn hosts away that come too fast; afterwards it has to take one.
    end = time.monotonic() + 10
    while True:
        try:
            connection = target.admin()
            break
        except (OSError, wire.ProtocolError) as error:
            if time.monotonic() > end:
                target.fail(f"10 s after the storm no host is taken: {error}; during it: {problems[:3]}")
            time.sleep(0.2)
    connection.property_get(CAP, True)
