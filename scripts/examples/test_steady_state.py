"""Random writes, round after round, until the device is in a steady state: what it does for ever, not what a new one
does for a minute. As in SNIA's Solid State Storage Performance Test Specification.

DURATION=60 make test TESTS=scripts/examples/test_steady_state.py pciaddr=01:00.0
"""

import logging
import statistics

WINDOW = 5
MOST_ROUNDS = 50
# Of a round that lasts about a second on a fast device; DURATION makes rounds longer.
COMMANDS = 50_000


def is_steady(rounds, tolerance):
    """In the last rounds, no value is off by more than 10 % of the average, and the trend over them neither."""
    last = rounds[-WINDOW:]
    if len(last) < WINDOW:
        return False
    average = statistics.mean(last)
    slope = (
        statistics.linear_regression(range(WINDOW), last).slope
        if hasattr(statistics, "linear_regression")
        else 0
    )
    limit = average * tolerance
    return max(last) - min(last) <= 0.2 * limit and abs(slope) * (WINDOW - 1) <= 0.1 * limit


def test_steady_state(nvme0n1, seconds, tolerance):
    # Every block has content before it counts.
    blocks = nvme0n1.id_data(7, 0)
    nvme0n1.ioworker(
        io_size=256, lba_random=False, region_end=blocks, read_percentage=0, qdepth=32
    ).start().close()
    rounds = []
    while not is_steady(rounds, tolerance):
        assert len(rounds) < MOST_ROUNDS, f"no steady state in {MOST_ROUNDS} rounds: {rounds[-WINDOW:]}"
        result = (
            nvme0n1.ioworker(
                io_size=8, lba_align=8, read_percentage=0, io_count=COMMANDS * seconds, qdepth=64
            )
            .start()
            .close()
        )
        assert result.error == 0
        rounds.append(result.iops)
        logging.info("round %2d: %8.0f IOPS", len(rounds), rounds[-1])
    logging.info("steady after %d rounds: %.0f IOPS", len(rounds), statistics.mean(rounds[-WINDOW:]))
