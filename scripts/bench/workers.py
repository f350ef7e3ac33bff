"""What a worker costs before it does anything: time to start, memory, and many of them at once."""

import statistics

from sides import worker

TIMES = 50
WORKERS = 16


def costs(target):
    with worker(target) as side:
        started = side.ask({"do": "start", "times": TIMES})["ms"]
        together = side.ask({"do": "together", "workers": WORKERS, "seconds": 1})["ios"]
    with worker(target, "--ordinary-memory") as side:
        memory = side.ask({"do": "memory", "workers": WORKERS})
    return {
        "worker_start_ms": statistics.median(started),
        "worker_start_ms_worst": max(started),
        "workers_at_once": len(together),
        "workers_at_once_fewest_ios": min(together),
        "worker_kib": memory["kib"] - memory["buffers_kib"],
    }
