"""What comes over TCP in ways that no host sends: noise, halves, unexpected flags."""

import random

import pytest

from nvme import wire

from .verdicts import QUIET

COMMON = "PDU Common Header"


@pytest.mark.section(COMMON)
@pytest.mark.parametrize("flags", [0x01, 0x02, 0x04, 0x08, 0x10, 0x80, 0xFF])
def test_flags_that_were_not_agreed_on(target, flags):
    """Digests that are not in use, flags of other types, reserved bits: answered or refused, nothing in between."""
    connection = target.admin()
    frame = connection.frame(wire.Pdu.capsule_cmd(wire.Command.property_get(1, 0, True)))
    frame.flags = flags
    target.send(connection, frame)
    target.must_answer_or_end(connection, 1)


@pytest.mark.section("Error Handling Model")
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


@pytest.mark.section(COMMON, "Command Capsule PDU (CapsuleCmd)")
@pytest.mark.parametrize("missing", [1, 4, 36, 71])
def test_half_a_pdu_and_silence(target, missing):
    """A capsule of which the end never comes keeps nobody else waiting, and its end is still taken."""
    connection = target.admin()
    data = bytes(connection.frame(wire.Pdu.capsule_cmd(wire.Command.property_get(1, 0, True))))
    connection.send(data[:-missing])
    target.others_are_served()
    if connection.receive(QUIET) is not None:
        target.fail("the target answered half a command")
    connection.send(data[-missing:])
    target.must_succeed(target.outcome(connection, 1), "the whole command")
