"""A report stays small however long a session was: what is large is cut where it says least.

The JSON file has everything; the page has the most important part of it.
"""

# Characters of logs, decoded commands and curves that a page has room for, of 5 MB.
LOGS = 1_800_000
COMMANDS = 900_000
CURVES = 1_300_000

# Even so, what failed is shown in this detail.
LEAST_LOG = 400
LEAST_POINTS = 24

# A worker's value takes about so many characters.
POINT = 16


def shrink(session):
    """Cut what the page cannot show; changes the session."""
    _logs(session["tests"])
    _commands(session["tests"])
    workers = [worker for test in session["tests"] for worker in test["workers"]]
    _curves(workers + [worker["before"] for worker in workers if "before" in worker])


def _logs(tests):
    sections = [section for test in tests for section in test["log"]]
    limit = _limit([len(text) for _, text in sections], LOGS, 1 << 18, LEAST_LOG)
    for section in sections:
        section[1] = cut(section[1], limit)
    for test in tests:
        test["message"] = cut(test["message"], 1 << 14)


def cut(text, limit):
    """The beginning and, as that is where things go wrong, three times as much of the end."""
    if len(text) <= limit:
        return text
    head, tail = limit // 4, limit - limit // 4
    left_out = len(text) - head - tail
    return f"{text[:head]}\n… {left_out} characters are left out, see the JSON file …\n{text[-tail:]}"


def _commands(tests):
    """Fields in full as long as there is room, later only lines."""
    room = COMMANDS
    for test in tests:
        for command in reversed(test["commands"]):
            size = len(str(command["command"] or "")) + len(str(command["completion"] or ""))
            if size > room:
                command["command"] = command["completion"] = None
            else:
                room -= size
            room -= len(command["line"])
        if room < 0:
            del test["commands"][:-8]


def _curves(workers):
    curves = ("iops_over_time", "percentiles", "histogram")
    lengths = [len(worker[curve]) * POINT for worker in workers for curve in curves]
    limit = _limit(lengths, CURVES, 1200 * POINT, LEAST_POINTS * POINT) // POINT
    for worker in workers:
        over_time = worker["iops_over_time"]
        every = -(-len(over_time) // limit) or 1
        groups = [over_time[at : at + every] for at in range(0, len(over_time), every)]
        worker["iops_over_time"] = [short(sum(group) / len(group)) for group in groups]
        worker["interval"] *= every
        worker["percentiles"] = [[round(p, 6), short(us)] for p, us in _thin(worker["percentiles"], limit)]
        worker["histogram"] = [
            [short(low), short(high), n] for low, high, n in _merge(worker["histogram"], limit)
        ]


def _thin(points, limit):
    """Every so many of them, and the last."""
    every = -(-len(points) // limit) or 1
    return points if every == 1 else [*points[:-1:every], points[-1]]


def _merge(bars, limit):
    every = -(-len(bars) // limit) or 1
    groups = [bars[at : at + every] for at in range(0, len(bars), every)]
    return [(group[0][0], group[-1][1], sum(n for _, _, n in group)) for group in groups]


def short(number):
    """Five digits are more than can be seen."""
    return float(f"{number:.5g}")


def _limit(sizes, budget, most, least):
    """The largest limit on each with which all of them stay in the budget."""
    limit = most
    while limit > least and sum(min(size, limit) for size in sizes) > budget:
        limit = max(limit * 3 // 4, least)
    return limit
