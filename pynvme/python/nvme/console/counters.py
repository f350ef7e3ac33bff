"""What the queues have counted, and how fast: now and over the last minute."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

# As many seconds are remembered.
MINUTE = 60

BARS = "▁▂▃▄▅▆▇█"


@dataclass
class Rate:
    """Something per second."""

    now: float | None = None
    seconds: deque = field(default_factory=lambda: deque(maxlen=MINUTE))

    def add(self, amount: float, seconds: float) -> None:
        """So much came in so much time."""
        self.now = amount / seconds
        self.seconds.extend([self.now] * max(1, min(round(seconds), MINUTE)))

    def sparkline(self, width: int) -> str:
        """The last minute, newest at the right, against its own maximum."""
        per_column = -(-MINUTE // width)
        seconds = list(self.seconds)
        # Full columns from the right, so that they do not change their neighbours as time goes on.
        columns = [seconds[max(0, end - per_column) : end] for end in range(len(seconds), 0, -per_column)]
        means = [sum(column) / len(column) for column in reversed(columns)]
        most = max(means, default=0)
        if most == 0:
            return "".rjust(width)
        return "".join(BARS[min(7, int(8 * mean / most))] for mean in means)[-width:].rjust(width)


@dataclass
class Queue:
    """A queue pair of the process."""

    handle: int
    controller: int
    qid: int
    # As it is called here: the number, after a letter for the controller where there are several.
    label: str = ""
    depth: int = 0
    in_flight: int = 0
    completed: int = 0
    failed: int = 0
    bytes: int = 0
    iops: Rate = field(default_factory=Rate)
    bandwidth: Rate = field(default_factory=Rate)

    @property
    def key(self):
        """No other queue has it."""
        return self.handle


class Counters:
    """The queues of the process, one answer after the other."""

    def __init__(self) -> None:
        self.controllers: list[dict] = []
        self.queues: dict[int, Queue] = {}
        # All of them, also those that are gone since.
        self.total = Queue(0, 0, 0, "all")
        self._now: int | None = None

    def absorb(self, answer: dict) -> None:
        """Take in an answer to nvme_queues."""
        seconds = 0 if self._now is None else (answer["now"] - self._now) / 1e6
        self._now = answer["now"]
        self.controllers = answer["controllers"]
        before, self.queues = self.queues, {}
        news = {"completed": 0, "failed": 0, "bytes": 0}
        for row in answer["queues"]:
            queue = before.get(row["queue"]) or Queue(row["queue"], row["controller"], row["qid"])
            self.queues[queue.handle] = queue
            queue.controller = row["controller"]
            queue.label = self.label(queue)
            queue.depth, queue.in_flight = row["depth"], row["in_flight"]
            for name in news:
                news[name] += row[name] - getattr(queue, name)
            if seconds > 0:
                queue.iops.add(row["completed"] - queue.completed, seconds)
                queue.bandwidth.add(row["bytes"] - queue.bytes, seconds)
            for name in news:
                setattr(queue, name, row[name])
        total = self.total
        total.in_flight = sum(queue.in_flight for queue in self.queues.values())
        for name, amount in news.items():
            setattr(total, name, getattr(total, name) + amount)
        if seconds > 0:
            total.iops.add(news["completed"], seconds)
            total.bandwidth.add(news["bytes"], seconds)

    def label(self, queue: Queue) -> str:
        """0 and 1, or A0, A1, B0."""
        if len(self.controllers) < 2:
            return str(queue.qid)
        return f"{chr(ord('A') + queue.controller % 26)}{queue.qid}"
