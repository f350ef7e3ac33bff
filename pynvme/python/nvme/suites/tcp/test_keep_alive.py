"""Keep Alive: hosts that fall silent lose their controller, others keep it."""

import time

import pytest

from nvme import wire

from .association import KEEP_ALIVE_INVALID, Refused
from .structures import KEEP_ALIVE_TIMER, get_features
from .verdicts import BOUND

KEEP_ALIVE = "Keep Alive"
COMMAND = "Keep Alive command"
# Milliseconds.
SHORT, LONG = 1000, 30_000


def expiry(facts, kato):
    """Seconds after which a controller has noticed the silence, from KATO in milliseconds.

    It rounds KATO up to its granularity (KAS), and with Traffic Based Keep Alive (TBKAS) the timer may see two
    intervals.
    """
    step = facts.granularity or 1
    rounded = -(-kato // step) * step / 1000
    return rounded * (2 if facts.traffic_based else 1)


def must_expire(target, connections, seconds):
    """All of them are closed in time."""
    end = time.monotonic() + seconds
    for what, connection in connections.items():
        last = connection.receive_until_closed(max(0.1, end - time.monotonic()))[-1]
        if not isinstance(last, wire.Closed):
            target.fail(
                f"{seconds:.0f} s after the last command, with a Keep Alive Timeout of {SHORT / 1000:.0f} s, the "
                f"{what} is still connected"
            )


@pytest.mark.section("Keep Alive Model")
def test_it_is_supported(target):
    """NVMe/TCP requires the use of Keep Alive: KAS is not 0."""
    if not target.facts.granularity:
        target.fail("KAS is 0: the controller has no Keep Alive")


@pytest.mark.section(COMMAND)
@pytest.mark.parametrize("kato", [0, LONG])
def test_keep_alive(target, kato):
    """It succeeds; a host without a timeout may be refused with Keep Alive Timeout Invalid."""
    try:
        admin = target.admin(kato=kato)
    except Refused as refused:
        if kato == 0 and refused.status == KEEP_ALIVE_INVALID:
            return
        raise
    outcome = admin.execute(wire.Command.keep_alive(cid=4))
    if outcome.status not in ("00/00", *(() if kato else (KEEP_ALIVE_INVALID,))):
        target.fail(f"status {outcome.status}")


@pytest.mark.section("Keep Alive Timer")
def test_keep_alive_timer(target):
    """Get Features tells the timeout that Connect has set, as the controller has rounded it."""
    admin = target.admin(kato=LONG)
    outcome = target.must_succeed(admin.execute(get_features(9, KEEP_ALIVE_TIMER)), "Get Features")
    if outcome.result < LONG:
        target.fail(f"KATO is {outcome.result} ms after a Connect with {LONG} ms")


@pytest.mark.section(KEEP_ALIVE)
def test_silence(target):
    """A host that falls silent loses its controller: the admin queue, and with it the I/O queues."""
    io = target.io(kato=SHORT)
    admin = target.admin_queue
    must_expire(target, {"admin queue": admin, "I/O queue": io}, expiry(target.facts, SHORT) + BOUND)


@pytest.mark.section(KEEP_ALIVE, COMMAND)
def test_commands_keep_it_alive(target):
    """A host that sends Keep Alive in time keeps its controller, longer than it would have without."""
    admin = target.admin(kato=SHORT)
    end = time.monotonic() + expiry(target.facts, SHORT) + BOUND
    while time.monotonic() < end:
        target.must_serve(admin, wire.Command.keep_alive(7))
        time.sleep(SHORT / 1000 / 2)
    target.must_serve(admin)
