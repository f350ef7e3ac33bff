"""Hosts that end the association by H2CTermReq: the target closes the connection."""

import pytest

from nvme import wire

from .verdicts import BOUND

TERM = "Host to Controller Terminate Connection Request PDU (H2CTermReq)"
# Seconds the specification leaves the controller to close the connection.
GRACE = 30


def must_close(target, connection, within=GRACE, **fields):
    """After an H2CTermReq with some fields changed."""
    fes = fields.pop("fes", 1)
    frame = connection.frame(wire.Pdu.h2c_term_req(fes, 2, fields.pop("data", bytes(24))))
    for field, value in fields.items():
        setattr(frame, field, value)
    target.send(connection, frame)
    target.must_close(connection, within)


@pytest.mark.section(TERM)
@pytest.mark.parametrize("state", ["initialised", "admin", "io"])
def test_in_every_state(target, state):
    """Before Connect, and on both kinds of queues."""
    connection = {"initialised": target.initialised, "admin": target.admin, "io": target.io}[state]()
    must_close(target, connection)


@pytest.mark.section(TERM)
@pytest.mark.parametrize("fes", [2, 6, 0, 0x100], ids=["sequence", "parameter", "FES 0", "reserved FES"])
def test_every_reason(target, fes):
    """Whatever the host says is wrong, also what has no meaning."""
    must_close(target, target.admin(), fes=fes)


@pytest.mark.section(TERM)
def test_without_data(target):
    """The header of the PDU in error may be missing."""
    must_close(target, target.admin(), data=b"")


@pytest.mark.section(TERM)
@pytest.mark.parametrize(
    "fields",
    [{"hlen": 25}, {"plen": 23}, {"plen": 0}, {"plen": 153, "data": bytes(129)}],
    ids=["HLEN 25", "PLEN 0x17", "PLEN 0", "PLEN 0x99"],
)
def test_malformed(target, fields):
    """One that is malformed itself ends the connection as well; one with a wrong PLEN at once."""
    must_close(target, target.admin(), BOUND if "plen" in fields else GRACE, **fields)
