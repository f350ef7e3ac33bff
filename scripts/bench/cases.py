"""What is measured: the same load once by SPDK's perf and once by a worker of this driver."""

from dataclasses import dataclass

BLOCK = 512


@dataclass(frozen=True)
class Case:
    """`in_flight` commands at any time, on both sides."""

    name: str
    write: bool
    random: bool
    size: int
    in_flight: int

    @property
    def pattern(self):
        """As perf calls it."""
        return ("rand" if self.random else "") + ("write" if self.write else "read")

    def load(self, verify, **until):
        """As the worker is asked for it."""
        return {
            "do": "load",
            "write": self.write,
            "random": self.random,
            "blocks": self.size // BLOCK,
            "in_flight": self.in_flight,
            "verify": verify,
            **until,
        }


CASES = [
    *(Case(f"randread-4k-qd{n}", False, True, 4096, n) for n in (1, 16, 63)),
    *(Case(f"randwrite-4k-qd{n}", True, True, 4096, n) for n in (1, 16, 63)),
    Case("seqread-128k-qd16", False, False, 131072, 16),
]

# Of the tool perf, which is run as SPDK's is.
TOOL_CASES = [case for case in CASES if case.name in ("randread-4k-qd16", "seqread-128k-qd16")]
