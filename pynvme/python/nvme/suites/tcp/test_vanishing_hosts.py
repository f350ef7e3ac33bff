"""Hosts that disappear in the middle of a transfer, or do not read: nobody else is kept waiting."""

import pytest

from nvme import wire

from .collect import all_succeed, asked
from .data import data_for, first_part, pattern
from .test_data_transfer import TO_CONTROLLER, TO_HOST, must_be, must_be_written


def end(connection, how):
    """Closes or resets."""
    connection.reset() if how == "reset" else connection.close()


def reads(target):
    """How many long reads a queue takes at once, and of how many bytes they are."""
    return range(min(16, target.facts.entries - 1)), target.facts.longest


@pytest.mark.section(TO_CONTROLLER)
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("part", [0, 1, 24, 200, -1])
def test_gone_during_data(target, how, part):
    """The host disappears in the middle of the data it was asked for."""
    length = target.on_request
    for _ in range(8):
        connection = target.io(brief=True)
        r2t = asked(target, connection, 18, length)
        data = bytes(connection.frame(data_for(r2t, bytes(first_part(connection, r2t)))))
        connection.send(data[:part])
        end(connection, how)
        target.leave()


@pytest.mark.section(TO_HOST)
@pytest.mark.parametrize("how", ["close", "reset"])
def test_gone_during_reads(target, how):
    """The host disappears before it has taken what it asked for."""
    cids, length = reads(target)
    for _ in range(8):
        connection = target.io(brief=True)
        for cid in cids:
            connection.send(wire.Pdu.capsule_cmd(target.read(cid, length)))
        end(connection, how)
        target.leave()


@pytest.mark.section(TO_HOST)
def test_a_host_that_does_not_read(target):
    """A host that takes nothing keeps nobody else waiting, and finds its data when it looks."""
    connection = target.io()
    cids, length = reads(target)
    data = pattern(length, 6)
    must_be_written(target, connection, data)
    for cid in cids:
        connection.send(wire.Pdu.capsule_cmd(target.read(cid, length)))
    target.others_are_served()
    for got in all_succeed(target, connection, cids).values():
        must_be(target, got, data)
