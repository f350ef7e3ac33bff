"""What a host does to get an association, and what keeps a host out that is no fault of the target."""

from nvme import wire

from .structures import NUMBER_OF_QUEUES, set_features

# Status of Connect.
BUSY, INVALID_PARAMETERS, INVALID_HOST = "01/81", "01/82", "01/84"
# Of any command: the timeout of a Connect among them.
KEEP_ALIVE_INVALID = "00/1a"
# Bits of dword 0 of Connect's completion: Authentication Transaction Required (ATR), or that and a secure
# channel (ASCR).
AUTHENTICATION = 0b11 << 17


class Refused(wire.ProtocolError):
    """A command failed that has to succeed."""

    def __init__(self, what, status):
        super().__init__(f"{what} failed with status {status}")
        self.status = status


class Barred(Exception):
    """The target does not let this host in, as it may."""


def connect(connection, **queue):
    """Connects a queue; returns the identifier of the controller."""
    connection.send(connection.connect_pdu(**queue))
    outcome = connection.wait(queue.get("cid", 0))
    if outcome.status == INVALID_HOST:
        raise Barred(
            "Connect fails with status 01/84, Connect Invalid Host: allow this host, or see --hostnqn"
        )
    if outcome.status != "00/00":
        raise Refused(f"Connect of queue {queue.get('qid', 0)}", outcome.status)
    if outcome.result & AUTHENTICATION:
        raise Barred("Connect's answer (AUTHREQ) demands authentication, which the suite does not have")
    return outcome.result & 0xFFFF


def ask_for_queues(admin, count=1):
    """How many I/O queues the controller grants. A host has to ask before it connects the first."""
    outcome = admin.execute(set_features(3, NUMBER_OF_QUEUES, (count - 1) << 16 | (count - 1)))
    if outcome.status != "00/00":
        raise Refused("Set Features, Number of Queues,", outcome.status)
    return min(outcome.result & 0xFFFF, outcome.result >> 16 & 0xFFFF) + 1
