"""Data in capsules, on request and to the host: every size that is allowed, in every order."""

import pytest

from nvme import wire

from .collect import all_succeed, arrivals, asked
from .data import answer, data_for, lengths, pattern
from .verdicts import QUIET, not_applicable

TO_CONTROLLER = "Host to Controller Command Data Buffer Transfers"
TO_HOST = "Controller to Host Command Data Buffer Transfers"
IN_CAPSULE = "Command Capsules"
H2C_DATA = "Host To Controller Data Transfer PDU (H2CData)"
R2T = "Ready to Transfer PDU (R2T)"


def must_be_read(target, connection, data, lba=0):
    """What was written is read."""
    outcome = connection.execute(target.read(90, len(data), lba))
    target.must_succeed(outcome, f"a read of {len(data)} bytes")
    must_be(target, outcome.data, data)


def must_be(target, got, data):
    """What was read is what was written."""
    if got != data:
        at = next((i for i, (a, b) in enumerate(zip(data, got)) if a != b), min(len(got), len(data)))
        target.fail(f"of {len(data)} bytes written, {len(got)} were read; they differ from byte {at} on")


def must_be_written(target, connection, data, lba=0):
    """A write on request."""
    outcome = connection.execute(target.write(91, len(data), lba), on_request=data)
    return target.must_succeed(outcome, f"a write of {len(data)} bytes")


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
        outcome = connection.execute(target.write(1, length), in_capsule=data)
        target.must_succeed(outcome, f"a write of {length} bytes")
        must_be_read(target, connection, data)


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
    """Writes, for which R2Ts ask for all there is, from the beginning to the end."""
    sizes = list(filter(chosen, lengths(target.facts.block, target.facts.longest)))
    if not sizes:
        not_applicable(f"with capsules of {target.facts.in_capsule} bytes there are no such transfers")
    connection = target.io(dgst=dgst)
    for length in sizes:
        data = pattern(length, length)
        end = 0
        for r2t in must_be_written(target, connection, data).r2ts:
            if r2t["r2to"] != end:
                target.fail(
                    f"the R2Ts of a write of {length} bytes go on at byte {r2t['r2to']} instead of {end}"
                )
            end += r2t["r2tl"]
        if end != length:
            target.fail(f"R2Ts asked for {end} of {length} bytes, and the command succeeded")
        must_be_read(target, connection, data)


@pytest.mark.section(TO_HOST)
@pytest.mark.parametrize("dgst", range(4))
def test_reads(target, dgst):
    """Reads of every size: in order, whole and right, with digests and LAST_PDU as they should be."""
    connection = target.io(dgst=dgst)
    whole = pattern(target.facts.longest, 5)
    must_be_written(target, connection, whole)
    for length in lengths(target.facts.block, target.facts.longest):
        connection.send(wire.Pdu.capsule_cmd(target.read(3, length)))
        got, last, arriving = bytearray(), False, arrivals(connection)
        while len(got) < length:
            arrived = next(arriving)
            if getattr(arrived, "name", "") != "C2HData":
                target.fail(
                    f"after {len(got)} of {length} bytes came {getattr(arrived, 'message', repr(arrived))}"
                )
            if last:
                target.fail(f"data follows the PDU with LAST_PDU, after {len(got)} of {length} bytes")
            if arrived["datao"] != len(got) or arrived["cccid"] != 3:
                target.fail(f"{arrived!r} came where byte {len(got)} of command 3 was due")
            got += arrived.data
            last = arrived["last"]
        if not last:
            target.fail(f"the last data PDU of {length} bytes has no LAST_PDU")
        if not arrived["success"]:
            target.must_succeed(connection.wait(3), f"a read of {length} bytes")
        must_be(target, bytes(got), whole[:length])


@pytest.mark.section(R2T, "Initialize Connection Request PDU (ICReq)")
def test_one_r2t_at_a_time(target):
    """With MAXR2T 0 (one) the next R2T of a command comes after the data of the first."""
    length = max(target.on_request, target.facts.longest)
    connection = target.io(maxr2t=0)
    first = asked(target, connection, 8, length)
    second = connection.receive(QUIET)
    if second is not None:
        target.fail(f"before any data came {second!r} after {first!r}")
    answer(connection, first, bytes(length))
    target.must_succeed(target.outcome(connection, 8, bytes(length)), f"a write of {length} bytes")


@pytest.mark.section(H2C_DATA, TO_CONTROLLER)
@pytest.mark.parametrize("dgst", [0, 1])
def test_data_in_small_pdus(target, dgst):
    """A host may send the data in PDUs as small as it likes."""
    write_in_small_pdus(target, dgst)


@pytest.mark.deadly
@pytest.mark.section(H2C_DATA, TO_CONTROLLER, "PDU Data Digest")
@pytest.mark.parametrize("dgst", [2, 3])
def test_data_in_small_pdus_with_digests(target, dgst):
    """So it may if each has a data digest of its own."""
    write_in_small_pdus(target, dgst)


def write_in_small_pdus(target, dgst):
    """A write whose data comes in pieces of 64 bytes."""
    length = target.on_request
    connection = target.io(dgst=dgst)
    data = pattern(length, 1)
    r2t = asked(target, connection, 12, length)
    begin, end = r2t["r2to"], r2t["r2to"] + r2t["r2tl"]
    for at in range(begin, end, 64):
        piece = data[at : min(at + 64, end)]
        connection.send(data_for(r2t, piece, datao=at, last=at + len(piece) == end))
    target.must_succeed(connection.wait(12, data), f"{length} bytes in pieces of 64")
    must_be_read(target, connection, data)


@pytest.mark.section(H2C_DATA)
@pytest.mark.parametrize("size", [1, 2, 511, 1023])
def test_data_of_odd_sizes(target, size):
    """DATAL and DATAO that are no multiples of four: taken and right, or a field in error."""
    length = target.on_request
    connection = target.io()
    data = pattern(length, size)
    r2t = asked(target, connection, 13, length)
    begin, end = r2t["r2to"], r2t["r2to"] + r2t["r2tl"]
    middle = min(begin + size, end - 1)
    for at, until in ((begin, middle), (middle, end)):
        for pdu in cut(connection, r2t, data, at, until):
            target.send(connection, data_for(r2t, pdu[1], datao=pdu[0], last=pdu[0] + len(pdu[1]) == end))
    outcome = target.must_answer_or_end(connection, 13, data)
    if outcome is not None:
        target.must_succeed(outcome, f"data in pieces of {size} bytes and the rest")
        must_be_read(target, connection, data)


def cut(connection, r2t, data, begin, end):
    """Offsets and pieces of a part of what an R2T asks for, none longer than MAXH2CDATA."""
    most = len(connection.data_pdus(r2t, bytes(r2t["r2tl"]))[0].data)
    return [(at, data[at : min(at + most, end)]) for at in range(begin, end, most)]


@pytest.mark.section(TO_CONTROLLER, TO_HOST)
def test_places(target):
    """Data at the first, some middle and the last blocks stays where it was written."""
    length, facts = target.on_request, target.facts
    count = length // facts.block
    places = sorted({0, count, facts.blocks // 2, facts.blocks - 2 * count, facts.blocks - count})
    if facts.blocks < 8 * count:
        not_applicable(f"the namespace has only {facts.blocks} blocks")
    connection = target.io()
    for lba in places:
        must_be_written(target, connection, pattern(length, lba + 1), lba)
    for lba in places:
        must_be_read(target, connection, pattern(length, lba + 1), lba)


@pytest.mark.section(TO_CONTROLLER, TO_HOST, "Command Identifier")
@pytest.mark.parametrize("dgst", range(4))
def test_commands_at_once(target, dgst):
    """As many writes as the queue takes, to places of their own, then as many reads: each has its own data."""
    length, facts = target.on_request, target.facts
    count = min(facts.entries - 1, facts.blocks * facts.block // length)
    connection = target.io(dgst=dgst)
    # Identifiers need not follow each other.
    places = {1000 - 7 * number: number * (length // facts.block) for number in range(count)}
    writes = {cid: pattern(length, cid) for cid in places}
    for command, data in ((target.write, writes), (target.read, None)):
        connection.send(
            b"".join(
                bytes(connection.frame(wire.Pdu.capsule_cmd(command(cid, length, lba))))
                for cid, lba in places.items()
            )
        )
        got = all_succeed(target, connection, list(places), data)
    for cid, data in got.items():
        must_be(target, data, writes[cid])
