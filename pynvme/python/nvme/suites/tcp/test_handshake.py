"""ICReq and ICResp: whole, in parts, too often and too slowly."""

import pytest

from nvme import wire

from .association import connect
from .structures import CC, ENABLED
from .verdicts import BOUND, QUIET, SEQUENCE

SETUP = "Transport Specific Initialization"
ICREQ = "Initialize Connection Request PDU (ICReq)"
ICRESP = "Initialize Connection Response PDU (ICResp)"
CONNECT = "Connect Command and Response"


def end(connection, how):
    """Closes or resets."""
    connection.reset() if how == "reset" else connection.close()


@pytest.mark.section(SETUP)
@pytest.mark.parametrize("how", ["close", "reset"])
def test_gone_during_icreq(target, how):
    """The host disappears after each byte of its ICReq."""
    request = bytes(wire.Pdu.icreq().frame())
    for length in range(len(request) + 1):
        connection = target.open(brief=True)
        connection.send(request[:length])
        end(connection, how)


@pytest.mark.section(CONNECT)
@pytest.mark.parametrize("how", ["close", "reset"])
def test_gone_during_connect(target, how):
    """The host disappears after each byte of its Connect capsule."""
    connection = target.initialised()
    capsule = bytes(connection.frame(connection.connect_pdu()))
    for length in range(len(capsule) + 1):
        connection = target.initialised(brief=True)
        connection.send(capsule[:length])
        end(connection, how)


@pytest.mark.section(CONNECT)
@pytest.mark.parametrize("how", ["close", "reset"])
def test_gone_after_each_step(target, how):
    """The host disappears after each step on the way to a controller that reads."""
    steps = ("open", "initialised", "connected", "enabling", "admin", "io")
    for step in steps:
        if step == "open":
            connection = target.open()
        elif step == "admin":
            connection = target.admin()
        elif step == "io":
            connection = target.io()
        else:
            connection = target.initialised()
            if step != "initialised":
                connect(connection)
            if step == "enabling":
                connection.send(wire.Pdu.capsule_cmd(wire.Command.property_set(1, CC, ENABLED)))
        end(connection, how)


@pytest.mark.section(ICREQ, ICRESP)
@pytest.mark.parametrize("dgst", range(4))
def test_digests(target, dgst):
    """Digests as asked for, in both directions: ICResp may leave some out, but not add any."""
    connection = target.open(dgst=dgst)
    response = connection.initialise()
    if response["dgst"] & ~dgst:
        target.fail(f"asked for digests {dgst}, the target uses {response['dgst']}")
    connect(connection)
    connection.enable()
    target.must_serve(connection, wire.Command.identify(1, 1))


@pytest.mark.section(ICREQ, "Host to Controller Command Data Buffer Transfers")
@pytest.mark.parametrize("maxr2t", [0, 1, 15, 0xFFFF, 0xFFFFFFFE, 0xFFFFFFFF])
def test_maxr2t(target, maxr2t):
    """Any number of outstanding R2Ts may be offered."""
    length = target.on_request
    connection = target.io(maxr2t=maxr2t)
    target.must_succeed(connection.execute(target.write(1, length), on_request=bytes(length)), "a write")


@pytest.mark.section(ICREQ)
@pytest.mark.parametrize("dgst", [0x04, 0x80, 0xFC])
def test_reserved_bits_of_digests(target, dgst):
    """Reserved bits are ignored or refused, and not agreed on."""
    connection = target.open()
    connection.send(wire.Pdu.icreq(dgst=dgst))
    arrived = connection.receive()
    if arrived is None:
        target.fail(f"no answer within {BOUND} s")
    name = getattr(arrived, "name", "")
    if name == "ICResp" and arrived["dgst"] & 0xFC:
        target.fail(f"the target agrees to reserved bits: DGST {arrived['dgst']:#x}")
    if name not in ("ICResp", "C2HTermReq") and not isinstance(arrived, wire.Closed):
        target.fail(f"the target answered {arrived!r}")


@pytest.mark.section(ICRESP)
def test_icresp(target):
    """Its fields keep to their limits, CPDA and MAXH2CDATA as well, and agree to what was asked for."""
    response = target.open().initialise()
    if response["pfv"] != 0:
        target.fail(f"PFV is {response['pfv']}, asked for 0")
    if response["dgst"] != 0:
        target.fail(f"DGST is {response['dgst']}, asked for 0")


@pytest.mark.section(SETUP)
def test_silent_connections(target):
    """Connections on which nothing ever comes keep nobody waiting."""
    for _ in range(32):
        target.open()
    target.must_serve(target.admin())


@pytest.mark.section("Error Handling Model")
def test_second_icreq(target, judged):
    """Once per connection."""
    connection = target.initialised()
    connection.send(wire.Pdu.icreq())
    target.must_end(connection, {SEQUENCE: None}, judged, bytes(wire.Pdu.icreq().frame()))


@pytest.mark.section("Error Handling Model")
def test_second_icreq_at_once(target):
    """Two in one segment."""
    connection = target.open()
    connection.send(bytes(wire.Pdu.icreq().frame()) * 2)
    arrived = connection.receive()
    if getattr(arrived, "name", "") == "ICResp":
        target.must_end(connection, {SEQUENCE: None})
    elif not isinstance(arrived, wire.Closed) and getattr(arrived, "name", "") != "C2HTermReq":
        target.fail(f"the target answered {arrived!r}")


@pytest.mark.section(SETUP, "TCP is a stream of bytes")
@pytest.mark.parametrize("piece", [1, 7, 64])
def test_slow_bytes(target, piece):
    """A handshake that drips in is a handshake."""
    connection = target.open()
    request = wire.Pdu.icreq()
    connection.send_in_pieces(bytes(request.frame()), piece, 0.002)
    response = connection.receive()
    if getattr(response, "name", "") != "ICResp":
        target.fail(f"an ICReq in pieces of {piece} bytes was answered by {response}")
    connection.agree(request, response)
    capsule = bytes(connection.frame(connection.connect_pdu(cid=3)))
    connection.send_in_pieces(capsule, piece, 0.001)
    target.must_succeed(target.outcome(connection, 3), f"Connect in pieces of {piece} bytes")


@pytest.mark.section(SETUP)
def test_nothing_before_icreq(target):
    """A controller waits for the host to speak first."""
    arrived = target.open().receive(QUIET)
    if arrived is not None:
        target.fail(f"before any ICReq the target sent {arrived!r}")
