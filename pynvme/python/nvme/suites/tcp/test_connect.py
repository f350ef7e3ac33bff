"""The Connect command: what it refuses, and what comes before it or instead of it."""

import pytest

from nvme import wire

from .association import INVALID_HOST, INVALID_PARAMETERS, connect
from .verdicts import not_applicable

CONNECT = "Connect Command and Response"
INCOMPATIBLE_FORMAT = "01/80"
# Where a capsule has SQE bytes: behind the common header, which is no part of `specific`.
RECFMT, QID, SQSIZE = 40, 42, 44
# Where Connect has its data.
HOSTID, CNTLID, SUBNQN, HOSTNQN, NAME = 0, 16, 256, 512, 256


def put(begin, new):
    """Changes the data of a Connect."""
    return lambda data: data[:begin] + new + data[begin + len(new) :]


@pytest.mark.section(CONNECT)
@pytest.mark.parametrize(
    "change, statuses",
    [
        (put(SUBNQN, b"nqn.2026-01.org.example:nobody".ljust(NAME, b"\0")), (INVALID_PARAMETERS,)),
        (put(CNTLID, b"\xfe\x7f"), (INVALID_PARAMETERS,)),
        (put(SUBNQN, b"x" * NAME), (INVALID_PARAMETERS, INVALID_HOST)),
        (put(HOSTNQN, b"x" * NAME), (INVALID_PARAMETERS, INVALID_HOST)),
        (put(SUBNQN, bytes(NAME)), (INVALID_PARAMETERS,)),
        (put(HOSTNQN, bytes(NAME)), (INVALID_PARAMETERS, INVALID_HOST)),
    ],
    ids=[
        "unknown subsystem",
        "CNTLID of a static controller",
        "SUBNQN without end",
        "HOSTNQN without end",
        "no SUBNQN",
        "no HOSTNQN",
    ],
)
def test_connect_data(target, change, statuses):
    """Data of Connect that means nobody is refused with Connect Invalid Parameters, or Invalid Host."""
    connection = target.initialised()
    frame = connection.frame(connection.connect_pdu(cid=4))
    frame.data = change(frame.data)
    connection.send(frame)
    target.must_refuse(connection, 4, statuses)


@pytest.mark.section(CONNECT)
@pytest.mark.parametrize(
    "offset, value, statuses",
    [
        (RECFMT, 1, (INCOMPATIBLE_FORMAT,)),
        (RECFMT, 0xFFFF, (INCOMPATIBLE_FORMAT,)),
        (SQSIZE, 0, (INVALID_PARAMETERS,)),
        (SQSIZE, 0xFFFF, (INVALID_PARAMETERS,)),
        (QID, 1, ()),
    ],
    ids=["RECFMT 1", "RECFMT ffff", "SQSIZE 0", "SQSIZE ffff", "I/O queue first"],
)
def test_connect_command(target, offset, value, statuses):
    """A Connect command that asks for what there is not is refused."""
    if (offset, value) == (SQSIZE, 0xFFFF) and target.facts.deepest == 0x10000:
        not_applicable("queues may have 65536 entries")
    connection = target.initialised()
    frame = connection.frame(connection.connect_pdu(cid=4))
    frame.specific = frame.specific[:offset] + value.to_bytes(2, "little") + frame.specific[offset + 2 :]
    connection.send(frame)
    target.must_refuse(connection, 4, statuses)


@pytest.mark.section(CONNECT)
def test_connect_twice(target):
    """A queue is connected once."""
    connection = target.admin()
    connection.send(connection.connect_pdu(cid=5))
    target.must_refuse(connection, 5)


@pytest.mark.section(CONNECT)
def test_io_queue_twice(target):
    """So is one of another connection."""
    target.io()
    connection = target.initialised()
    connection.send(connection.connect_pdu(cid=5, qid=1, entries=target.facts.entries, cntlid=target.cntlid))
    target.must_refuse(connection, 5)


@pytest.mark.section(CONNECT)
@pytest.mark.parametrize(
    "change",
    [
        put(HOSTID, bytes(range(16))),
        put(HOSTNQN, b"nqn.2026-01.org.example:stranger".ljust(NAME, b"\0")),
        put(SUBNQN, b"nqn.2026-01.org.example:nobody".ljust(NAME, b"\0")),
        put(CNTLID, b"\xef\xff"),
    ],
    ids=["HOSTID", "HOSTNQN", "SUBNQN", "CNTLID"],
)
def test_io_queue_of_a_stranger(target, change):
    """Who does not give the names that the controller's admin queue was connected with gets no I/O queue."""
    target.admin()
    target.ask()
    connection = target.initialised()
    frame = connection.frame(
        connection.connect_pdu(cid=5, qid=1, entries=target.facts.entries, cntlid=target.cntlid)
    )
    frame.data = change(frame.data)
    connection.send(frame)
    target.must_refuse(connection, 5)


@pytest.mark.section("Controller Initialization and Queue Processing")
def test_command_before_connect(target):
    """Commands before Connect are refused with Command Sequence Error, or end the association."""
    connection = target.initialised()
    connection.send(wire.Pdu.capsule_cmd(wire.Command.identify(6, 1)))
    target.must_fail_or_end(connection, 6)


@pytest.mark.section("Controller Initialization and Queue Processing")
def test_command_before_enable(target):
    """Before the controller is enabled only fabrics commands are taken."""
    connection = target.initialised()
    connect(connection)
    connection.send(wire.Pdu.capsule_cmd(wire.Command.identify(6, 1)))
    target.must_fail_or_end(connection, 6)
