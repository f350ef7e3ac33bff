"""The live command log: what was found in the logs of the queues, and which commands are wanted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from . import fields
from .counters import Queue

# As many commands are kept.
KEPT = 1000

# As many are asked for at a time: nobody reads more in a second.
ASKED = 100

# The process takes as many queues in a question.
MOST_QUEUES = 64


@dataclass(frozen=True)
class Command:
    """A command, and its completion if it has one."""

    queue: int
    qid: int
    label: str
    sequence: int
    # Microseconds since 1970.
    submitted: int
    sqe: bytes
    latency_ns: int | None
    cqe: bytes | None

    @property
    def key(self):
        """No other command has it."""
        return self.queue, self.sequence

    @property
    def status(self) -> tuple[int, int] | None:
        """Status code type and status code."""
        if self.cqe is None:
            return None
        status = int.from_bytes(self.cqe[14:16], "little") >> 1
        return status >> 8 & 7, status & 0xFF

    @property
    def latency_us(self) -> float:
        """Microseconds it took, as far as it has completed."""
        return (self.latency_ns or 0) / 1000

    @property
    def failed(self) -> bool:
        """Whether it completed with an error."""
        return self.status not in (None, (0, 0))


class FilterError(ValueError):
    """Something in a filter that cannot be understood."""


@dataclass(frozen=True)
class Filter:
    """Which commands are wanted; all of them by default."""

    queue: str = ""
    # Of which kind of queue, where the name of an opcode says so: "admin" or "io".
    kind: str = ""
    parameters: dict = field(default_factory=dict)

    @classmethod
    def parse(cls, queue="", opcode="", status="", lba="") -> Filter:
        """From what people write."""
        kind = ""
        parameters: dict = {}
        if opcode.strip():
            kind, parameters["opcode"] = parse_opcode(opcode.strip())
        if status.strip():
            parameters["status"] = parse_status(status.strip())
        if lba.strip():
            parameters["lba"] = parse_lba(lba.strip())
        return cls(queue.strip().upper(), kind, parameters)

    def wants(self, queue: Queue) -> bool:
        """Whether commands of that queue are wanted."""
        kind = "admin" if queue.qid == 0 else "io"
        return self.queue in ("", queue.label) and self.kind in ("", kind)

    def keeps(self, command: Command) -> bool:
        """Whether a command that was in flight when it was found is still wanted."""
        return self.parameters.get("status") != "in flight" or command.cqe is None


def parse_opcode(text: str) -> tuple[str, int]:
    """A number, or a name or its beginning."""
    if re.fullmatch(r"(0x)?[0-9a-f]{1,2}", text, re.IGNORECASE):
        return "", int(text, 16)
    matching = [one for one in fields.opcodes() if one[2].lower().startswith(text.lower())]
    exactly = [one for one in matching if one[2].lower() == text.lower()]
    chosen = exactly or matching
    if not chosen:
        raise FilterError(f"no command is called {text!r}; opcodes are hexadecimal")
    if len(chosen) > 1:
        raise FilterError("which of " + ", ".join(name for _, _, name in chosen[:6]) + "?")
    kind, opcode, _ = chosen[0]
    return kind, opcode


def parse_status(text: str):
    """As the process takes it: failed, in flight, ok, or type and code."""
    words = {"failed": "failed", "error": "failed", "in flight": "in flight", "ok": [0, 0], "success": [0, 0]}
    for word, meaning in words.items():
        if word.startswith(text.lower()):
            return meaning
    if found := re.fullmatch(r"([0-7]|0[0-7])/([0-9a-f]{1,2})", text, re.IGNORECASE):
        return [int(found[1]), int(found[2], 16)]
    raise FilterError("failed, in flight, ok, or type/code as in 02/81")


def parse_lba(text: str) -> list[int]:
    """One block, or first-last."""
    first, dash, last = text.partition("-")
    try:
        numbers = [int(first, 0), int(last, 0) if dash else int(first, 0)]
    except ValueError:
        raise FilterError("a block, or first-last") from None
    if not 0 <= numbers[0] <= numbers[1] < 1 << 64:
        raise FilterError("first-last, from 0")
    return numbers


class CommandLog:
    """The newest commands that pass a filter. A queue at full speed has more than anybody could look at: of those
    only the newest are here, and those that failed."""

    def __init__(self) -> None:
        self.filter = Filter()
        self.clear()

    def clear(self) -> None:
        """Begin anew with what the process still has."""
        self._commands: dict[tuple[int, int], Command] = {}
        # By queue: the next command, and those that were in flight.
        self._places: dict[int, tuple[int, list[int]]] = {}
        # By queue: when the process told about it last, counted in answers.
        self._told: dict[int, int] = {}
        self._answers = 0
        self.unseen = 0

    def question(self, queues: Iterable[Queue]):
        """What to ask the process for, and the queues that are asked."""
        wanted = [queue for queue in queues if self.filter.wants(queue)]
        for handle in self._places.keys() - {queue.handle for queue in wanted}:
            self._leave(handle)
        # There may be more than fit into a question or its answer: those that have waited for longest come first.
        asked = sorted(wanted, key=lambda queue: self._told.get(queue.handle, 0))[:MOST_QUEUES]
        places = [[queue.handle, *self._places.get(queue.handle, (0, []))] for queue in asked]
        return {"queues": places, "most": ASKED, **self.filter.parameters}, asked

    def absorb(self, answer: dict, asked: list[Queue]) -> None:
        """Take in the answer."""
        self.unseen = 0
        self._answers += 1
        # Not all that were asked for may have fitted: those that are missing stay as they are.
        for queue, news in zip(asked, answer["queues"]):
            self._told[queue.handle] = self._answers
            if news is None:
                self._leave(queue.handle)
                continue
            # What was there before anybody looked was not missed.
            if queue.handle in self._places:
                self.unseen += news["unseen"]
            self._places[queue.handle] = (news["next"], news["in_flight"])
            self._forget(queue.handle, set(news["in_flight"]))
            for sequence, submitted, sqe, latency, cqe in news["commands"]:
                command = Command(
                    queue.handle,
                    queue.qid,
                    queue.label,
                    sequence,
                    submitted,
                    bytes.fromhex(sqe),
                    latency,
                    bytes.fromhex(cqe) if cqe else None,
                )
                self._commands[command.key] = command
        if len(self._commands) > KEPT:
            self._commands = {command.key: command for command in self.newest()[:KEPT]}

    def _leave(self, handle: int) -> None:
        """A queue that is gone, or not wanted any more."""
        if self._places.pop(handle, None) is not None:
            self._forget(handle, set())

    def _forget(self, queue: int, in_flight: set[int]) -> None:
        """Commands that are not in flight any more; how they ended comes with the answer, if anybody knows."""
        gone = [
            key
            for key, command in self._commands.items()
            if key[0] == queue and command.cqe is None and key[1] not in in_flight
        ]
        for key in gone:
            del self._commands[key]

    def newest(self) -> list[Command]:
        """Newest first."""
        wanted = (command for command in self._commands.values() if self.filter.keeps(command))
        return sorted(wanted, key=lambda command: (command.submitted, command.sequence), reverse=True)
