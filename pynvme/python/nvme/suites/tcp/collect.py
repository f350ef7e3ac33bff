"""What comes for several commands of one queue, in whatever order."""

import time

from nvme import wire

from .data import answer

# Seconds in which all of it has to be there.
LONG = 60


def asked(target, connection, cid, length):
    """A write was sent; returns its first R2T."""
    connection.send(wire.Pdu.capsule_cmd(target.write(cid, length)))
    r2t = connection.receive()
    if getattr(r2t, "name", "") != "R2T":
        target.fail(f"a write of {length} bytes was answered by {r2t!r}, not by an R2T")
    if not 0 < r2t["r2tl"] <= length - r2t["r2to"]:
        target.fail(f"a write of {length} bytes was answered by {r2t!r}, which asks for others")
    return r2t


def arrivals(connection, seconds=LONG):
    """What comes, one after the other, as long as something does; then None: a target may send without end."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield connection.receive()
    while True:
        yield None


class Collector:
    """Answers R2Ts and keeps what came."""

    def __init__(self, target, connection, cids, writes=None):
        self._target, self._connection = target, connection
        self._writes = writes or {}
        # By command identifier; two commands with one identifier share a list.
        self.statuses = {cid: [] for cid in cids}
        self.data = {cid: bytearray() for cid in cids}
        # Data of two commands with one identifier cannot be told apart.
        self.ordered = True

    @property
    def count(self):
        """How many commands have completed."""
        return sum(map(len, self.statuses.values()))

    def until(self, count):
        """Whether so many commands completed; else the association has ended. Anything else is a violation."""
        arriving = arrivals(self._connection)
        while self.count < count:
            arrived = next(arriving)
            name = getattr(arrived, "name", "")
            if isinstance(arrived, wire.Closed) or name == "C2HTermReq":
                return False
            if arrived is None:
                self._target.fail(
                    f"{self.count} of {count} commands completed, and the association goes on without the others"
                )
            if isinstance(arrived, wire.Malformed):
                self._target.fail(arrived.message)
            self._take(arrived, name)
        return True

    def _take(self, arrived, name):
        cid = arrived["cid"] if name == "CapsuleResp" else arrived.fields.get("cccid")
        if cid not in self.statuses:
            self._target.fail(f"{arrived!r} came, which belongs to no command that was sent")
        if name == "CapsuleResp":
            self.statuses[cid].append(f"{arrived['sct']:02x}/{arrived['sc']:02x}")
        elif name == "C2HData":
            if self.ordered and arrived["datao"] != len(self.data[cid]):
                self._target.fail(f"{arrived!r} came where byte {len(self.data[cid])} was due")
            self.data[cid] += arrived.data
            if arrived["success"]:
                self.statuses[cid].append("00/00")
        elif name == "R2T":
            data = self._writes.get(cid, b"")
            if not 0 < arrived["r2tl"] <= len(data) - arrived["r2to"]:
                self._target.fail(f"{arrived!r} came for a command with {len(data)} bytes to write")
            answer(self._connection, arrived, data)
        else:
            self._target.fail(f"{arrived!r} came where completions were due")


def all_succeed(target, connection, cids, writes=None):
    """Every one of these commands, which were sent, has to succeed; returns what they read."""
    collector = Collector(target, connection, cids, writes)
    if not collector.until(len(cids)):
        target.fail(f"the association ended after {collector.count} of {len(cids)} commands")
    for cid, statuses in collector.statuses.items():
        if statuses != ["00/00"]:
            target.fail(
                f"command {cid} completed with {', '.join(statuses) or 'nothing'}, expected 00/00 once"
            )
    return {cid: bytes(data) for cid, data in collector.data.items()}
