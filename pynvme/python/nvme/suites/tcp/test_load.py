"""Load while connections come and go: verified data, and a target that serves everybody afterwards."""

import random
import threading
import time
import warnings

import pytest

import nvme as d
from nvme import wire

from .device import CAP
from .proxy import Proxy, split
from .target import not_applicable

WORKERS = 4
REGION = 1024
CHUNK = 64
# Seconds in which a worker whose connection is cut ends; its own time is a minute.
NOTICED = 15


def check(target, namespace, qpair, blocks):
    """Everything that was written is there."""
    buffer = d.Buffer(CHUNK * target.facts.block)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for lba in range(0, blocks, CHUNK):
            try:
                namespace.read(qpair, buffer, lba, CHUNK).waitdone()
            except UserWarning as warning:
                target.fail(f"reading {CHUNK} blocks from {lba}: {warning}")


@pytest.mark.section("Error Handling Model", "Transport Specific Initialization")
def test_verified_load_while_connections_are_cut(target, request):
    """Four workers write, read and verify; all connections are cut at random moments, and made anew."""
    facts = target.facts
    blocks = WORKERS * REGION
    if facts.metadata or facts.blocks < blocks:
        not_applicable("the namespace has metadata, or is too small")
    rounds = request.config.getoption("--nvme-rounds")
    chance = random.Random(rounds)
    proxy = Proxy(*split(target.device.address))
    pcie = d.Tcp("127.0.0.1", proxy.port, nqn=target.device.nqn, reconnect=20)
    try:
        nvme0 = d.Controller(pcie)
        namespace = d.Namespace(nvme0, facts.nsid, blocks)
        namespace.verify_enable()
        for number in range(rounds):
            workers = [
                namespace.ioworker(
                    io_size=8, read_percentage=50, qdepth=16, time=60,
                    region_start=index * REGION, region_end=(index + 1) * REGION,
                ).start()
                for index in range(WORKERS)
            ]  # fmt: skip
            time.sleep(0.1 + chance.random() / 2)
            if not proxy.cut():
                target.fail("there was no connection to cut")
            with warnings.catch_warnings():
                # Each says that its connection broke.
                warnings.simplefilter("ignore")
                begin = time.monotonic()
                for worker in workers:
                    worker.close()
            if time.monotonic() - begin > NOTICED:
                target.fail(f"round {number}: a worker did not notice that its connection was cut")
            nvme0.reset()
            qpair = d.Qpair(nvme0, 16)
            check(target, namespace, qpair, blocks)
            qpair.delete()
    finally:
        pcie.close()
        proxy.close()


@pytest.mark.section("Transport Specific Initialization", "Connect Command and Response")
@pytest.mark.parametrize("depth", ["accepted", "initialised", "connected", "enabled"])
def test_reconnect_storm(target, depth):
    """Hosts that come and go as fast as they can, eight at a time; afterwards there is room for a new one."""
    address, nqn = target.device.address, target.device.nqn
    problems = []

    def come_and_go():
        for number in range(25):
            try:
                connection = wire.Connection(address, nqn)
                if depth != "accepted":
                    connection.initialise()
                if depth in ("connected", "enabled"):
                    connection.connect()
                if depth == "enabled":
                    connection.enable()
                connection.reset() if number % 2 else connection.close()
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


@pytest.mark.section("Controller Level Reset", "Connect Command and Response")
def test_reset_under_load(target):
    """A host that disconnects and connects again finds its data."""
    facts = target.facts
    if facts.metadata or facts.blocks < REGION:
        not_applicable("the namespace has metadata, or is too small")
    pcie = d.Tcp(target.device.address, nqn=target.device.nqn)
    try:
        nvme0 = d.Controller(pcie)
        namespace = d.Namespace(nvme0, facts.nsid, REGION)
        namespace.verify_enable()
        for _ in range(3):
            worker = namespace.ioworker(io_size=8, read_percentage=30, region_end=REGION, time=30).start()
            time.sleep(0.3)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                nvme0.reset()
                worker.close()
            qpair = d.Qpair(nvme0, 16)
            check(target, namespace, qpair, REGION)
            qpair.delete()
    finally:
        pcie.close()
