"""Hosts that end the association by H2CTermReq: the target closes the connection."""

import time

import pytest

from nvme import wire

from .verdicts import BOUND

TERM = "Host to Controller Terminate Connection Request PDU (H2CTermReq)"
# Seconds the specification leaves the controller to close the connection.
GRACE = 30


def terminate(target, connection, fes=1, data=bytes(24), **fields):
    """Sends an H2CTermReq with some fields changed."""
    frame = connection.frame(wire.Pdu.h2c_term_req(fes, 2, data))
    for field, value in fields.items():
        setattr(frame, field, value)
    target.send(connection, frame)


def must_close(target, connections):
    """All of them, by what they are, in the time that the specification leaves for it."""
    end = time.monotonic() + GRACE
    for what, connection in connections.items():
        left = max(0.1, end - time.monotonic())
        if not isinstance(connection.receive_until_closed(left)[-1], wire.Closed):
            target.fail(f"{GRACE} s after H2CTermReq {what} the connection is still open")


@pytest.mark.section(TERM)
def test_in_every_state(target):
    """Before Connect, and on both kinds of queues."""
    io = target.io()
    connections = {
        "before Connect": target.initialised(),
        "on the I/O queue": io,
        "on the admin queue": target.admin_queue,
    }
    for connection in connections.values():
        terminate(target, connection)
    must_close(target, connections)


@pytest.mark.section(TERM)
def test_every_reason(target):
    """Whatever the host says is wrong, also what has no meaning; and without the header of the PDU in error."""
    connections = {}
    for fes in (1, 2, 6, 0, 0x100):
        connections[f"with FES {fes:#x}"] = target.admin()
        terminate(target, target.admin_queue, fes)
    connections["without data"] = target.admin()
    terminate(target, target.admin_queue, data=b"")
    must_close(target, connections)


@pytest.mark.section(TERM)
def test_header_length(target):
    """One with a wrong HLEN ends the connection as well."""
    connection = target.admin()
    terminate(target, connection, hlen=25)
    must_close(target, {"with HLEN 25": connection})


@pytest.mark.section(TERM)
@pytest.mark.parametrize(
    "fields", [{"plen": 0}, {"plen": 23}, {"plen": 153, "data": bytes(129)}], ids=["0", "0x17", "0x99"]
)
def test_length(target, fields):
    """One with a PLEN that it cannot have ends the connection at once."""
    connection = target.admin()
    terminate(target, connection, **fields)
    target.must_close(connection, BOUND)
