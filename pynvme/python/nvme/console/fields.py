"""Commands and completions by the names of the specification."""

from __future__ import annotations

import typing

import nvme

if typing.TYPE_CHECKING:
    from .commands import Command


def line(command: Command) -> str:
    """The command in one line, without what is zero."""
    return repr(nvme.decode(command.sqe, qid=command.qid))[1:-1]


def status(command: Command) -> str:
    """How it ended: `02/81 Unrecovered Read Error`."""
    if command.status is None:
        return "in flight"
    return "{:02x}/{:02x} ".format(*command.status) + answer(command).name


def answer(command: Command):
    """Its completion."""
    assert command.cqe is not None, "it is in flight"
    return nvme.decode(command.cqe, "completion", qid=command.qid, command=command.sqe)


def table(command: Command) -> str:
    """All fields of the command, and of its completion."""
    sent = nvme.decode(command.sqe, qid=command.qid)
    ended = "in flight" if command.cqe is None else f"after {command.latency_us:,.1f} us: {answer(command)}"
    return f"queue {command.label}, command {command.sequence}\n\n{sent}\n\n{ended}"


def opcodes() -> list[tuple[str, int, str]]:
    """The commands there are: the kind of queue they are sent on, opcode and name."""
    known = []
    for kind, qid in (("io", 1), ("admin", 0)):
        for opcode in range(256):
            name = nvme.decode(bytes([opcode]) + bytes(63), qid=qid).name
            if not name.startswith(("Unknown ", "Vendor specific ")):
                known.append((kind, opcode, name))
    return known
