"""Digests that are wrong, and PDO where it has to leave room for them."""

import pytest

from nvme import wire

from .structures import little
from .verdicts import HEADER_DIGEST, HEADER_FIELD, SEQUENCE, not_applicable

ERRORS = "Error Handling Model"
# HLEN of command capsules, and where PDO is.
CAPSULE_HEADER, PDO = 72, 3


def received_digest(capsule):
    """What a target takes for the header digest of a command capsule."""
    return little(capsule, CAPSULE_HEADER, 4)


@pytest.mark.section("PDU Header Digest", ERRORS)
@pytest.mark.parametrize("digest", ["wrong", None, 0, 0xFFFFFFFF], ids=["wrong", "absent", "zeros", "ones"])
def test_header_digest(target, digest, judged):
    """A header digest that is not that of the header is fatal."""
    connection = target.admin(dgst=1)
    frame = connection.frame(wire.Pdu.capsule_cmd(wire.Command.keep_alive(1)))
    frame.header_digest = digest
    sent = bytes(frame)
    if digest is None:
        # The bytes of the next PDU stand in its place.
        frame.header_digest = "right"
        sent += bytes(frame)
    target.send(connection, sent)
    target.must_end(connection, {HEADER_DIGEST: received_digest(sent)}, judged, sent)


@pytest.mark.section("PDU Header Digest", ERRORS)
@pytest.mark.parametrize("bit", [*range(0, 32, 5), *range(64, (CAPSULE_HEADER + 4) * 8, 41)])
def test_header_with_a_flipped_bit(target, bit, judged):
    """With header digests no flipped bit is acted upon. PLEN is left out: a longer one may be waited for."""
    connection = target.admin(dgst=1)
    sent = bytearray(bytes(connection.frame(wire.Pdu.capsule_cmd(wire.Command.property_get(1, 0, True)))))
    sent[bit // 8] ^= 1 << bit % 8
    sent = bytes(sent)
    target.send(connection, sent)
    reasons = {HEADER_DIGEST: received_digest(sent)}
    if bit < 32:
        # The first four bytes may be looked at before the digest.
        reasons = {HEADER_DIGEST: None, HEADER_FIELD: bit // 8, SEQUENCE: None}
    target.must_end(connection, reasons, judged, sent)


@pytest.mark.section("PDU Data Digest", ERRORS)
@pytest.mark.parametrize("digest", ["wrong", 0], ids=["wrong", "zeros"])
def test_data_digest_of_a_capsule(target, digest):
    """A wrong data digest is no fatal error: the command fails with Transient Transport Error, the queue goes on."""
    block = target.facts.block
    if target.facts.in_capsule < block:
        not_applicable("no block fits into a capsule")
    connection = target.io(dgst=2)
    frame = connection.frame(wire.Pdu.capsule_cmd(target.write(5, block, in_capsule=True), b"\x5a" * block))
    frame.data_digest = digest
    connection.send(frame)
    target.must_report_digest(connection, 5)
    target.must_serve(connection, target.read(6, block))


@pytest.mark.section("PDU Common Header", "Command Capsule PDU (CapsuleCmd)")
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
        target.must_end(connection, {HEADER_FIELD: PDO}, judged, bytes(frame))
