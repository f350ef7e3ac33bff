"""The discovery service: what it lists, and what it refuses."""

import itertools

import pytest

from nvme import wire

from .association import connect
from .device import DISCOVERY, DISCOVERY_LOG, ENTRY, MOST, NVM_SUBSYSTEM, TCP
from .structures import little, log_page, text
from .verdicts import not_applicable

LOG = "Discovery Log Page"
CONTROLLER = "Discovery Controller"
# Entries of which every field is looked at.
SOME = 64


def connection_to(target):
    """A connection for a discovery controller at the target's address, after ICReq and ICResp."""
    connection = wire.Connection(target.device.address, DISCOVERY, target.device.hostnqn)
    target.keep(connection)
    connection.initialise()
    return connection


@pytest.fixture
def service(target):
    """The admin queue of a discovery controller at the target's address."""
    connection = connection_to(target)
    try:
        connect(connection)
    except wire.ProtocolError as error:
        not_applicable(f"no discovery service at this address ({error})")
    connection.enable()
    return connection


def read(target, service, offset, length):
    """A part of the log page."""
    outcome = service.execute(log_page(1, DISCOVERY_LOG, length, offset))
    if outcome.status != "00/00":
        target.fail(f"{length} bytes from {offset} of the log page: status {outcome.status}")
    if len(outcome.data) != length:
        target.fail(f"{length} bytes from {offset} of the log page were asked for, {len(outcome.data)} came")
    return outcome.data


def count(target, service):
    """How many entries the log page has."""
    return little(read(target, service, 0, 16), 8, 8)


def entries(target, service):
    """The log page, entry by entry."""
    for number in range(1, min(count(target, service), MOST) + 1):
        yield read(target, service, ENTRY * number, ENTRY)


@pytest.mark.section(LOG)
def test_header(target, service):
    """Generation counter and number of records stay while nothing changes, and the record format is 0."""
    first, second = (read(target, service, 0, ENTRY) for _ in range(2))
    if first != second:
        target.fail("two reads of the header differ")
    if little(first, 16, 2) != 0:
        target.fail(f"RECFMT is {little(first, 16, 2)}")


@pytest.mark.section(LOG)
def test_entries(target, service):
    """Each entry says where to connect to, and to what."""
    found = list(itertools.islice(entries(target, service), SOME))
    if not found:
        not_applicable("the service lists nothing to this host")
    for number, entry in enumerate(found):
        transport, family, kind = entry[:3]
        if transport not in (1, 2, 3, 254) or kind not in (1, 2, 3):
            target.fail(f"entry {number} has TRTYPE {transport}, SUBTYPE {kind}")
        nqn, address = text(entry, 256, 256), text(entry, 512, 256)
        if not nqn.startswith("nqn.") or len(nqn) > 223:
            target.fail(f"entry {number} has SUBNQN {nqn!r}")
        if transport == TCP and family not in (1, 2):
            target.fail(f"entry {number} over TCP has ADRFAM {family}")
        if transport == TCP and (not address or not text(entry, 32, 32).isdigit()):
            target.fail(f"entry {number} has TRADDR {address!r}, TRSVCID {text(entry, 32, 32)!r}")
        if little(entry, 8, 2) and not 32 <= little(entry, 8, 2) <= 4096:
            target.fail(f"entry {number} has ASQSZ {little(entry, 8, 2)}: at least 32 are required")


@pytest.mark.section(LOG)
@pytest.mark.parametrize("piece", [4, 512, 1020, 2048])
def test_in_pieces(target, service, piece):
    """The page can be read from every offset that is a multiple of four."""
    length = ENTRY * (1 + min(count(target, service), 1))
    whole = read(target, service, 0, length)
    for offset in range(0, length, max(piece, 64)):
        part = read(target, service, offset, min(piece, length - offset))
        if part != whole[offset : offset + len(part)]:
            target.fail(f"{len(part)} bytes from {offset} are not what they are in the whole page")


@pytest.mark.section(LOG)
def test_the_subsystem_under_test_is_listed(target, service):
    """Who can connect here finds it here."""
    names = {text(entry, 256, 256) for entry in entries(target, service) if entry[2] == NVM_SUBSYSTEM}
    if target.device.nqn not in names:
        target.fail(f"{target.device.nqn} is not among {sorted(names)[:SOME]}")


@pytest.mark.section(CONTROLLER)
def test_no_io_queues(target, service):
    """A discovery controller has no I/O queues."""
    cntlid = little(service.identify(1), 78, 2)
    connection = connection_to(target)
    connection.send(connection.connect_pdu(cid=3, qid=1, cntlid=cntlid))
    target.must_fail_or_end(connection, 3)


@pytest.mark.section(CONTROLLER, "Identify command")
def test_identify(target, service):
    """Its name is the well-known one or one of its own, and it takes log pages by offset (LPA bit 2)."""
    data = service.identify(1)
    nqn = text(data, 768, 256)
    if not nqn.startswith("nqn.") or len(nqn) > 223:
        target.fail(f"SUBNQN is {nqn!r}")
    if not data[261] & 4:
        target.fail(f"LPA is {data[261]:#x}: extended data for Get Log Page is required")


@pytest.mark.section(CONTROLLER)
@pytest.mark.parametrize("opcode", [0x00, 0x01, 0x05, 0x80, 0x84, 0x0D], ids=hex)
def test_commands_it_does_not_have(target, service, opcode):
    """What is not for discovery controllers fails, and the association goes on."""
    service.send(wire.Pdu.capsule_cmd(wire.Command.of(opcode, cid=9)))
    target.must_fail_or_end(service, 9)


@pytest.mark.section("Get Log Page command")
def test_log_pages_it_does_not_have(target, service):
    """Of log pages that are none there is an error, not data."""
    service.send(wire.Pdu.capsule_cmd(log_page(5, 0xBF, 512)))
    target.must_fail_or_end(service, 5)
    target.must_serve(service)
