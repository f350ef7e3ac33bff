"""Making an association: ICReq and Connect, whole, in parts, too often and too slowly."""

import pytest

from nvme import wire

from .target import BOUND, HEADER_FIELD, PARAMETER, QUIET, SEQUENCE, not_applicable

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
        connection = target.device.open()
        connection.send(request[:length])
        end(connection, how)


@pytest.mark.section(CONNECT)
@pytest.mark.parametrize("how", ["close", "reset"])
def test_gone_during_connect(target, how):
    """The host disappears after each byte of its Connect capsule."""
    with target.device.open() as connection:
        capsule = bytes(connection.frame(connection.connect_pdu()))
    for length in range(len(capsule) + 1):
        connection = target.device.open()
        connection.initialise()
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
                connection.connect()
            if step == "enabling":
                connection.send(wire.Pdu.capsule_cmd(wire.Command.property_set(1, 0x14, 0x460001)))
        end(connection, how)


@pytest.mark.section(ICREQ, ICRESP)
@pytest.mark.parametrize("dgst", range(4))
def test_digests(target, dgst):
    """Digests as asked for, in both directions: ICResp may leave some out, but not add any."""
    connection = target.open(dgst=dgst)
    response = connection.initialise()
    if response["dgst"] & ~dgst:
        target.fail(f"asked for digests {dgst}, the target uses {response['dgst']}")
    connection.connect()
    connection.enable()
    target.must_serve(connection, wire.Command.identify(1, 1))


@pytest.mark.section(ICREQ, "Controller To Host Data Transfer PDU (C2HData)")
@pytest.mark.parametrize("hpda", range(32))
def test_alignment(target, hpda):
    """With every HPDA, data comes at multiples of it, and commands with data are understood."""
    connection = target.initialised(hpda=hpda)
    connection.connect()
    connection.enable()
    if len(connection.identify(1)) != 4096:
        target.fail("Identify did not return 4096 bytes")


@pytest.mark.section(ICREQ, "Host to Controller Command Data Buffer Transfers")
@pytest.mark.parametrize("maxr2t", [0, 1, 15, 0xFFFF, 0xFFFFFFFE, 0xFFFFFFFF])
def test_maxr2t(target, maxr2t):
    """Any number of outstanding R2Ts may be offered."""
    connection = target.io(maxr2t=maxr2t)
    length = target.on_request
    outcome = connection.execute(target.write(1, length), on_request=bytes(length))
    if outcome.status != "00/00":
        target.fail(f"a write failed with status {outcome.status}")


@pytest.mark.section(ICREQ)
@pytest.mark.parametrize("dgst", [0x04, 0x80, 0xFC])
def test_reserved_bits_of_digests(target, dgst):
    """Reserved bits are ignored or refused, and not agreed on."""
    connection = target.open()
    connection.send(wire.Pdu.icreq(dgst=dgst))
    arrived = connection.receive()
    if arrived is None:
        target.fail(f"no answer within {BOUND} s")
    if getattr(arrived, "name", "") == "ICResp" and arrived["dgst"] & 0xFC:
        target.fail(f"the target agrees to reserved bits: DGST {arrived['dgst']:#x}")


@pytest.mark.section(ICRESP)
def test_icresp(target):
    """Its fields keep to their limits, and are the same for every connection."""
    first, second = target.open().initialise(), target.open().initialise()
    if first["pfv"] != 0:
        target.fail(f"PFV is {first['pfv']}, asked for 0")
    if first != second:
        target.fail(f"the answers to the same ICReq differ: {first!r}, {second!r}")


@pytest.mark.section(SETUP)
def test_silent_connections(target):
    """Connections on which nothing ever comes keep nobody waiting."""
    for _ in range(32):
        target.open()
    target.must_serve(target.admin())


@pytest.mark.section(SETUP)
@pytest.mark.parametrize("sent", [0, 1, 127, 128])
def test_half_closed(target, sent):
    """A host that says nothing more is not kept: the target closes its side."""
    connection = target.open()
    connection.send(bytes(wire.Pdu.icreq().frame())[:sent])
    connection.finish()
    if not isinstance(connection.receive_until_closed(BOUND)[-1], wire.Closed):
        target.fail(f"{BOUND} s after the host half-closed the connection it is still open")


@pytest.mark.section("Error Handling Model")
def test_second_icreq(target):
    """Once per connection."""
    connection = target.initialised()
    connection.send(wire.Pdu.icreq())
    target.must_end(connection, (SEQUENCE,))


@pytest.mark.section("Error Handling Model")
def test_second_icreq_at_once(target):
    """Two in one segment."""
    connection = target.open()
    connection.send(bytes(wire.Pdu.icreq().frame()) * 2)
    arrived = connection.receive()
    if getattr(arrived, "name", "") == "ICResp":
        target.must_end(connection, (SEQUENCE,))
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
    outcome = target.outcome(connection, 3)
    if outcome is None:
        target.fail(f"a Connect in pieces of {piece} bytes ended the association")
    if outcome.status != "00/00":
        target.fail(f"Connect in pieces of {piece} bytes failed with status {outcome.status}")


@pytest.mark.section(CONNECT)
@pytest.mark.parametrize(
    "change, statuses",
    [
        (lambda d: d[:256] + b"nqn.2026-01.org.example:nobody".ljust(256, b"\0") + d[512:], ("01/82",)),
        (lambda d: d[:16] + b"\xfe\x7f" + d[18:], ("01/82",)),
        (lambda d: d[:256] + b"x" * 256 + d[512:], ("01/82", "01/84")),
        (lambda d: d[:512] + b"x" * 256 + d[768:], ("01/82", "01/84")),
        (lambda d: d[:256] + bytes(256) + d[512:], ("01/82",)),
        (lambda d: d[:512] + bytes(256) + d[768:], ("01/82", "01/84")),
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
    target.must_fail_or_end(connection, 4, statuses=statuses)


@pytest.mark.section(CONNECT)
@pytest.mark.parametrize(
    "offset, value",
    [(40, b"\x01\x00"), (40, b"\xff\xff"), (44, b"\x00\x00"), (44, b"\xff\xff"), (42, b"\x01\x00")],
    ids=["RECFMT 1", "RECFMT ffff", "SQSIZE 0", "SQSIZE ffff", "I/O queue first"],
)
def test_connect_command(target, offset, value):
    """A Connect command that asks for what there is not is refused."""
    connection = target.initialised()
    frame = connection.frame(connection.connect_pdu(cid=4))
    frame.specific = frame.specific[:offset] + value + frame.specific[offset + 2 :]
    connection.send(frame)
    target.must_fail_or_end(connection, 4)


@pytest.mark.section(CONNECT)
def test_connect_twice(target):
    """A queue is connected once."""
    connection = target.admin()
    connection.send(connection.connect_pdu(cid=5))
    target.must_fail_or_end(connection, 5)


@pytest.mark.section(CONNECT)
def test_io_queue_twice(target):
    """So is one of another connection."""
    target.io()
    connection = target.initialised()
    connection.send(connection.connect_pdu(cid=5, qid=1, cntlid=target.cntlid))
    target.must_fail_or_end(connection, 5)


@pytest.mark.section(CONNECT)
def test_io_queue_of_a_stranger(target):
    """The I/O queue of another host's controller is refused."""
    target.admin()
    connection = target.initialised(hostnqn="nqn.2026-01.org.example:stranger")
    connection.send(connection.connect_pdu(cid=5, qid=1, cntlid=target.cntlid))
    target.must_fail_or_end(connection, 5)


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
    connection.connect()
    connection.send(wire.Pdu.capsule_cmd(wire.Command.identify(6, 1)))
    target.must_fail_or_end(connection, 6)


@pytest.mark.section("Keep Alive")
def test_keep_alive_expires(target):
    """A host that falls silent loses its controller, and with it the connection."""
    if not target.facts.keep_alive:
        not_applicable("the controller has no Keep Alive (KAS is 0)")
    connection = target.initialised(kato=1000)
    connection.connect()
    connection.enable()
    # Granularity and grace of targets differ; a minute is beyond any.
    if not isinstance(connection.receive_until_closed(30)[-1], wire.Closed):
        target.fail(
            "30 s after the last command, with a Keep Alive Timeout of 1 s, the connection is still open"
        )


@pytest.mark.section(ICREQ)
@pytest.mark.parametrize("pfv", [1, 0x0100, 0xFFFF])
def test_format_versions(target, pfv):
    """Versions that are not defined are refused."""
    connection = target.open()
    connection.send(wire.Pdu.icreq(pfv=pfv))
    target.must_end(connection, (HEADER_FIELD, PARAMETER), 8)


@pytest.mark.section(SETUP)
def test_nothing_before_icreq(target):
    """A controller waits for the host to speak first."""
    arrived = target.open().receive(QUIET)
    if arrived is not None:
        target.fail(f"before any ICReq the target sent {arrived!r}")
