"""Data in capsules, on request and to the host: every size that is allowed, and what is not."""

import pytest

from nvme import wire

from .target import HEADER_FIELD, LIMIT, OUT_OF_RANGE, PARAMETER, QUIET, SEQUENCE, not_applicable

TO_CONTROLLER = "Host to Controller Command Data Buffer Transfers"
TO_HOST = "Controller to Host Command Data Buffer Transfers"
IN_CAPSULE = "Command Capsules"
H2C_DATA = "Host To Controller Data Transfer PDU (H2CData)"
R2T = "Ready to Transfer PDU (R2T)"
CIDS = "Command Identifier"


def pattern(length, seed=0):
    """Bytes that tell where they belong."""
    return b"".join(
        (seed * 0x9E3779B1 + word & 0xFFFFFFFF).to_bytes(4, "little") for word in range(length // 4)
    )


def lengths(block, most):
    """One block, two, three, and around every power of two up to `most`."""
    found, count = {block, 3 * block, most // block * block}, 2
    while count * block <= most:
        found |= {(count - 1) * block, count * block, (count + 1) * block}
        count *= 2
    return sorted(length for length in found if block <= length <= most)


def read_back(target, connection, data, lba=0):
    """What was written is read."""
    outcome = connection.execute(target.read(90, len(data), lba))
    if outcome.status != "00/00":
        target.fail(f"a read of {len(data)} bytes failed with status {outcome.status}")
    if outcome.data != data:
        at = next((i for i, (a, b) in enumerate(zip(data, outcome.data)) if a != b), len(outcome.data))
        target.fail(
            f"of {len(data)} bytes written, {len(outcome.data)} were read; they differ from byte {at} on"
        )


def must_succeed(target, outcome, what):
    """Or it is a violation."""
    if outcome.status != "00/00":
        target.fail(f"{what} failed with status {outcome.status}")


@pytest.mark.section(IN_CAPSULE)
@pytest.mark.parametrize("dgst", range(4))
def test_in_capsule(target, dgst):
    """Writes of every size that a capsule takes (IOCCSZ)."""
    facts = target.facts
    if facts.in_capsule < facts.block:
        not_applicable(f"capsules take {facts.in_capsule} bytes, less than a block")
    connection = target.io(dgst=dgst)
    for length in lengths(facts.block, min(facts.in_capsule, facts.longest)):
        data = pattern(length, length)
        must_succeed(target, connection.execute(target.write(1, length), in_capsule=data), f"{length} bytes")
        read_back(target, connection, data)


@pytest.mark.section(TO_CONTROLLER, R2T)
@pytest.mark.parametrize("dgst", range(4))
def test_on_request(target, dgst):
    """Writes of every size that a capsule does not take, with R2Ts."""
    write_on_request(target, dgst, lambda length: length > target.facts.in_capsule)


@pytest.mark.section(TO_CONTROLLER, R2T)
@pytest.mark.parametrize("dgst", range(4))
def test_on_request_though_a_capsule_would_do(target, dgst):
    """A host need not use the capsule: whether it has the data is what the SGL says."""
    write_on_request(target, dgst, lambda length: length <= target.facts.in_capsule)


def write_on_request(target, dgst, chosen):
    """Writes, for which no R2T asks for more than there is, or twice for the same."""
    connection = target.io(dgst=dgst)
    for length in filter(chosen, lengths(target.facts.block, target.facts.longest)):
        data = pattern(length, length)
        outcome = connection.execute(target.write(2, length), on_request=data)
        must_succeed(target, outcome, f"{length} bytes")
        end = 0
        for r2t in sorted(outcome.r2ts, key=lambda r2t: r2t["r2to"]):
            if r2t["r2to"] != end:
                target.fail(f"R2Ts of a write of {length} bytes leave a gap or overlap at byte {end}")
            end += r2t["r2tl"]
        if end != length:
            target.fail(f"R2Ts asked for {end} of {length} bytes, and the command succeeded")
        read_back(target, connection, data)


@pytest.mark.section(TO_HOST)
@pytest.mark.parametrize("dgst", range(4))
def test_reads(target, dgst):
    """Reads of every size: in order, whole, with digests and LAST_PDU as they should be."""
    connection = target.io(dgst=dgst)
    for length in lengths(target.facts.block, target.facts.longest):
        connection.send(wire.Pdu.capsule_cmd(target.read(3, length)))
        got, last = 0, False
        while got < length:
            arrived = connection.receive()
            if getattr(arrived, "name", "") != "C2HData":
                target.fail(
                    f"after {got} of {length} bytes came {getattr(arrived, 'message', repr(arrived))}"
                )
            if last:
                target.fail(f"data follows the PDU with LAST_PDU, after {got} of {length} bytes")
            if arrived["datao"] != got or arrived["cccid"] != 3:
                target.fail(f"{arrived!r} came where byte {got} of command 3 was due")
            got, last = got + len(arrived.data), arrived["last"]
        if not last:
            target.fail(f"the last data PDU of {length} bytes has no LAST_PDU")
        if not arrived["success"]:
            must_succeed(target, connection.wait(3), f"a read of {length} bytes")


@pytest.mark.section(IN_CAPSULE)
@pytest.mark.parametrize("beyond", [1, 2, 64])
def test_more_than_a_capsule_takes(target, beyond):
    """In-capsule data beyond IOCCSZ is not written."""
    facts = target.facts
    length = (facts.in_capsule // facts.block + beyond) * facts.block
    connection = target.io()
    capsule = wire.Pdu.capsule_cmd(target.write(4, length, in_capsule=True), bytes(length))
    target.send(connection, capsule)
    target.must_fail_or_end(connection, 4)


@pytest.mark.section(IN_CAPSULE)
@pytest.mark.parametrize("there", [0, 4, 508])
def test_less_than_the_sgl_says(target, there):
    """A command whose SGL covers more than its capsule has is not carried out."""
    block = target.facts.block
    if target.facts.in_capsule < block:
        not_applicable("no block fits into a capsule")
    connection = target.io()
    target.send(connection, wire.Pdu.capsule_cmd(target.write(5, block, in_capsule=True), bytes(there)))
    target.must_fail_or_end(connection, 5)


@pytest.mark.section(IN_CAPSULE)
@pytest.mark.parametrize("offset", [1, 4, 0x1000, 1 << 32, (1 << 64) - 4])
def test_offset_of_the_sgl(target, offset):
    """In-capsule data that begins behind the data of the capsule is no data."""
    block = target.facts.block
    if target.facts.in_capsule < block:
        not_applicable("no block fits into a capsule")
    connection = target.io()
    sqe = target.write(6, block, in_capsule=True)
    sqe = sqe[:24] + offset.to_bytes(8, "little") + sqe[32:]
    target.send(connection, wire.Pdu.capsule_cmd(sqe, bytes(block)))
    target.must_fail_or_end(connection, 6)


@pytest.mark.section("SGL Descriptor", TO_CONTROLLER)
@pytest.mark.parametrize("kind", [0x00, 0x10, 0x20, 0x30, 0x4F, 0x50, 0xFF])
def test_kinds_of_sgl(target, kind):
    """Descriptors that NVMe/TCP does not have: keyed, bit bucket, segments, reserved."""
    length = target.on_request
    connection = target.io()
    sqe = target.write(7, length)
    sqe = sqe[:39] + bytes([kind]) + sqe[40:]
    target.send(connection, wire.Pdu.capsule_cmd(sqe))
    target.must_fail_or_end(connection, 7, bytes(length))


@pytest.mark.section("SGL Descriptor", TO_CONTROLLER)
def test_sgl_shorter_than_the_command(target):
    """A write whose SGL covers less than its blocks."""
    length = target.on_request
    connection = target.io()
    sqe = wire.Command.write(7, target.facts.nsid, 0, length // target.facts.block + 1, length)
    target.send(connection, wire.Pdu.capsule_cmd(sqe))
    target.must_fail_or_end(connection, 7, bytes(length))


@pytest.mark.section(R2T, "Initialize Connection Request PDU (ICReq)")
def test_one_r2t_at_a_time(target):
    """With MAXR2T 0 (one) the next R2T of a command comes after the data of the first."""
    connection = target.io(maxr2t=0)
    length = target.facts.longest // target.facts.block * target.facts.block
    first = asked(target, connection, 8, length)
    second = connection.receive(QUIET)
    if second is not None:
        target.fail(f"before any data came {second!r} after {first!r}")


def asked(target, connection, cid, length):
    """A write was sent; returns its first R2T."""
    connection.send(wire.Pdu.capsule_cmd(target.write(cid, length)))
    r2t = connection.receive()
    if getattr(r2t, "name", "") != "R2T":
        target.fail(f"a write of {length} bytes was answered by {r2t!r}, not by an R2T")
    return r2t


def data_for(r2t, part, **fields):
    """The H2CData PDU that an R2T asks for, with some fields changed."""
    values = {"cccid": r2t["cccid"], "ttag": r2t["ttag"], "datao": r2t["r2to"], "data": part, "last": True}
    return wire.Pdu.h2c_data(**{**values, **fields})


ANY_DATA_ERROR = (HEADER_FIELD, SEQUENCE, OUT_OF_RANGE, LIMIT, PARAMETER)


@pytest.mark.section(H2C_DATA)
@pytest.mark.parametrize(
    "change, fes",
    [
        (lambda r2t: {"ttag": r2t["ttag"] ^ 0xFFFF}, ANY_DATA_ERROR),
        (lambda r2t: {"ttag": r2t["ttag"] ^ 1}, ANY_DATA_ERROR),
        (lambda r2t: {"cccid": r2t["cccid"] ^ 1}, ANY_DATA_ERROR),
        (lambda r2t: {"datao": r2t["r2to"] + 4}, (OUT_OF_RANGE, HEADER_FIELD)),
        (lambda r2t: {"datao": r2t["r2to"] + r2t["r2tl"]}, (OUT_OF_RANGE, HEADER_FIELD)),
        (lambda r2t: {"datao": 0xFFFFFFFC}, (OUT_OF_RANGE, HEADER_FIELD)),
        (lambda r2t: {"data": bytes(r2t["r2tl"] + 4)}, (OUT_OF_RANGE, LIMIT, HEADER_FIELD)),
        (lambda r2t: {"data": bytes(2 * r2t["r2tl"])}, (OUT_OF_RANGE, LIMIT, HEADER_FIELD)),
    ],
    ids=[
        "wrong TTAG",
        "TTAG off by one",
        "wrong CCCID",
        "offset too high",
        "offset behind the end",
        "offset that wraps",
        "one dword too many",
        "twice as much",
    ],
)
def test_data_nobody_asked_for(target, change, fes, judged):
    """Data that does not fit the R2T ends the association."""
    connection = target.io()
    r2t = asked(target, connection, 9, target.on_request)
    target.send(connection, data_for(r2t, bytes(r2t["r2tl"]), **change(r2t)))
    target.must_end(connection, fes, judged=judged)


@pytest.mark.section(H2C_DATA)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda frame, n: {"specific": with_length(frame, 0)}, id="DATAL 0"),
        pytest.param(lambda frame, n: {"specific": with_length(frame, n - 4)}, id="DATAL less"),
        pytest.param(lambda frame, n: {"specific": with_length(frame, 0xFFFFFFFF)}, id="DATAL ffffffff"),
        pytest.param(
            lambda frame, n: {"plen": frame.plen + 4, "data": frame.data + bytes(4)}, id="PLEN more"
        ),
        pytest.param(lambda frame, n: {"plen": frame.plen - 4}, id="PLEN less"),
        pytest.param(lambda frame, n: {"pdo": 8}, id="PDO in the header"),
        pytest.param(lambda frame, n: {"pdo": 25}, id="PDO odd"),
    ],
)
def test_lengths_that_contradict(target, change, judged):
    """DATAL, PLEN and PDO of a data PDU say the same, or the association ends."""
    connection = target.io()
    r2t = asked(target, connection, 10, target.on_request)
    frame = connection.frame(data_for(r2t, bytes(r2t["r2tl"])))
    for field, value in change(frame, r2t["r2tl"]).items():
        setattr(frame, field, value)
    target.send(connection, frame)
    target.must_end(connection, (HEADER_FIELD, OUT_OF_RANGE, LIMIT), judged=judged)


def with_length(frame, length):
    """The header of a data PDU with another DATAL."""
    return frame.specific[:8] + length.to_bytes(4, "little") + frame.specific[12:]


@pytest.mark.section(H2C_DATA, "Initialize Connection Response PDU (ICResp)")
def test_maxh2cdata(target):
    """A data PDU longer than MAXH2CDATA ends the association."""
    connection = target.io()
    most = target.open().initialise()["maxh2cdata"]
    length = max((most // target.facts.block + 1) * target.facts.block, target.on_request)
    if length > target.facts.longest:
        not_applicable(f"MAXH2CDATA, {most} bytes, covers the longest transfer")
    r2t = asked(target, connection, 11, length)
    if r2t["r2tl"] <= most:
        not_applicable(f"no R2T asks for more than MAXH2CDATA, {most} bytes")
    target.send(connection, data_for(r2t, bytes(r2t["r2tl"])))
    target.must_end(connection, (LIMIT, HEADER_FIELD))


@pytest.mark.section(H2C_DATA, TO_CONTROLLER)
def test_data_in_small_pdus(target):
    """A host may send the data in PDUs as small as it likes."""
    connection = target.io()
    length = target.on_request
    data = pattern(length, 1)
    r2t = asked(target, connection, 12, length)
    begin, end = r2t["r2to"], r2t["r2to"] + r2t["r2tl"]
    for at in range(begin, end, 64):
        piece = data[at : min(at + 64, end)]
        connection.send(data_for(r2t, piece, datao=at, last=at + len(piece) == end))
    must_succeed(target, connection.wait(12, data), f"{length} bytes in pieces of 64")
    read_back(target, connection, data)


@pytest.mark.section(H2C_DATA)
@pytest.mark.parametrize("flaw", ["last too early", "never last", "same part twice"])
def test_last_pdu(target, flaw):
    """LAST_PDU where the data does not end, or not where it ends: no silence, and no data from nowhere."""
    connection = target.io()
    length = target.on_request
    before = pattern(length, 77)
    must_succeed(target, connection.execute(target.write(13, length), on_request=before), "a write")
    r2t = asked(target, connection, 13, length)
    half, size = bytes(r2t["r2tl"] // 2), r2t["r2tl"]
    if flaw == "last too early":
        target.send(connection, data_for(r2t, half, last=True))
        target.must_end(connection, ANY_DATA_ERROR)
    elif flaw == "never last":
        target.send(connection, data_for(r2t, bytes(size), last=False))
        target.must_answer_or_end(connection, 13)
    else:
        target.send(connection, data_for(r2t, half, last=False))
        target.send(connection, data_for(r2t, half, last=True))
        target.must_end(connection, (OUT_OF_RANGE, HEADER_FIELD, SEQUENCE))


@pytest.mark.section(H2C_DATA)
def test_data_after_the_end(target):
    """Data for a command that has completed is data nobody asked for."""
    connection = target.io()
    length = target.on_request
    r2t = asked(target, connection, 14, length)
    connection.send(data_for(r2t, bytes(length)))
    must_succeed(target, connection.wait(14), "a write")
    target.send(connection, data_for(r2t, bytes(length)))
    target.must_end(connection, ANY_DATA_ERROR)


@pytest.mark.section("PDU Data Digest", "Error Handling Model")
@pytest.mark.parametrize("digest", ["wrong", 0], ids=["wrong", "zeros"])
def test_data_digest_of_requested_data(target, digest):
    """A wrong data digest fails the command with Transient Transport Error, and nothing else."""
    connection = target.io(dgst=2)
    length = target.on_request
    r2t = asked(target, connection, 15, length)
    frame = connection.frame(data_for(r2t, bytes(length)))
    frame.data_digest = digest
    connection.send(frame)
    target.must_report_digest(connection, 15)
    target.must_serve(connection, target.read(16, length))


@pytest.mark.section(CIDS)
@pytest.mark.parametrize("first", ["write", "read"])
def test_the_same_command_identifier_twice(target, first):
    """Two commands with one identifier: each may be carried out or refused, but neither is forgotten."""
    connection = target.io()
    length = target.on_request
    if first == "write":
        asked(target, connection, 17, length)
    else:
        connection.send(wire.Pdu.capsule_cmd(target.read(17, length)))
    target.send(connection, wire.Pdu.capsule_cmd(target.read(17, length)))
    target.must_answer_or_end(connection, 17, bytes(length))


@pytest.mark.section("Submission Queue Flow Control", CIDS)
@pytest.mark.parametrize("entries", [2, 8, 32])
def test_more_commands_than_entries(target, entries):
    """A host that overruns its queue is answered, or the association ends."""
    connection = target.io(entries=entries)
    length = target.on_request
    for cid in range(2 * entries):
        target.send(connection, wire.Pdu.capsule_cmd(target.write(cid, length)))
    arrived = connection.receive()
    if arrived is None:
        target.fail("neither an R2T, a completion nor the end of the association")
    if isinstance(arrived, wire.Malformed):
        target.fail(arrived.message)


@pytest.mark.section(TO_CONTROLLER)
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("part", [0, 1, 24, 200, -1])
def test_gone_during_data(target, how, part):
    """The host disappears in the middle of the data it was asked for."""
    for _ in range(8):
        connection = target.io()
        r2t = asked(target, connection, 18, target.on_request)
        data = bytes(connection.frame(data_for(r2t, bytes(r2t["r2tl"]))))
        connection.send(data[:part])
        connection.reset() if how == "reset" else connection.close()


@pytest.mark.section(TO_HOST)
@pytest.mark.parametrize("how", ["close", "reset"])
def test_gone_during_reads(target, how):
    """The host disappears before it has taken what it asked for."""
    length = target.facts.longest // target.facts.block * target.facts.block
    for _ in range(8):
        connection = target.io()
        for cid in range(16):
            connection.send(wire.Pdu.capsule_cmd(target.read(cid, length)))
        connection.reset() if how == "reset" else connection.close()


@pytest.mark.section(TO_HOST)
def test_a_host_that_does_not_read(target):
    """A host that takes nothing keeps nobody else waiting, and finds its data when it looks."""
    connection = target.io()
    length = target.facts.longest // target.facts.block * target.facts.block
    count = 16
    for cid in range(count):
        connection.send(wire.Pdu.capsule_cmd(target.read(cid, length)))
    problem = target.device.check()
    if problem:
        target.fail(problem)
    done, got = set(), dict.fromkeys(range(count), 0)
    while len(done) < count:
        arrived = connection.receive()
        name = getattr(arrived, "name", "")
        if name == "C2HData":
            got[arrived["cccid"]] += len(arrived.data)
            if arrived["success"]:
                done.add(arrived["cccid"])
        elif name == "CapsuleResp":
            done.add(arrived["cid"])
        else:
            target.fail(
                f"after {len(done)} of {count} reads came {getattr(arrived, 'message', repr(arrived))}"
            )
    if set(got.values()) != {length}:
        target.fail(f"reads of {length} bytes returned {sorted(got.values())}")
