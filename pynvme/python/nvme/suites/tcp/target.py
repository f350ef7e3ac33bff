"""The target as a test sees it: connections in any state, and what a target may do with those that misbehave."""

import contextlib

import pytest

from nvme import wire

# Seconds a target may take to end an association. Those that wait for their own timers take longer.
BOUND = 5
# Seconds in which something that must not come would have come.
QUIET = 0.2

# Fatal Error Status (FES).
HEADER_FIELD, SEQUENCE, HEADER_DIGEST, OUT_OF_RANGE, LIMIT, PARAMETER = 1, 2, 3, 4, 5, 6
FES = {
    HEADER_FIELD: "Invalid PDU Header Field",
    SEQUENCE: "PDU Sequence Error",
    HEADER_DIGEST: "Header Digest Error",
    OUT_OF_RANGE: "Data Transfer Out of Range",
    LIMIT: "Data Transfer Limit Exceeded",
    PARAMETER: "Unsupported Parameter",
}
# Where the fatal error information (FEI) is an offset into the header.
WITH_OFFSET = (HEADER_FIELD, PARAMETER)


def not_applicable(reason):
    """The verdict where there is nothing to test."""
    pytest.skip(f"not applicable: {reason}")


class Target:
    """One test's view of the device."""

    def __init__(self, device, sections):
        self.device, self.facts, self.sections = device, device.facts, sections
        self.connections = []

    @property
    def on_request(self):
        """A length that has to be asked for by R2T: no capsule takes it."""
        block = self.facts.block
        return min(self.facts.in_capsule // block + 1, self.facts.longest // block) * block

    def violation(self, what):
        """What is wrong, and the parts of the specification that say so."""
        where = "; ".join(f'"{section}"' for section in self.sections)
        return f"{what}\nNVMe/TCP or NVMe-oF, {where}"

    def fail(self, what):
        """The verdict of a violation."""
        pytest.fail(self.violation(what), pytrace=False)

    def open(self, **options):
        """A connection on which nothing was sent."""
        connection = self.device.open(**options)
        self.connections.append(connection)
        return connection

    def initialised(self, **options):
        """A connection after ICReq and ICResp."""
        connection = self.open(**options)
        response = connection.initialise()
        missing = options.get("dgst", 0) & ~response["dgst"]
        if missing:
            not_applicable(f"the target does not use {'header' if missing & 1 else 'data'} digests")
        return connection

    def admin(self, **options):
        """The admin queue of a controller of its own, enabled."""
        connection = self.initialised(**options)
        self.cntlid = connection.connect()
        connection.enable()
        return connection

    def io(self, entries=32, **options):
        """An I/O queue of a controller of its own."""
        if self.facts.metadata:
            not_applicable("the namespace has metadata")
        self.admin(**options)
        connection = self.initialised(**options)
        connection.connect(qid=1, entries=entries, cntlid=self.cntlid)
        return connection

    def write(self, cid, length, lba=0, in_capsule=False):
        """A Write command of some bytes."""
        return wire.Command.write(cid, self.facts.nsid, lba, length // self.facts.block, length, in_capsule)

    def read(self, cid, length, lba=0):
        """A Read command of some bytes."""
        return wire.Command.read(cid, self.facts.nsid, lba, length // self.facts.block, length)

    def send(self, connection, what):
        """Sends; a target that closes early may not take everything."""
        with contextlib.suppress(ConnectionError):
            connection.send(what)

    def must_end(self, connection, fes=(), fei=None, judged="end"):
        """The target has to end this association: C2HTermReq, after which closing is up to the host, or it closes.

        That it does, and that it says the right reason, are two verdicts: `judged` says which is asked for.
        """
        if judged == "reason" and not fes:
            not_applicable("the specification names no reason")
        arrived = connection.receive(BOUND)
        if isinstance(arrived, wire.Closed):
            if judged == "reason":
                not_applicable("the target closes without a reason, as it may")
            return
        problem = None
        if arrived is None:
            problem = f"nothing came within {BOUND} s"
        elif isinstance(arrived, wire.Malformed):
            problem = f"what came is no PDU ({arrived.message})"
        elif arrived.name != "C2HTermReq":
            problem = f"the target answered {arrived!r}"
        if problem and judged == "reason":
            not_applicable("the association does not end; that has a verdict of its own")
        if problem:
            self.fail(f"{problem}: the target has to end this association")
        if judged == "reason":
            self._check_reason(arrived, fes, fei)
        self._says_no_more(connection)

    def _check_reason(self, term, fes, fei):
        if term["fes"] not in fes:
            expected = " or ".join(f"{code} ({FES[code]})" for code in fes)
            said = FES.get(term["fes"], "reserved")
            self.fail(f"C2HTermReq says FES {term['fes']} ({said}), expected {expected}")
        if fei is not None and term["fes"] in WITH_OFFSET and term["fei"] != fei:
            self.fail(
                f"C2HTermReq says FEI {term['fei']:#x}, expected {fei:#x}, the offset of the field in error"
            )

    def _says_no_more(self, connection):
        """After C2HTermReq no PDU follows."""
        arrived = connection.receive(QUIET)
        if arrived is not None and not isinstance(arrived, wire.Closed):
            self.fail(f"after C2HTermReq the target sent {arrived!r}")

    def must_fail_or_end(self, connection, cid, data=b"", statuses=()):
        """A command has to fail, or the association to end; no answer at all is a violation, and so is success."""
        outcome = self.outcome(connection, cid, data)
        if outcome is None:
            return
        if outcome.status == "00/00":
            self.fail("the command succeeded")
        if statuses and outcome.status not in statuses:
            self.fail(f"the command failed with status {outcome.status}, expected {' or '.join(statuses)}")

    def must_report_digest(self, connection, cid):
        """A data digest error fails the command with Transient Transport Error, and nothing else."""
        outcome = self.outcome(connection, cid)
        if outcome is None:
            self.fail("the target ended the association: a data digest error fails the command alone")
        if outcome.status != "00/22":
            self.fail(
                f"the command ended with status {outcome.status}, expected 00/22, Transient Transport Error"
            )

    def must_answer_or_end(self, connection, cid, data=b""):
        """Whatever the target makes of it, it does not leave the host waiting."""
        return self.outcome(connection, cid, data)

    def outcome(self, connection, cid, data=b""):
        """What became of a command; None if the target ended the association."""
        try:
            return connection.wait(cid, data)
        except ConnectionError:
            return None
        except TimeoutError:
            self.fail(f"neither an answer nor the end of the association within {BOUND} s")
        except wire.ProtocolError as error:
            self.fail(f"the target violates the protocol: {error}")

    def must_serve(self, connection, sqe=None):
        """This association goes on: an admin queue, or with a command of its own any queue."""
        try:
            outcome = connection.execute(sqe or wire.Command.property_get(99, 0, True))
        except (OSError, wire.ProtocolError) as error:
            self.fail(f"the association should go on: {error}")
        if outcome.status != "00/00":
            self.fail(f"the association goes on, but its next command fails with status {outcome.status}")

    def close(self):
        """All connections."""
        for connection in self.connections:
            connection.close()
