"""I/O queues: how many, how deep, in which order, and how they end."""

import random
import time

import pytest

from nvme import wire

from .collect import Collector, all_succeed
from .verdicts import BOUND, not_applicable

CONNECT = "Connect Command and Response"
FLOW = "Submission Queue Flow Control"
DELETION = "Disconnect Command and Response", "Individual I/O Queue Deletion"
# More connections than this prove no more.
MOST = 64
FABRICS, DISCONNECT = 0x7F, 0x08
# Where CATTR is in `specific` of a Connect capsule, and its bit for the deletion of individual I/O queues.
CATTR, DELETES_QUEUES = 46, 1 << 3


def connected(target, qid, entries=None, cattr=0):
    """An I/O queue of the last controller, and what became of the attempt."""
    connection = target.initialised(brief=True)
    entries = entries or target.facts.entries
    frame = connection.frame(connection.connect_pdu(cid=2, qid=qid, entries=entries, cntlid=target.cntlid))
    frame.specific = frame.specific[:CATTR] + bytes([cattr]) + frame.specific[CATTR + 1 :]
    connection.send(frame)
    return connection, target.must_answer_or_end(connection, 2)


def is_served(connection):
    """Whether an admin queue still is."""
    try:
        return connection.execute(wire.Command.property_get(98, 0, True)).status == "00/00"
    except (OSError, wire.ProtocolError):
        return False


@pytest.mark.section(CONNECT, "Number of Queues")
@pytest.mark.parametrize("order", ["ascending", "descending", "random"])
def test_all_queues(target, order):
    """Every queue that was granted can be connected, in any order, and works; one more cannot."""
    admin = target.admin()
    count = target.ask(MOST)
    queues = list(range(1, count + 1))
    if order == "descending":
        queues.reverse()
    elif order == "random":
        random.Random(1).shuffle(queues)
    for qid in queues[:MOST]:
        connection, outcome = connected(target, qid)
        target.keep(connection)
        target.must_succeed(outcome, f"Connect of queue {qid} of {count}")
        target.must_serve(connection, target.read(3, target.facts.block))
    if count < MOST:
        _, outcome = connected(target, count + 1)
        if outcome is not None and outcome.status == "00/00":
            target.fail(f"{count} queues were granted, and queue {count + 1} was connected")
    target.must_serve(admin)


@pytest.mark.section(CONNECT, DELETION[1])
def test_an_identifier_again(target):
    """Queue 1 is free again in time after its connection was closed, which may have ended the whole association."""
    sqe = target.read(3, target.facts.block)
    for _ in range(4):
        admin = target.admin(brief=True)
        target.ask()
        for _ in range(4):
            end = time.monotonic() + BOUND
            connection, outcome = connected(target, 1)
            # The target may learn of the end a little later.
            while outcome is None or outcome.status != "00/00":
                if not is_served(admin):
                    break
                if time.monotonic() > end:
                    target.fail(
                        f"{BOUND} s after queue 1 was closed it cannot be connected, nor is the admin queue closed"
                    )
                connection.close()
                time.sleep(0.05)
                connection, outcome = connected(target, 1)
            else:
                target.must_serve(connection, sqe)
                connection.close()
                continue
            # Without individual deletion of I/O queues the association ends with one of them.
            break
        target.leave(connection)


@pytest.mark.section(*DELETION)
def test_disconnect(target):
    """Disconnect deletes an I/O queue, the association goes on, and the identifier is free again."""
    if not target.facts.disconnect:
        not_applicable("OFCS says that the Disconnect command is not supported")
    admin = target.admin()
    target.ask()
    for _ in range(4):
        connection, outcome = connected(target, 1, cattr=DELETES_QUEUES)
        target.must_succeed(outcome, "Connect of queue 1")
        target.must_serve(connection, target.read(3, target.facts.block))
        sqe = wire.Command.of(FABRICS, cid=4)
        sqe = sqe[:4] + bytes([DISCONNECT]) + sqe[5:]
        target.must_succeed(connection.execute(sqe), "Disconnect of queue 1")
        connection.close()
        target.must_serve(admin)


@pytest.mark.section(CONNECT, FLOW)
@pytest.mark.parametrize("entries", [2, 3, 16, 128, "MQES"])
def test_depth(target, entries):
    """A queue takes one command less than it has entries, and answers all of them, in any order."""
    entries = target.facts.deepest if entries == "MQES" else entries
    connection = target.io(entries=entries)
    length = target.facts.block
    cids = range(min(entries - 1, 1023))
    connection.send(
        b"".join(bytes(connection.frame(wire.Pdu.capsule_cmd(target.read(cid, length)))) for cid in cids)
    )
    for cid, data in all_succeed(target, connection, cids).items():
        if len(data) != length:
            target.fail(f"command {cid} read {len(data)} of {length} bytes")


@pytest.mark.section(CONNECT)
@pytest.mark.parametrize("entries", [1, "MQES + 1", 0x10000])
def test_depth_that_is_none(target, entries):
    """Queues that are too small or too large are refused."""
    deepest = target.facts.deepest
    entries = deepest + 1 if entries == "MQES + 1" else entries
    # SQSIZE counts from 0.
    if entries > 0x10000 or entries == deepest:
        not_applicable("SQSIZE cannot say more than CAP.MQES allows")
    target.admin()
    target.ask()
    _, outcome = connected(target, 1, entries)
    if outcome is not None and outcome.status == "00/00":
        target.fail(f"a queue of {entries} entries was connected, CAP.MQES allows 2 to {deepest}")
    if outcome is not None and outcome.status == "00/02":
        target.fail("Connect failed with status 00/02: its own status is 01/82, Connect Invalid Parameters")


@pytest.mark.section(FLOW, "Submission Queue Head Pointer")
@pytest.mark.parametrize("entries", [2, 3, 8])
def test_head_pointer(target, entries):
    """SQHD goes one on with every command, modulo the size of the queue."""
    connection = target.io(entries=entries)
    heads = []
    for cid in range(3 * entries):
        sqe = wire.Command.of(0, cid=cid, nsid=target.facts.nsid or 0xFFFFFFFF)
        heads.append(connection.execute(sqe).sqhd)
    for before, after in zip(heads, heads[1:]):
        if after != (before + 1) % entries:
            target.fail(f"in a queue of {entries} entries SQHD went {', '.join(map(str, heads))}")


@pytest.mark.section(FLOW, "Command Identifier")
@pytest.mark.parametrize("entries", [2, 8, 32])
def test_more_commands_than_entries(target, entries):
    """A host that overruns its queue is answered, each time, or the association ends."""
    length = target.on_request
    connection = target.io(entries=entries)
    cids = range(2 * entries)
    for cid in cids:
        target.send(connection, wire.Pdu.capsule_cmd(target.write(cid, length)))
    Collector(target, connection, cids, dict.fromkeys(cids, bytes(length))).until(len(cids))
