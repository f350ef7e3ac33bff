"""I/O commands: what is not there, what is too long, and what has one identifier."""

import pytest

from nvme import wire

from .collect import Collector, asked
from .data import answer, pattern
from .structures import ABORT, with_dword
from .verdicts import QUIET, not_applicable

FLUSH = 0x00
INVALID_NAMESPACE = ("00/0b", "00/02")
ABORT_REQUESTED = "00/07"


@pytest.mark.section("Read command", "Write command", "LBA Out of Range")
@pytest.mark.parametrize("beyond", ["behind", "across", "the last 64 bits"])
def test_blocks_that_are_not_there(target, beyond):
    """LBA Out of Range, for reads and writes; the queue goes on."""
    connection = target.io()
    blocks, length = target.facts.blocks, target.on_request
    lba = {"behind": blocks, "across": blocks - 1, "the last 64 bits": (1 << 64) - 1}[beyond]
    for command in (target.read(5, length, lba), target.write(5, length, lba)):
        connection.send(wire.Pdu.capsule_cmd(command))
        target.must_fail_or_end(connection, 5, bytes(length), statuses=("00/80",))
    target.must_serve(connection, target.read(6, target.facts.block))


@pytest.mark.section("Namespace Identifier")
@pytest.mark.parametrize("nsid", [0, 0xFFFFFFFE, 0xFFFFFFFF], ids=hex)
def test_namespaces_that_are_not_there(target, nsid):
    """Invalid Namespace or Format; the queue goes on."""
    if target.facts.namespaces >= nsid > 0:
        not_applicable(f"NN is {target.facts.namespaces:#x}: that may be a namespace")
    connection = target.io()
    block = target.facts.block
    connection.send(wire.Pdu.capsule_cmd(wire.Command.read(7, nsid, 0, 1, block)))
    target.must_fail_or_end(connection, 7, statuses=INVALID_NAMESPACE)
    target.must_serve(connection, target.read(8, block))


@pytest.mark.section("Flush command")
def test_flush(target):
    """It succeeds after writes."""
    length = target.on_request
    connection = target.io()
    target.must_succeed(connection.execute(target.write(8, length), on_request=bytes(length)), "a write")
    target.must_succeed(connection.execute(wire.Command.of(FLUSH, cid=9, nsid=target.facts.nsid)), "Flush")


@pytest.mark.section("Maximum Data Transfer Size (MDTS)")
def test_the_longest_transfer(target):
    """What MDTS allows is transferred."""
    connection = target.io()
    longest = target.facts.longest
    data = pattern(longest, 3)
    outcome = connection.execute(target.write(1, longest), on_request=data)
    target.must_succeed(outcome, f"a write of {longest} bytes")
    outcome = target.must_succeed(connection.execute(target.read(2, longest)), f"a read of {longest} bytes")
    if outcome.data != data:
        target.fail(f"a read of {longest} bytes returned {len(outcome.data)}, which are not those written")


@pytest.mark.section("Maximum Data Transfer Size (MDTS)")
def test_a_longer_transfer(target):
    """Twice as much as MDTS allows is refused."""
    mdts, block = target.facts.mdts, target.facts.block
    length = 2 * mdts
    if not mdts or length // block > 0x10000 or length // block > target.facts.blocks:
        not_applicable("MDTS sets no limit below those of the command and of the namespace")
    connection = target.io()
    connection.send(wire.Pdu.capsule_cmd(target.read(3, length)))
    target.must_fail_or_end(connection, 3, statuses=("00/02",))


@pytest.mark.section("Command Identifier")
@pytest.mark.parametrize("first", ["write", "read"])
def test_the_same_command_identifier_twice(target, first):
    """Two commands with one identifier: each may be carried out or refused, but neither is forgotten."""
    length = target.on_request
    connection = target.io()
    sqe = target.write(17, length) if first == "write" else target.read(17, length)
    for command in (sqe, target.read(17, length)):
        target.send(connection, wire.Pdu.capsule_cmd(command))
    collector = Collector(target, connection, [17], {17: bytes(length)})
    collector.ordered = False
    collector.until(2)


@pytest.mark.section("Abort command", "Host to Controller Command Data Buffer Transfers")
def test_abort_of_a_write(target):
    """A write whose data is waited for is aborted, and completes as such; or it is not, and goes on."""
    length = target.on_request
    connection = target.io()
    admin = target.admin_queue
    r2t = asked(target, connection, 18, length)
    outcome = admin.execute(with_dword(wire.Command.of(ABORT, cid=51), 10, 18 << 16 | 1))
    target.must_succeed(outcome, "Abort")
    aborted = not outcome.result & 1
    arrived = connection.receive(QUIET) if aborted else None
    if arrived is None:
        # The target may still want what it asked for.
        answer(connection, r2t, bytes(length))
        outcome = target.outcome(connection, 18, bytes(length))
        if outcome is None:
            target.fail("the association ended")
        status = outcome.status
    elif getattr(arrived, "name", "") == "CapsuleResp" and arrived["cid"] == 18:
        status = f"{arrived['sct']:02x}/{arrived['sc']:02x}"
    else:
        target.fail(f"after its abort the write was answered by {arrived!r}")
    expected = ABORT_REQUESTED if aborted else "00/00"
    if status != expected:
        said = "was" if aborted else "was not"
        target.fail(
            f"Abort says that the write {said} aborted, and it completed with {status}, not {expected}"
        )
    target.must_serve(admin)
