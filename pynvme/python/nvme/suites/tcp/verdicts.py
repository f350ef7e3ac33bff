"""What a target may do with a host that misbehaves, and what it must do for one that does not."""

import pytest

from nvme import wire

# Seconds a target may take to end an association, or to answer: the suite's choice, as the specifications name
# none. What waits for timers of its own is told apart.
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
# What the fatal error information (FEI) is.
FEI = {
    HEADER_FIELD: "the offset of the field in error",
    PARAMETER: "the offset of the field in error",
    HEADER_DIGEST: "the header digest that was received",
}


def not_applicable(reason):
    """The verdict where there is nothing to test."""
    pytest.skip(f"not applicable: {reason}")


def fatal(*codes, fei=None):
    """What C2HTermReq may say: the FEI by FES, None for any. Only some FES have a FEI."""
    return {code: fei if code in (HEADER_FIELD, PARAMETER) else None for code in codes}


class Verdicts:
    """Verdicts of a test, each with the parts of the specification it is about."""

    def __init__(self, sections):
        self.sections = sections

    def violation(self, what):
        """What is wrong, and the parts of the specification that say so."""
        where = "; ".join(f'"{section}"' for section in self.sections)
        return f"{what}\nNVMe/TCP or NVMe-oF, {where}"

    def fail(self, what):
        """The verdict of a violation."""
        pytest.fail(self.violation(what), pytrace=False)

    def must_end(self, connection, reasons=None, judged="end", header=b""):
        """The target has to end this association: C2HTermReq, after which closing is up to the host, or it closes.

        That it does, and that it says the right reason, are two verdicts: `judged` says which is asked for.
        `header` has the bytes of the PDU in error, from its beginning.
        """
        if judged == "reason" and not reasons:
            not_applicable("the specification names no reason")
        arrived = connection.receive(BOUND)
        if isinstance(arrived, wire.Closed):
            if judged == "reason":
                not_applicable("the target closes without a reason, as one that cannot say it may")
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
            self._check_reason(arrived, reasons, header)
        self._says_no_more(connection)

    def _check_reason(self, term, reasons, header):
        fes, fei = term["fes"], term["fei"]
        if fes not in reasons:
            expected = " or ".join(f"{code} ({FES[code]})" for code in reasons)
            self.fail(f"C2HTermReq says FES {fes} ({FES.get(fes, 'reserved')}), expected {expected}")
        if reasons[fes] is not None and fei != reasons[fes]:
            self.fail(f"C2HTermReq says FEI {fei:#x}, expected {reasons[fes]:#x}, {FEI[fes]}")
        if header and not header.startswith(term.data):
            self.fail("the data of C2HTermReq is not the header of the PDU in error")

    def _says_no_more(self, connection):
        """After C2HTermReq no PDU follows."""
        arrived = connection.receive(QUIET)
        if arrived is not None and not isinstance(arrived, wire.Closed):
            self.fail(f"after C2HTermReq the target sent {arrived!r}")

    def must_close(self, connection, within):
        """The target has to close this connection; what it says before does not matter."""
        if not isinstance(connection.receive_until_closed(within)[-1], wire.Closed):
            self.fail(f"{within} s later the connection is still open: the target has to close it")

    def must_fail_or_end(self, connection, cid, data=b"", statuses=(), never=()):
        """A command has to fail, or the association to end; no answer at all is a violation, and so is success."""
        outcome = self.outcome(connection, cid, data)
        if outcome is None:
            return
        if outcome.status == "00/00":
            self.fail("the command succeeded")
        if outcome.status in never or (statuses and outcome.status not in statuses):
            expected = " or ".join(statuses) or "another one"
            self.fail(f"the command failed with status {outcome.status}, expected {expected}")

    def must_refuse(self, connection, cid, statuses=()):
        """A Connect has to fail, and by a status of its own: Invalid Field in Command is for other commands."""
        self.must_fail_or_end(connection, cid, statuses=statuses, never=("00/02",))

    def must_report_digest(self, connection, cid, data=b""):
        """A data digest error fails the command with Transient Transport Error, and nothing else."""
        outcome = self.outcome(connection, cid, data)
        if outcome is None:
            self.fail("the target ended the association: a data digest error fails the command alone")
        if outcome.status != "00/22":
            self.fail(
                f"the command ended with status {outcome.status}, expected 00/22, Transient Transport Error"
            )

    def must_answer_or_end(self, connection, cid, data=b""):
        """Whatever the target makes of it, it does not leave the host waiting."""
        return self.outcome(connection, cid, data)

    def must_succeed(self, outcome, what):
        """A command that is right is carried out."""
        if outcome is None:
            self.fail(f"{what}: the association ended")
        if outcome.status != "00/00":
            self.fail(f"{what} failed with status {outcome.status}")
        return outcome

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
