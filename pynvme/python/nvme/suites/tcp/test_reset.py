"""CC.EN and shutdown: the controller follows in time, with commands under way as well, and can be enabled again."""

import time

import pytest

from nvme import wire

from .structures import CC, CSTS, ENABLED
from .verdicts import BOUND

SHUTDOWN = "Controller Shutdown", "Controller Configuration"
RESET = "Controller Level Reset", "Controller Configuration"
# Of CSTS.
READY = 1 << 0
# Seconds between two looks.
PAUSE = 0.01


def status_becomes(target, admin, mask, value):
    """Whether the controller is still connected once CSTS has this value; in time, or it is a violation."""
    end = time.monotonic() + target.facts.ready
    while True:
        try:
            status = admin.property_get(CSTS, False)
        except (ConnectionError, wire.ProtocolError):
            return False
        if status & mask == value:
            return True
        if time.monotonic() > end:
            target.fail(
                f"CSTS is {status:#x} for {target.facts.ready:.0f} s (CAP.TO, or more), expected {value:#x} of {mask:#x}"
            )
        time.sleep(PAUSE)


def configure(target, admin, value):
    """Writes CC; None if that ended the association."""
    admin.send(wire.Pdu.capsule_cmd(wire.Command.property_set(3, CC, value)))
    return target.must_answer_or_end(admin, 3)


def must_serve_again(target, admin):
    """The controller is enabled again and works; if disabling it ended the association, another one does."""
    if admin is not None:
        admin.enable()
    else:
        admin = target.admin()
    target.must_serve(admin, wire.Command.identify(4, 1))


@pytest.mark.section(*RESET)
def test_disabled_and_enabled(target):
    """CSTS.RDY follows CC.EN, down and up; the controller may disconnect the host when it is disabled."""
    admin = target.admin()
    for _ in range(2):
        disabled = configure(target, admin, ENABLED & ~1) and status_becomes(target, admin, READY, 0)
        must_serve_again(target, admin if disabled else None)
        if not disabled:
            break


@pytest.mark.section(*RESET)
@pytest.mark.parametrize("kind", ["reads", "writes"])
def test_disabled_under_load(target, kind):
    """So it does with commands under way; then an I/O queue can be connected anew, and serves."""
    length = target.on_request
    io = target.io()
    admin = target.admin_queue
    for cid in range(min(16, target.facts.entries - 1)):
        sqe = target.read(cid, length) if kind == "reads" else target.write(cid, length)
        target.send(io, wire.Pdu.capsule_cmd(sqe))
    disabled = configure(target, admin, ENABLED & ~1) and status_becomes(target, admin, READY, 0)
    io.close()
    must_serve_again(target, admin if disabled else None)
    end = time.monotonic() + BOUND
    while True:
        try:
            queue = target.queue(brief=True)
            break
        except (ConnectionError, wire.ProtocolError) as error:
            if time.monotonic() > end:
                target.fail(
                    f"{BOUND} s after the controller was enabled again queue 1 cannot be connected: {error}"
                )
            time.sleep(PAUSE)
    target.must_serve(queue, target.read(5, length))


@pytest.mark.section(*SHUTDOWN)
@pytest.mark.parametrize("kind", [1, 2], ids=["normal", "abrupt"])
def test_shutdown(target, kind):
    """CSTS.SHST says that it is complete, or the association has ended."""
    admin = target.admin()
    if configure(target, admin, ENABLED | kind << 14) is not None:
        status_becomes(target, admin, 3 << 2, 2 << 2)
