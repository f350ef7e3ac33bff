"""PDUs that are not as they should be: the target ends that association, and serves the others."""

from __future__ import annotations  # for Python 3.9

import dataclasses
import random
from collections.abc import Callable

import pytest

from nvme import wire

from .target import HEADER_DIGEST, HEADER_FIELD, LIMIT, OUT_OF_RANGE, PARAMETER, SEQUENCE, not_applicable

COMMON = "PDU Common Header"
ERRORS = "Error Handling Model"
ICREQ = "Initialize Connection Request PDU (ICReq)"
CAPSULE = "Command Capsule PDU (CapsuleCmd)"
H2C_DATA = "Host To Controller Data Transfer PDU (H2CData)"
TERM = "Host to Controller Terminate Connection Request PDU (H2CTermReq)"

# Offsets in the common header, for FEI.
TYPE, HLEN, PDO, PLEN = 0, 2, 3, 4

# HLEN of command capsules.
CAPSULE_HEADER = 72


@dataclasses.dataclass(frozen=True)
class Case:
    """Something a target must not accept."""

    name: str
    section: str
    make: Callable  # what is sent, from a connection in its state
    fes: tuple
    fei: int | None = None


def changed(pdu, **fields):
    """A well-formed PDU with some fields of its frame changed."""

    def make(connection):
        frame = connection.frame(pdu)
        for field, value in fields.items():
            setattr(frame, field, value)
        return frame

    return make


def keep_alive(**fields):
    """A command capsule without data."""
    return changed(wire.Pdu.capsule_cmd(wire.Command.keep_alive(1)), **fields)


def connect_again(**fields):
    """A command capsule with data."""

    def make(connection):
        return changed(connection.connect_pdu(cid=1), **fields)(connection)

    return make


def icreq(**fields):
    """An ICReq."""
    return changed(wire.Pdu.icreq(), **fields)


TYPES = {
    0x01: "ICResp",
    0x03: "C2HTermReq",
    0x05: "CapsuleResp",
    0x07: "C2HData",
    0x08: "reserved",
    0x09: "R2T",
    0x0A: "KDReq or reserved",
    0xFF: "reserved",
}


def wrong_types(template):
    """A PDU of every type that is none for a host, otherwise well-formed as `template`."""
    for code, name in TYPES.items():
        if name != "KDReq or reserved":
            yield Case(
                f"type {code:02x} {name}", COMMON, template(pdu_type=code), (HEADER_FIELD, SEQUENCE), TYPE
            )


BEFORE_ICREQ = [
    *wrong_types(icreq),
    *(Case(f"HLEN {n}", ICREQ, icreq(hlen=n), (HEADER_FIELD,), HLEN) for n in (0, 8, 127, 129, 255)),
    *(
        Case(f"PLEN {n:#x}", ICREQ, icreq(plen=n), (HEADER_FIELD,), PLEN)
        for n in (0, 8, 127, 129, 136, 0xFFFFFFFF)
    ),
    Case("PFV 1", ICREQ, changed(wire.Pdu.icreq(pfv=1)), (HEADER_FIELD, PARAMETER), 8),
    Case("PFV ffff", ICREQ, changed(wire.Pdu.icreq(pfv=0xFFFF)), (HEADER_FIELD, PARAMETER), 8),
    Case("HPDA 32", ICREQ, changed(wire.Pdu.icreq(hpda=32)), (HEADER_FIELD, PARAMETER), 10),
    Case("HPDA 255", ICREQ, changed(wire.Pdu.icreq(hpda=255)), (HEADER_FIELD, PARAMETER), 10),
    Case("command first", ERRORS, keep_alive(), (SEQUENCE,)),
    Case("data first", ERRORS, changed(wire.Pdu.h2c_data(1, 1, 0, bytes(512))), (SEQUENCE,)),
]

ON_ADMIN_QUEUE = [
    *wrong_types(keep_alive),
    Case("second ICReq", ERRORS, icreq(), (SEQUENCE,)),
    *(
        Case(f"HLEN {n}", CAPSULE, keep_alive(hlen=n), (HEADER_FIELD,), HLEN)
        for n in (0, 8, 71, 73, 128, 255)
    ),
    *(
        Case(f"PLEN {n:#x}", CAPSULE, keep_alive(plen=n), (HEADER_FIELD,), PLEN)
        for n in (0, 7, 8, 71, 0x7FFFFFFF, 0xFFFFFFFF)
    ),
    Case("PDO in the header", CAPSULE, connect_again(pdo=64), (HEADER_FIELD,), PDO),
    Case("PDO 4", CAPSULE, connect_again(pdo=4), (HEADER_FIELD,), PDO),
    Case("PDO no multiple of 4", CAPSULE, connect_again(pdo=74), (HEADER_FIELD,), PDO),
    Case("PDO 255", CAPSULE, connect_again(pdo=255), (HEADER_FIELD,), PDO),
    Case(
        "PDO behind PLEN",
        CAPSULE,
        changed(wire.Pdu.capsule_cmd(wire.Command.keep_alive(1), bytes(4)), pdo=128),
        (HEADER_FIELD,),
        PDO,
    ),
    Case(
        "data without R2T",
        H2C_DATA,
        changed(wire.Pdu.h2c_data(1, 1, 0, bytes(512))),
        (HEADER_FIELD, SEQUENCE, OUT_OF_RANGE, LIMIT, PARAMETER),
    ),
    Case(
        "data HLEN 23",
        H2C_DATA,
        changed(wire.Pdu.h2c_data(1, 1, 0, bytes(512)), hlen=23),
        (HEADER_FIELD,),
        HLEN,
    ),
    Case(
        "data PLEN 0x17",
        H2C_DATA,
        changed(wire.Pdu.h2c_data(1, 1, 0, bytes(512)), plen=23),
        (HEADER_FIELD,),
        PLEN,
    ),
    *(
        Case(f"terminate {name}", TERM, changed(wire.Pdu.h2c_term_req(fes, 2, bytes(24)), **fields), ())
        for name, fes, fields in (
            ("header field", 1, {}),
            ("sequence", 2, {}),
            ("parameter", 6, {}),
            ("reserved FES", 0x100, {}),
            ("FES 0", 0, {}),
            ("HLEN 25", 1, {"hlen": 25}),
            ("PLEN 0x17", 1, {"plen": 23}),
            ("PLEN 0x99", 1, {"plen": 153}),
        )
    ),
    Case("terminate without data", TERM, changed(wire.Pdu.h2c_term_req(2)), ()),
]


def parameters(cases):
    """Cases for pytest, each with its part of the specification."""
    return [pytest.param(case, id=case.name, marks=pytest.mark.section(case.section)) for case in cases]


@pytest.mark.parametrize("case", parameters(BEFORE_ICREQ))
def test_before_icreq(target, case, judged):
    """On a fresh connection."""
    connection = target.open()
    target.send(connection, case.make(connection))
    target.must_end(connection, case.fes, case.fei, judged)


@pytest.mark.parametrize("case", parameters(c for c in ON_ADMIN_QUEUE if "data" not in c.name))
def test_before_connect(target, case):
    """After ICReq and ICResp, before the Connect command."""
    connection = target.initialised()
    target.send(connection, case.make(connection))
    target.must_end(connection, case.fes, case.fei)


@pytest.mark.parametrize("case", parameters(ON_ADMIN_QUEUE))
def test_on_admin_queue(target, case, judged):
    """On an enabled controller."""
    connection = target.admin()
    target.send(connection, case.make(connection))
    target.must_end(connection, case.fes, case.fei, judged)


@pytest.mark.parametrize("case", parameters(ON_ADMIN_QUEUE))
def test_on_io_queue(target, case):
    """On a queue with I/O commands."""
    connection = target.io()
    target.send(connection, case.make(connection))
    target.must_end(connection, case.fes, case.fei)


@pytest.mark.section("PDU Header Digest", ERRORS)
@pytest.mark.parametrize("digest", ["wrong", None, 0, 0xFFFFFFFF], ids=["wrong", "absent", "zeros", "ones"])
def test_header_digest(target, digest):
    """A header digest that is not that of the header is fatal."""
    connection = target.admin(dgst=1)
    frame = connection.frame(wire.Pdu.capsule_cmd(wire.Command.keep_alive(1)))
    frame.header_digest = digest
    if digest is None:
        # The bytes of the next PDU stand in its place.
        target.send(connection, frame)
        frame.header_digest = "right"
    target.send(connection, frame)
    target.must_end(connection, (HEADER_DIGEST,))


@pytest.mark.section("PDU Header Digest", ERRORS)
@pytest.mark.parametrize("bit", [*range(0, 32, 5), *range(64, (CAPSULE_HEADER + 4) * 8, 41)])
def test_header_with_a_flipped_bit(target, bit):
    """With header digests no flipped bit is acted upon. PLEN is left out: a longer one may be waited for."""
    connection = target.admin(dgst=1)
    data = bytearray(bytes(connection.frame(wire.Pdu.capsule_cmd(wire.Command.property_get(1, 0, True)))))
    data[bit // 8] ^= 1 << bit % 8
    target.send(connection, bytes(data))
    target.must_end(connection)


@pytest.mark.section("PDU Data Digest", ERRORS)
@pytest.mark.parametrize("digest", ["wrong", 0], ids=["wrong", "zeros"])
def test_data_digest_of_a_capsule(target, digest):
    """A wrong data digest is no fatal error: the command fails with Transient Transport Error, the queue goes on."""
    block = target.facts.block
    if target.facts.in_capsule < block:
        not_applicable("no block fits into a capsule")
    connection = target.io(dgst=2)
    frame = connection.frame(wire.Pdu.capsule_cmd(target.write(5, block, in_capsule=True), bytes(block)))
    frame.data_digest = digest
    connection.send(frame)
    target.must_report_digest(connection, 5)
    target.must_serve(connection, target.read(6, block))


@pytest.mark.section(COMMON, CAPSULE)
@pytest.mark.parametrize("pdo", [4, 8, 72, 75, 77, 128, 252, 255])
def test_offset_with_header_digests(target, pdo, judged):
    """PDO where the header or its digest is, or where the alignment does not allow it, with a digest that is right."""
    connection = target.initialised(dgst=1)
    frame = connection.frame(connection.connect_pdu(cid=1))
    frame.pdo = pdo
    target.send(connection, frame)
    # Behind the header PDO may be padding; what is wrong then is that the SGL reaches beyond the capsule.
    if pdo % 4 == 0 and pdo > CAPSULE_HEADER + 4:
        if judged == "reason":
            not_applicable("the command may fail as well")
        target.must_fail_or_end(connection, 1)
    else:
        target.must_end(connection, (HEADER_FIELD,), PDO, judged)


@pytest.mark.section(COMMON)
@pytest.mark.parametrize("flags", [0x01, 0x02, 0x04, 0x08, 0x10, 0x80, 0xFF])
def test_flags_that_were_not_agreed_on(target, flags):
    """Digests that are not in use, flags of other types, reserved bits: answered or refused, nothing in between."""
    connection = target.admin()
    frame = connection.frame(wire.Pdu.capsule_cmd(wire.Command.property_get(1, 0, True)))
    frame.flags = flags
    target.send(connection, frame)
    target.must_answer_or_end(connection, 1)


@pytest.mark.section(ERRORS)
@pytest.mark.parametrize("seed", range(16))
def test_random_bytes(target, seed):
    """Bytes of chance, on fresh and on enabled connections: not a word but the end."""
    chance = random.Random(seed)
    connection = target.open() if seed % 2 else target.admin()
    # No type a host may send, or a length that is none: any other could make the target wait for more.
    noise = bytearray(chance.randbytes(4096))
    noise[0] = chance.choice([0x01, 0x03, 0x05, 0x07, 0x09, 0x0B, 0x80])
    target.send(connection, bytes(noise))
    target.must_end(connection)


@pytest.mark.section(COMMON, CAPSULE)
@pytest.mark.parametrize("missing", [1, 4, 36, 71])
def test_half_a_pdu_and_silence(target, missing):
    """A capsule of which the end never comes keeps nobody else waiting, and its end is still taken."""
    connection = target.admin()
    data = bytes(connection.frame(wire.Pdu.capsule_cmd(wire.Command.property_get(1, 0, True))))
    connection.send(data[:-missing])
    problem = target.device.check()
    if problem:
        target.fail(problem)
    if connection.receive(0.2) is not None:
        target.fail("the target answered half a command")
    connection.send(data[-missing:])
    outcome = target.outcome(connection, 1)
    if outcome is None or outcome.status != "00/00":
        target.fail(f"the whole command came to {outcome}")
