"""The result of a worker: a dict whose keys are attributes, too."""

from __future__ import annotations

import typing


class _DotDict(dict[str, typing.Any]):
    """Access items as attributes."""

    # Commands with opcode 2, all others, and those with opcode 1.
    io_count_read: int
    io_count_nonread: int
    io_count_write: int
    # How long it ran.
    mseconds: int
    latency_max_us: int
    latency_average_us: int
    # Busy time by run time, 0 to 1.
    cpu_usage: float
    # (sct << 8) + sc of the first command that failed; 0 for none.
    error: int
    # Only with output_io_per_second.
    iops_consistency: float
    # Commands by microseconds; only with output_percentile_latency.
    latency_distribution: list[int]
    # What the original does not tell.
    iops: float
    bytes_per_second: float
    # Upper bounds in microseconds, and how many commands stayed below.
    latency_octaves_us: list[tuple[float, int]]

    # What else there may be, a type checker need not believe.
    if not typing.TYPE_CHECKING:

        def __getattr__(self, name):
            try:
                return self[name]
            except KeyError:
                raise AttributeError(name) from None

        __setattr__ = dict.__setitem__
        __delattr__ = dict.__delitem__
