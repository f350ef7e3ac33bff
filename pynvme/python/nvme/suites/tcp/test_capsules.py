"""Command capsules whose SGL does not describe their data."""

import pytest

from nvme import wire

from .facts import LONGEST
from .structures import with_dword
from .verdicts import not_applicable

IN_CAPSULE = "Command Capsules"
SGL = "SGL Descriptor", "Host to Controller Command Data Buffer Transfers"
TYPE_INVALID, SEGMENT_INVALID = "00/11", "00/0d"
# Segment and Last Segment: what they point to may be looked at first.
SEGMENTS = (0x20, 0x30)


def block_in_a_capsule(target):
    """The size of a block, if a capsule takes one."""
    block = target.facts.block
    if target.facts.in_capsule < block:
        not_applicable("no block fits into a capsule")
    return block


@pytest.mark.section(IN_CAPSULE)
@pytest.mark.parametrize("beyond", [1, 2, 64])
def test_more_than_a_capsule_takes(target, beyond):
    """In-capsule data beyond IOCCSZ is not written."""
    facts = target.facts
    length = (facts.in_capsule // facts.block + beyond) * facts.block
    if length > 2 * LONGEST:
        not_applicable(f"capsules take {facts.in_capsule} bytes, more than the suite sends")
    connection = target.io()
    capsule = wire.Pdu.capsule_cmd(target.write(4, length, in_capsule=True), bytes(length))
    target.send(connection, capsule)
    target.must_fail_or_end(connection, 4)


@pytest.mark.section(IN_CAPSULE)
@pytest.mark.parametrize("there", [0, 4, 508])
def test_less_than_the_sgl_says(target, there):
    """A command whose SGL covers more than its capsule has is not carried out."""
    block = block_in_a_capsule(target)
    connection = target.io()
    target.send(connection, wire.Pdu.capsule_cmd(target.write(5, block, in_capsule=True), bytes(there)))
    target.must_fail_or_end(connection, 5)


@pytest.mark.section(IN_CAPSULE)
@pytest.mark.parametrize("offset", [1, 4, 0x1000, 1 << 32, (1 << 64) - 4])
def test_offset_of_the_sgl(target, offset):
    """In-capsule data that begins behind the data of the capsule is no data."""
    block = block_in_a_capsule(target)
    connection = target.io()
    sqe = target.write(6, block, in_capsule=True)
    sqe = sqe[:24] + offset.to_bytes(8, "little") + sqe[32:]
    target.send(connection, wire.Pdu.capsule_cmd(sqe, bytes(block)))
    target.must_fail_or_end(connection, 6)


@pytest.mark.section(*SGL)
@pytest.mark.parametrize("kind", [0x00, 0x10, 0x20, 0x30, 0x4F, 0x50, 0xFF])
def test_kinds_of_sgl(target, kind):
    """Descriptors that NVMe/TCP does not have: keyed, bit bucket, segments, reserved."""
    length = target.on_request
    connection = target.io()
    sqe = target.write(7, length)
    sqe = sqe[:39] + bytes([kind]) + sqe[40:]
    target.send(connection, wire.Pdu.capsule_cmd(sqe))
    statuses = (TYPE_INVALID, SEGMENT_INVALID) if kind in SEGMENTS else (TYPE_INVALID,)
    target.must_fail_or_end(connection, 7, bytes(length), statuses)


@pytest.mark.section(*SGL)
def test_sgl_shorter_than_the_command(target):
    """A write whose SGL covers less than its blocks."""
    length = target.on_request
    connection = target.io()
    # NLB counts from 0.
    sqe = with_dword(target.write(7, length), 12, length // target.facts.block)
    target.send(connection, wire.Pdu.capsule_cmd(sqe))
    target.must_fail_or_end(connection, 7, bytes(length))
