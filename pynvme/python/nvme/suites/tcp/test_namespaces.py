"""Namespaces that come and go while hosts are connected."""

import contextlib
import threading

import pytest

from nvme import wire

from .changes import ENDS, ChangeFailed
from .data import answer, pattern
from .structures import (
    ASYNCHRONOUS_EVENT_REQUEST,
    active_namespaces,
    block_of,
    little,
    log_page,
    set_features,
)
from .verdicts import BOUND, QUIET, not_applicable

LISTS = "Active Namespace ID list", "Identify command"
EVENTS = "Asynchronous Event Request command", "Asynchronous Event Configuration"
CHANGED_LIST = "Changed Namespace List"

EVENT_CONFIGURATION, NAMESPACE_NOTICES = 0x0B, 1 << 8
# Of Identify Controller, OAES: Namespace Attribute Notices.
OAES = 92
NOTICE, NAMESPACE_CHANGED, CHANGED_LOG = 2, 0, 0x04
INVALID_NAMESPACE = ("00/0b", "00/02")


class Changing:
    """Adds and removes a namespace, and knows which it is."""

    def __init__(self, target, changer, admin):
        self._target, self._changer, self._admin = target, changer, admin
        # The one that was added last.
        self.nsid = None
        self._added = False

    def listed(self, admin=None):
        """The active namespaces, as a host sees them."""
        return set(active_namespaces(admin or self._admin))

    def add(self):
        """Adds it; it has to be listed."""
        before = self.listed()
        self._changer.add()
        self._added = True
        new = self.listed() - before
        if len(new) != 1:
            self._target.fail(
                f"a namespace was added; before, {sorted(before)} were active, now also {sorted(new)}"
            )
        (self.nsid,) = new

    def remove(self):
        """Removes it; it must not be listed any more."""
        self.take_away()
        self.must_be_gone()

    def take_away(self):
        """Removes it; no more is looked at, so any thread may."""
        self._changer.remove()
        self._added = False

    def must_be_gone(self):
        """It is not listed any more."""
        if self.nsid in self.listed():
            self._target.fail(f"namespace {self.nsid} was removed, and is listed as active")

    def end(self):
        """Leaves the subsystem as it was."""
        if self._added:
            with contextlib.suppress(ChangeFailed):
                self._changer.remove()


@pytest.fixture
def changing(target):
    """A controller that sees a namespace come and go."""
    changer = target.device.changer()
    if changer is None:
        not_applicable("--nvme-namespaces names no command that adds and removes a namespace")
    changing = Changing(target, changer, target.admin())
    yield changing
    changing.end()


def size_of(admin, nsid):
    """The size of its blocks, from Identify Namespace."""
    block, metadata = block_of(admin.identify(0, nsid))
    if metadata:
        not_applicable(f"namespace {nsid} has metadata")
    return block


@pytest.mark.section(*LISTS)
def test_a_namespace_that_comes(target, changing):
    """It is there for hosts that are connected and for new ones, and works."""
    io = target.queue()
    changing.add()
    admin = target.admin()
    if changing.nsid not in changing.listed(admin):
        target.fail(f"namespace {changing.nsid} is not listed to a host that connects now")
    block = size_of(admin, changing.nsid)
    length = -(-target.on_request // block) * block
    whole = pattern(length, 4)
    for connection in (io, target.queue()):
        write = wire.Command.write(1, changing.nsid, 0, length // block, length)
        outcome = connection.execute(write, on_request=whole)
        if outcome.status != "00/00":
            target.fail(f"a write to the new namespace failed with status {outcome.status}")
        outcome = connection.execute(wire.Command.read(2, changing.nsid, 0, length // block, length))
        if outcome.status != "00/00" or outcome.data != whole:
            target.fail(
                f"a read of it: status {outcome.status}, {len(outcome.data)} bytes that are not those written"
            )


@pytest.mark.section("Namespace Identifier", *LISTS)
def test_a_namespace_that_goes(target, changing):
    """Commands for it fail with Invalid Namespace or Format; the queue and the other namespaces go on."""
    io = target.queue()
    changing.add()
    nsid = changing.nsid
    block = size_of(target.admin(), nsid)
    target.must_serve(io, wire.Command.read(3, nsid, 0, 1, block))
    changing.remove()
    io.send(wire.Pdu.capsule_cmd(wire.Command.read(4, nsid, 0, 1, block)))
    target.must_fail_or_end(io, 4, statuses=INVALID_NAMESPACE)
    target.must_serve(io, target.read(5, target.facts.block))


def listening(target, enabled):
    """An admin queue with an Asynchronous Event Request, and notices of namespaces on or off."""
    admin = target.admin()
    if not little(admin.identify(1), OAES, 4) & NAMESPACE_NOTICES:
        not_applicable("OAES says that the controller sends no Namespace Attribute Notices")
    value = NAMESPACE_NOTICES if enabled else 0
    outcome = admin.execute(set_features(20, EVENT_CONFIGURATION, value))
    target.must_succeed(outcome, f"Set Features, Asynchronous Event Configuration {value:#x},")
    admin.send(wire.Pdu.capsule_cmd(wire.Command.of(ASYNCHRONOUS_EVENT_REQUEST, cid=21)))
    return admin


def must_be_told(target, admin, what):
    """The request is completed with the notice."""
    outcome = target.outcome(admin, 21)
    if outcome is None:
        target.fail("the association ended")
    kind, information, page = outcome.result & 7, outcome.result >> 8 & 0xFF, outcome.result >> 16 & 0xFF
    if outcome.status != "00/00" or (kind, information, page) != (NOTICE, NAMESPACE_CHANGED, CHANGED_LOG):
        target.fail(
            f"a namespace was {what}; the event has status {outcome.status}, type {kind}, information "
            f"{information}, log page {page:#x}; expected {NOTICE}, {NAMESPACE_CHANGED}, {CHANGED_LOG:#x}"
        )


def changed(target, admin):
    """The changed namespaces; reading clears the list, and lets the next event come."""
    outcome = admin.execute(log_page(22, CHANGED_LOG, 4096, nsid=0xFFFFFFFF))
    target.must_succeed(outcome, f"Get Log Page of {CHANGED_LOG:#x}")
    return [nsid for at in range(0, 4096, 4) if (nsid := little(outcome.data, at, 4))]


@pytest.mark.section(*EVENTS, CHANGED_LIST)
def test_events(target, changing):
    """A host is told when it comes and when it goes, once each, and of which namespace."""
    admin = listening(target, enabled=True)
    for what, change in (("added", changing.add), ("removed", changing.remove)):
        change()
        must_be_told(target, admin, what)
        # Until the page is read, no further event of the kind comes.
        admin.send(wire.Pdu.capsule_cmd(wire.Command.of(ASYNCHRONOUS_EVENT_REQUEST, cid=21)))
        if admin.receive(QUIET) is not None:
            target.fail("a second event came before the log page of the first was read")
        listed = changed(target, admin)
        if changing.nsid not in listed and listed != [0xFFFFFFFF]:
            target.fail(f"namespace {changing.nsid} was {what}; the log page lists {listed}")
        if changed(target, admin):
            target.fail("the log page lists what it did before: reading clears it")


@pytest.mark.section(*EVENTS)
def test_no_events_unless_asked_for(target, changing):
    """A host that has switched the notices off is not told."""
    admin = listening(target, enabled=False)
    changing.add()
    changing.remove()
    arrived = admin.receive(QUIET)
    if arrived is not None:
        target.fail(f"{arrived!r} came although Asynchronous Event Configuration is 0")


@pytest.mark.section("Namespace Identifier", "Host to Controller Command Data Buffer Transfers")
def test_gone_during_a_write(target, changing):
    """A write whose namespace goes while its data is on the way is completed, or the association ends."""
    io = target.queue()
    changing.add()
    nsid = changing.nsid
    block = size_of(target.admin(), nsid)
    length = -(-target.on_request // block) * block
    write = wire.Command.write(6, nsid, 0, length // block, length)
    io.send(wire.Pdu.capsule_cmd(write))
    r2t = io.receive()
    if getattr(r2t, "name", "") != "R2T":
        target.fail(f"a write of {length} bytes was answered by {r2t!r}, not by an R2T")
    problems = []
    # The target may wait for the write.
    removing = threading.Thread(target=_take_away, args=(changing, problems))
    removing.start()
    removing.join(QUIET)
    with contextlib.suppress(ConnectionError):
        answer(io, r2t, bytes(length))
    target.must_answer_or_end(io, 6, bytes(length))
    removing.join(ENDS)
    if removing.is_alive() or problems:
        pytest.fail(f"the namespace was not removed: {problems or 'it takes too long'}", pytrace=False)
    changing.must_be_gone()


def _take_away(changing, problems):
    try:
        changing.take_away()
    except ChangeFailed as error:
        problems.append(str(error))


@pytest.mark.section(*LISTS)
def test_one_comes_and_goes_beside_load(target, changing):
    """Reads of another namespace never fail meanwhile."""
    io = target.queue()
    ended, problems = threading.Event(), []

    def load():
        while not ended.is_set() and not problems:
            try:
                outcome = io.execute(target.read(7, target.facts.block))
            except (OSError, wire.ProtocolError) as error:
                problems.append(str(error))
                return
            if outcome.status != "00/00":
                problems.append(f"status {outcome.status}")

    reader = threading.Thread(target=load)
    reader.start()
    try:
        for _ in range(5):
            changing.add()
            changing.remove()
    finally:
        ended.set()
        reader.join(2 * BOUND)
    if problems:
        target.fail(f"a read of namespace {target.facts.nsid} beside the changes: {problems[0]}")
