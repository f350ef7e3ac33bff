"""Properties and admin commands of an I/O controller."""

import pytest

from nvme import wire

from .device import CAP, little, transport_sgl, with_dword
from .target import QUIET, not_applicable

VS, CC, CSTS = 0x08, 0x14, 0x1C
PROPERTIES = "Property Get Command and Response", "Property Set Command and Response"
SHUTDOWN = "Controller Shutdown", "Controller Configuration"
AER, ABORT, KEEP_ALIVE, GET_FEATURES, SET_FEATURES, LOG = 0x0C, 0x08, 0x18, 0x0A, 0x09, 0x02
ENABLED = 0x00460001
KEEP_ALIVE_INVALID = "00/1a"
# Status, and whether the command was left alone, as an abort says it.
ABORTED, NOT_ABORTED = (0, 0), (0, 1)


def must_be(target, outcome, *statuses):
    """One of these statuses, or it is a violation."""
    if outcome.status not in statuses:
        target.fail(f"status {outcome.status}, expected {' or '.join(statuses)}")


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
@pytest.mark.parametrize("offset", [0x04, 0x0C, 0x10, 0x24, 0x28, 0x30, 0x1000, 0xFFFFFFFC], ids=hex)
@pytest.mark.parametrize("eight_bytes", [False, True], ids=["4", "8"])
def test_properties_that_are_none(target, offset, eight_bytes):
    """They fail, or read as zero; the association goes on."""
    admin = target.admin()
    admin.send(wire.Pdu.capsule_cmd(wire.Command.property_get(8, offset, eight_bytes)))
    outcome = target.must_answer_or_end(admin, 8)
    if outcome is None:
        target.fail("the association ended")
    target.must_serve(admin)


@pytest.mark.section(*SHUTDOWN)
def test_disabled_and_enabled(target):
    """CSTS.RDY follows CC.EN."""
    admin = target.admin()
    admin.property_set(CC, ENABLED & ~1)
    for _ in range(50):
        if not admin.property_get(CSTS, False) & 1:
            break
    else:
        target.fail("CSTS.RDY stays 1 after CC.EN was cleared")


@pytest.mark.section(*SHUTDOWN)
@pytest.mark.parametrize("kind", [1, 2], ids=["normal", "abrupt"])
def test_shutdown(target, kind):
    """CSTS.SHST says that it is complete, or the association has ended."""
    admin = target.admin()
    admin.send(wire.Pdu.capsule_cmd(wire.Command.property_set(3, CC, ENABLED | kind << 14)))
    if target.must_answer_or_end(admin, 3) is None:
        return
    for _ in range(200):
        try:
            status = admin.property_get(CSTS, False)
        except (OSError, wire.ProtocolError):
            return
        if status >> 2 & 3 == 2:
            return
    target.fail(f"CSTS is {status:#x}: the shutdown does not end")


@pytest.mark.section("Keep Alive command")
@pytest.mark.parametrize("kato", [0, 30_000])
def test_keep_alive(target, kato):
    """It succeeds; without a timeout it may be refused with Keep Alive Timeout Invalid."""
    if kato and not target.facts.keep_alive:
        not_applicable("KAS is 0: no keep-alive")
    admin = target.admin(kato=kato)
    outcome = admin.execute(wire.Command.keep_alive(cid=4))
    must_be(target, outcome, "00/00", *(() if kato else (KEEP_ALIVE_INVALID,)))


@pytest.mark.section("Identify command")
def test_identify(target):
    """What Fabrics demand of Identify Controller, and that namespaces are listed in order."""
    admin = target.admin()
    data = admin.identify(1)
    if little(data, 78, 2) != target.cntlid:
        target.fail(f"CNTLID is {little(data, 78, 2):#x}, Connect said {target.cntlid:#x}")
    if data[768:1024].split(b"\0")[0].decode() != target.device.nqn:
        target.fail(f"SUBNQN is {data[768:1024]!r}")
    if little(data, 514, 2) < 1:
        target.fail("MAXCMD is 0: it is mandatory over fabrics")
    if little(data, 1792, 4) < 4 or little(data, 1796, 4) < 1:
        target.fail(f"IOCCSZ {little(data, 1792, 4)}, IORCSZ {little(data, 1796, 4)}, in units of 16 bytes")
    if little(data, 536, 4) & 3 == 0:
        target.fail("SGLS says that SGLs are not supported: over fabrics there is nothing else")
    active = admin.identify(2)
    listed = [little(active, 4 * number, 4) for number in range(1024)]
    listed = listed[: listed.index(0)] if 0 in listed else listed
    if listed != sorted(set(listed)):
        target.fail(f"the active namespaces are {listed}")
    for nsid in listed[:16]:
        if little(admin.identify(0, nsid), 0, 8) == 0:
            target.fail(f"namespace {nsid} is active and has no block")


@pytest.mark.section("Identify command")
@pytest.mark.parametrize("nsid", [0, 0xFFFFFFFE], ids=hex)
def test_identify_no_namespace(target, nsid):
    """A namespace that cannot be."""
    admin = target.admin()
    sqe = wire.Command.identify(5, 0, nsid)
    admin.send(wire.Pdu.capsule_cmd(sqe))
    target.must_fail_or_end(admin, 5, statuses=("00/0b", "00/02"))
    target.must_serve(admin)


@pytest.mark.section("Asynchronous Event Request command")
def test_asynchronous_events(target):
    """As many are taken as AERL says, the next fails at once, and none is answered without an event."""
    admin = target.admin()
    limit = admin.identify(1)[259] + 1
    for cid in range(limit + 1):
        admin.send(wire.Pdu.capsule_cmd(wire.Command.of(AER, cid=100 + cid)))
    outcome = target.outcome(admin, 100 + limit)
    if outcome is None:
        target.fail("the association ended")
    must_be(target, outcome, "01/05")
    if admin.receive(QUIET) is not None:
        target.fail("one was answered although nothing has happened")
    target.must_serve(admin)


@pytest.mark.section("Abort command", "Asynchronous Event Request command")
def test_abort(target):
    """An abort always completes; what it says of the command is true."""
    admin = target.admin()
    admin.send(wire.Pdu.capsule_cmd(wire.Command.of(AER, cid=50)))
    admin.send(wire.Pdu.capsule_cmd(with_dword(wire.Command.of(ABORT, cid=51), 10, 50 << 16)))
    # Their completions come in any order.
    seen = {}
    while 51 not in seen or (seen[51] == ABORTED and 50 not in seen):
        arrived = admin.receive()
        if getattr(arrived, "name", "") != "CapsuleResp":
            target.fail(f"{arrived!r} came; completed are {seen}")
        cqe = arrived["cqe"]
        seen[little(cqe, 12, 2)] = (little(cqe, 14, 2) >> 1 & 0x7FF, cqe[0] & 1)
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
    sqe = with_dword(
        transport_sgl(wire.Command.of(LOG, cid=7, nsid=0xFFFFFFFF), length),
        10,
        page | (length // 4 - 1) << 16,
    )
    outcome = admin.execute(sqe)
    must_be(target, outcome, "00/00")
    if len(outcome.data) != length:
        target.fail(f"{len(outcome.data)} of {length} bytes came")


@pytest.mark.section("Number of Queues")
def test_number_of_queues(target):
    """What is granted is at least one of each kind, and asked for again it is the same."""
    admin = target.admin()
    sqe = with_dword(with_dword(wire.Command.of(SET_FEATURES, cid=8), 10, 7), 11, 3 << 16 | 3)
    outcome = admin.execute(sqe)
    must_be(target, outcome, "00/00")
    again = admin.execute(with_dword(wire.Command.of(GET_FEATURES, cid=9), 10, 7))
    must_be(target, again, "00/00")
    if again.result != outcome.result:
        target.fail(f"Set Features granted {outcome.result:#x}, Get Features says {again.result:#x}")


@pytest.mark.section("Keep Alive Timer")
def test_keep_alive_timer(target):
    """Get Features tells the timeout that Connect has set, as the controller has rounded it."""
    if not target.facts.keep_alive:
        not_applicable("KAS is 0: no keep-alive")
    admin = target.admin(kato=30_000)
    outcome = admin.execute(with_dword(wire.Command.of(GET_FEATURES, cid=9), 10, 0x0F))
    must_be(target, outcome, "00/00")
    if outcome.result < 30_000:
        target.fail(f"KATO is {outcome.result} ms after a Connect with 30000 ms")
