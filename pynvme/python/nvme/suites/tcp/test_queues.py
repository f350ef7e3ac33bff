"""I/O queues: how many, how deep, in which order, and what is done on them."""

import random

import pytest

from nvme import wire

from .device import CAP, with_dword
from .target import not_applicable

CONNECT = "Connect Command and Response"
FLOW = "Submission Queue Flow Control"
SET_FEATURES = 0x09
FLUSH, WRITE_ZEROES = 0x00, 0x08
# More connections than this prove no more.
MOST = 64


def granted(target, admin, wanted=MOST):
    """How many I/O queues the controller has."""
    sqe = with_dword(
        with_dword(wire.Command.of(SET_FEATURES, cid=1), 10, 7), 11, (wanted - 1) << 16 | (wanted - 1)
    )
    outcome = admin.execute(sqe)
    if outcome.status != "00/00":
        target.fail(f"Number of Queues: status {outcome.status}")
    return min((outcome.result & 0xFFFF) + 1, (outcome.result >> 16) + 1)


def connected(target, qid, entries=32):
    """An I/O queue of the controller, or what became of the attempt."""
    connection = target.initialised()
    connection.send(connection.connect_pdu(cid=2, qid=qid, entries=entries, cntlid=target.cntlid))
    return connection, target.must_answer_or_end(connection, 2)


@pytest.mark.section(CONNECT, "Number of Queues")
@pytest.mark.parametrize("order", ["ascending", "descending", "random"])
def test_all_queues(target, order):
    """Every queue that was granted can be connected, in any order, and works; one more cannot."""
    admin = target.admin()
    count = granted(target, admin)
    queues = list(range(1, count + 1))
    if order == "descending":
        queues.reverse()
    elif order == "random":
        random.Random(1).shuffle(queues)
    for qid in queues[:MOST]:
        connection, outcome = connected(target, qid)
        if outcome is None or outcome.status != "00/00":
            target.fail(f"queue {qid} of {count}: {outcome.status if outcome else 'the association ended'}")
        target.must_serve(connection, target.read(3, target.facts.block))
    _, outcome = connected(target, count + 1)
    if count < MOST and outcome is not None and outcome.status == "00/00":
        target.fail(f"{count} queues were granted, and queue {count + 1} was connected")
    target.must_serve(admin)


@pytest.mark.section(CONNECT)
def test_an_identifier_again(target):
    """A queue identifier is free again after its connection was closed."""
    target.admin()
    for _ in range(8):
        connection, outcome = connected(target, 1)
        # The target may learn of the end a little later.
        for _ in range(200):
            if outcome is not None and outcome.status == "00/00":
                break
            connection.close()
            connection, outcome = connected(target, 1)
        else:
            target.fail("queue 1 cannot be connected any more after it was closed")
        target.must_serve(connection, target.read(3, target.facts.block))
        connection.close()


@pytest.mark.section(CONNECT, FLOW)
@pytest.mark.parametrize("entries", [2, 3, 16, 128, "MQES"])
def test_depth(target, entries):
    """A queue takes one command less than it has entries, and answers all of them."""
    admin = target.admin()
    most = (admin.property_get(CAP, True) & 0xFFFF) + 1
    entries = most if entries == "MQES" else entries
    if entries > most:
        not_applicable(f"queues have up to {most} entries")
    connection, outcome = connected(target, 1, entries)
    if outcome is None or outcome.status != "00/00":
        target.fail(f"{entries} entries: {outcome.status if outcome else 'the association ended'}")
    length = target.facts.block
    count = min(entries - 1, 1023)
    connection.send(
        b"".join(
            bytes(connection.frame(wire.Pdu.capsule_cmd(target.read(cid, length)))) for cid in range(count)
        )
    )
    for cid in range(count):
        outcome = target.outcome(connection, cid)
        if outcome is None or outcome.status != "00/00":
            target.fail(f"command {cid} of {count}: {outcome.status if outcome else 'the association ended'}")


@pytest.mark.section(CONNECT)
@pytest.mark.parametrize("entries", [1, "MQES + 1", 0x10000])
def test_depth_that_is_none(target, entries):
    """Queues that are too small or too large are refused."""
    admin = target.admin()
    most = (admin.property_get(CAP, True) & 0xFFFF) + 1
    if entries == "MQES + 1":
        entries = most + 1
    # SQSIZE counts from 0.
    if entries > 0x10000 or (entries == 0x10000 and most == 0x10000):
        not_applicable("SQSIZE cannot say more than CAP.MQES allows")
    connection = target.initialised()
    frame = connection.frame(connection.connect_pdu(cid=2, qid=1, cntlid=target.cntlid))
    specific = bytearray(frame.specific)
    # Behind the common header comes the command, SQSIZE in its bytes 44 and 45.
    specific[44:46] = (entries - 1).to_bytes(2, "little")
    frame.specific = bytes(specific)
    connection.send(frame)
    target.must_fail_or_end(connection, 2)


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
    connection = target.io()
    block = target.facts.block
    sqe = wire.Command.read(7, nsid, 0, 1, block)
    connection.send(wire.Pdu.capsule_cmd(sqe))
    target.must_fail_or_end(connection, 7, statuses=("00/0b", "00/02"))
    target.must_serve(connection, target.read(8, block))


@pytest.mark.section("Flush command")
def test_flush(target):
    """It succeeds after writes."""
    connection = target.io()
    outcome = connection.execute(wire.Command.of(FLUSH, cid=9, nsid=target.facts.nsid))
    if outcome.status != "00/00":
        target.fail(f"status {outcome.status}")


@pytest.mark.section("Maximum Data Transfer Size (MDTS)")
def test_the_longest_transfer(target):
    """What MDTS allows is transferred, twice as much is refused."""
    connection = target.io()
    longest = target.facts.longest
    data = bytes(range(256)) * (longest // 256)
    outcome = connection.execute(target.write(1, longest), on_request=data)
    if outcome.status != "00/00":
        target.fail(f"a write of {longest} bytes: status {outcome.status}")
    outcome = connection.execute(target.read(2, longest))
    if outcome.status != "00/00" or outcome.data != data:
        target.fail(f"a read of {longest} bytes: status {outcome.status}, {len(outcome.data)} bytes")
    if longest >= 1 << 20:
        not_applicable("MDTS sets no limit that is tested here")
    connection.send(wire.Pdu.capsule_cmd(target.read(3, 2 * longest)))
    target.must_fail_or_end(connection, 3, bytes(2 * longest), statuses=("00/02",))
