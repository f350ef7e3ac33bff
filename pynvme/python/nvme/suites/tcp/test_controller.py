"""Properties and admin commands of an I/O controller."""

import pytest

from nvme import wire

from .association import Refused, ask_for_queues
from .collect import arrivals
from .structures import (
    ABORT,
    ASYNCHRONOUS_EVENT_REQUEST,
    CAP,
    CSTS,
    NUMBER_OF_QUEUES,
    VS,
    active_namespaces,
    get_features,
    little,
    log_page,
    text,
    with_dword,
)
from .verdicts import not_applicable

PROPERTIES = "Property Get Command and Response", "Property Set Command and Response"
# Status, and whether the command was left alone, as an abort says it.
ABORTED, NOT_ABORTED = (0, 0), (0, 1)


@pytest.mark.section(*PROPERTIES)
def test_capabilities(target):
    """CAP, VS and CSTS: at least one queue of two entries, memory pages of 4 KiB, ready after it was enabled."""
    admin = target.admin()
    cap, version, status = (
        admin.property_get(offset, wide) for offset, wide in ((CAP, True), (VS, False), (CSTS, False))
    )
    if cap & 0xFFFF < 1:
        target.fail(f"CAP.MQES is {cap & 0xFFFF}")
    if cap >> 37 & 1 == 0:
        target.fail(f"CAP.CSS is {cap >> 37 & 0xFF:#x}: no NVM command set")
    if not cap >> 16 & 1:
        target.fail("CAP.CQR is 0: queues over fabrics are contiguous")
    if cap >> 48 & 0xF > cap >> 52 & 0xF:
        target.fail("CAP.MPSMIN is beyond CAP.MPSMAX")
    if not 0x10200 <= version < 0x30000:
        target.fail(f"VS is {version:#x}")
    if status & 3 != 1:
        target.fail(f"CSTS is {status:#x}: RDY should be set, CFS clear")


@pytest.mark.section(*PROPERTIES)
@pytest.mark.parametrize("offset", [CAP, VS, CSTS], ids=["CAP", "VS", "CSTS"])
def test_properties_to_read_only(target, offset):
    """Writing one changes nothing, whatever the status."""
    admin = target.admin()
    before = admin.property_get(offset, offset == CAP)
    admin.send(wire.Pdu.capsule_cmd(wire.Command.property_set(7, offset, 0xFFFFFFFF)))
    if target.must_answer_or_end(admin, 7) is None:
        return
    after = admin.property_get(offset, offset == CAP)
    if after != before:
        target.fail(f"it was {before:#x} and is {after:#x}")


@pytest.mark.section(*PROPERTIES)
@pytest.mark.parametrize("offset", [0x0C, 0x10, 0x24, 0x28, 0x30, 0x1000, 0xFFFFFFFC], ids=hex)
@pytest.mark.parametrize("eight_bytes", [False, True], ids=["4", "8"])
def test_properties_that_are_none(target, offset, eight_bytes):
    """They fail, or read as zero; the association goes on."""
    admin = target.admin()
    admin.send(wire.Pdu.capsule_cmd(wire.Command.property_get(8, offset, eight_bytes)))
    outcome = target.must_answer_or_end(admin, 8)
    if outcome is None:
        target.fail("the association ended")
    value = outcome.result & ((1 << 64) - 1 if eight_bytes else (1 << 32) - 1)
    if outcome.status == "00/00" and value:
        target.fail(f"the property at {offset:#x}, which is none, reads as {value:#x}")
    target.must_serve(admin)


@pytest.mark.section("Identify command")
def test_identify(target):
    """What Fabrics demand of Identify Controller, and that namespaces are listed in order."""
    admin = target.admin()
    data = admin.identify(1)
    if little(data, 78, 2) != target.cntlid:
        target.fail(f"CNTLID is {little(data, 78, 2):#x}, Connect said {target.cntlid:#x}")
    if text(data, 768, 256) != target.device.nqn:
        target.fail(f"SUBNQN is {data[768:1024]!r}")
    if little(data, 514, 2) < 1:
        target.fail("MAXCMD is 0: it is mandatory over fabrics")
    if little(data, 1792, 4) < 4 or little(data, 1796, 4) < 1:
        target.fail(f"IOCCSZ {little(data, 1792, 4)}, IORCSZ {little(data, 1796, 4)}, in units of 16 bytes")
    if little(data, 536, 4) & 3 == 0:
        target.fail("SGLS says that SGLs are not supported: over fabrics there is nothing else")
    listed = active_namespaces(admin)
    if listed != sorted(set(listed)):
        target.fail(f"the active namespaces are {listed}")
    for nsid in listed[:16]:
        if little(admin.identify(0, nsid), 0, 8) == 0:
            target.fail(f"namespace {nsid} is active and has no block")


@pytest.mark.section("Identify command")
@pytest.mark.parametrize("nsid", [0, 0xFFFFFFFE], ids=hex)
def test_identify_no_namespace(target, nsid):
    """A namespace that cannot be."""
    if target.facts.namespaces >= nsid > 0:
        not_applicable(f"NN is {target.facts.namespaces:#x}: that may be a namespace")
    admin = target.admin()
    sqe = wire.Command.identify(5, 0, nsid)
    admin.send(wire.Pdu.capsule_cmd(sqe))
    target.must_fail_or_end(admin, 5, statuses=("00/0b", "00/02"))
    target.must_serve(admin)


@pytest.mark.section("Asynchronous Event Request command")
def test_asynchronous_events(target):
    """As many are taken as AERL says, and the next fails at once."""
    limit = target.admin().identify(1)[259] + 1
    target.leave()
    # Room for all of them, and for a command beside them; one entry stays free.
    entries = max(32, limit + 3)
    try:
        admin = target.admin(entries=entries)
    except Refused:
        not_applicable(f"AERL allows {limit} requests, more than an admin queue takes")
    for cid in range(limit + 1):
        admin.send(wire.Pdu.capsule_cmd(wire.Command.of(ASYNCHRONOUS_EVENT_REQUEST, cid=100 + cid)))
    arrived = admin.receive()
    if getattr(arrived, "name", "") != "CapsuleResp":
        target.fail(f"{limit + 1} requests, one more than AERL allows, were answered by {arrived!r}")
    status = f"{arrived['sct']:02x}/{arrived['sc']:02x}"
    if status == "00/00":
        not_applicable("an event has happened meanwhile")
    if status != "01/05":
        target.fail(f"one request more than AERL allows has status {status}, expected 01/05")
    target.must_serve(admin)


@pytest.mark.section("Abort command", "Asynchronous Event Request command")
def test_abort(target):
    """An abort always completes; what it says of the command is true."""
    admin = target.admin()
    admin.send(wire.Pdu.capsule_cmd(wire.Command.of(ASYNCHRONOUS_EVENT_REQUEST, cid=50)))
    admin.send(wire.Pdu.capsule_cmd(with_dword(wire.Command.of(ABORT, cid=51), 10, 50 << 16)))
    # Their completions come in any order.
    seen, arriving = {}, arrivals(admin)
    while 51 not in seen or (seen[51] == ABORTED and 50 not in seen):
        arrived = next(arriving)
        if getattr(arrived, "name", "") != "CapsuleResp":
            target.fail(f"{arrived!r} came; completed are {seen}")
        cqe = arrived["cqe"]
        seen[arrived["cid"]] = (little(cqe, 14, 2) >> 1 & 0x7FF, cqe[0] & 1)
    if seen[51] not in (ABORTED, NOT_ABORTED):
        target.fail(f"the abort ended with status {seen[51][0]:#x}, dword 0 bit 0 {seen[51][1]}")
    if seen[51] == ABORTED and seen[50][0] != 0x07:
        target.fail(
            f"the aborted command ended with status {seen[50][0]:#x}, expected Command Abort Requested"
        )
    target.must_serve(admin)


@pytest.mark.section("Abort command")
@pytest.mark.parametrize("queue", [0, 1, 9, 0xFFFF])
def test_abort_of_nothing(target, queue):
    """Nothing is aborted, which is no error; a queue that is none may be one."""
    admin = target.admin()
    outcome = admin.execute(with_dword(wire.Command.of(ABORT, cid=52), 10, 0x1234 << 16 | queue))
    if outcome.status == "00/00" and not outcome.result & 1:
        target.fail("it says that a command was aborted that never was")
    target.must_serve(admin)


@pytest.mark.section("Identify command", "Status Code")
@pytest.mark.parametrize(
    "opcode", [0x00, 0x01, 0x04, 0x05], ids=["delete SQ", "create SQ", "delete CQ", "create CQ"]
)
def test_commands_of_pcie(target, opcode):
    """Queues are not made by commands here."""
    admin = target.admin()
    admin.send(wire.Pdu.capsule_cmd(wire.Command.of(opcode, cid=6)))
    target.must_fail_or_end(admin, 6)
    target.must_serve(admin)


@pytest.mark.section("Status Code")
@pytest.mark.parametrize("opcode", [0x3F, 0x7E], ids=hex)
def test_reserved_opcodes(target, opcode):
    """Invalid Command Opcode, and the association goes on."""
    admin = target.admin()
    admin.send(wire.Pdu.capsule_cmd(wire.Command.of(opcode, cid=6)))
    target.must_fail_or_end(admin, 6, statuses=("00/01",))
    target.must_serve(admin)


@pytest.mark.section("Get Log Page command")
@pytest.mark.parametrize("page, length", [(1, 64), (2, 512), (3, 512)], ids=["error", "SMART", "firmware"])
def test_log_pages(target, page, length):
    """The mandatory ones are there."""
    admin = target.admin()
    outcome = admin.execute(log_page(7, page, length, nsid=0xFFFFFFFF))
    target.must_succeed(outcome, "Get Log Page")
    if len(outcome.data) != length:
        target.fail(f"{len(outcome.data)} of {length} bytes came")


@pytest.mark.section("Number of Queues")
def test_number_of_queues(target):
    """What is granted is at least one of each kind, and asked for again it is the same."""
    admin = target.admin()
    granted = ask_for_queues(admin, 4)
    again = target.must_succeed(admin.execute(get_features(9, NUMBER_OF_QUEUES)), "Get Features")
    said = min(again.result & 0xFFFF, again.result >> 16 & 0xFFFF) + 1
    if said != granted:
        target.fail(f"Set Features granted {granted} queues, Get Features says {said}")
