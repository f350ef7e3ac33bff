"""A report stays small however long a session was: what is large is cut where it says least.

The JSON file has everything; the page has the most important part of it.
"""

# The largest page.
LIMIT = 5_000_000

# Characters of logs and messages, commands and curves that a page has room for at first.
LOGS = 1_500_000
COMMANDS = 1_000_000
CURVES = 1_000_000

# Even so, what failed is shown in this detail.
LEAST_LOG = 300
LEAST_COMMANDS = 3
LEAST_POINTS = 24

# Warnings of a test, and characters of each.
WARNINGS = 100
WARNING = 1 << 12

# Outcomes that are kept whatever happens.
BAD = ("failed", "error")

# About what a value of a curve, and what is around a command, takes.
POINT = 22
ROW = 420


def fit(session, render):
    """The page that render() makes of a session, cut until it is small enough; changes the session."""
    uncut = _texts(session["tests"])
    for scale in (1, 1 / 4, 1 / 32):
        shrink(session, scale, uncut)
        page = render(session)
        if _size(page) < LIMIT:
            return page
    for test in session["tests"]:
        if test["outcome"] not in BAD:
            for key in ("workers", "log", "warnings", "commands"):
                test[key] = []
    page = render(session)
    while (size := _size(page)) >= LIMIT and session["tests"]:
        # Nine tenths, as what is around the tests takes room as well.
        _leave_out(session, len(session["tests"]) * LIMIT * 9 // (size * 10))
        page = render(session)
    return page


def _size(page):
    return len(page.encode(errors="backslashreplace"))


def _leave_out(session, most):
    """Keep so many tests, in their order: those that failed first of all."""
    tests = session["tests"]
    places = sorted(range(len(tests)), key=lambda place: tests[place]["outcome"] not in BAD)
    session["tests"] = [tests[place] for place in sorted(places[:most])]
    session["left_out"] = session.get("left_out", 0) + len(tests) - len(session["tests"])


def shrink(session, scale, uncut):
    """Cut what a page has no room for."""
    tests = session["tests"]
    _logs(tests, LOGS * scale, uncut)
    _commands(tests, COMMANDS * scale)
    for test in tests:
        test.setdefault("warned", len(test["warnings"]))
        del test["warnings"][max(3, int(WARNINGS * scale)) :]
        for warning in test["warnings"]:
            warning["text"] = cut(
                warning.setdefault("uncut", warning["text"]), max(LEAST_LOG, int(WARNING * scale))
            )
    workers = [worker for test in tests for worker in test["workers"]]
    _curves(workers + [worker["before"] for worker in workers if "before" in worker], scale)


def _texts(tests):
    """Logs and messages as they were: what was cut already cannot tell how much is left out."""
    return [([text for _, text in test["log"]], test["message"]) for test in tests]


def _logs(tests, room, uncut):
    limit = _limit(
        [len(text) for log, message in uncut for text in (*log, message)], room, 1 << 18, LEAST_LOG
    )
    for test, (log, message) in zip(tests, uncut):
        for section, text in zip(test["log"], log):
            section[1] = cut(text, limit)
        test["message"] = cut(message, min(limit, 1 << 14))


def cut(text, limit):
    """The beginning and, as that is where things go wrong, three times as much of the end."""
    if len(text) <= limit:
        return text
    head, tail = limit // 4, limit - limit // 4
    left_out = len(text) - head - tail
    return f"{text[:head]}\n… {left_out} characters are left out, see the JSON file …\n{text[-tail:]}"


def _commands(tests, room):
    """Fields in full as long as there is room, later only lines, and then only few of them."""
    for test in tests:
        if room < 0:
            del test["commands"][:-LEAST_COMMANDS]
        for command in reversed(test["commands"]):
            # Twice, as each field becomes a row of a table.
            size = 2 * (len(str(command["command"] or "")) + len(str(command["completion"] or "")))
            if size > room:
                command["command"] = command["completion"] = None
                size = 0
            room -= size + len(command["line"]) + ROW


def _curves(workers, scale):
    curves = ("iops_over_time", "percentiles", "histogram")
    lengths = [len(worker[curve]) * POINT for worker in workers for curve in curves]
    least = max(8, int(LEAST_POINTS * scale))
    limit = _limit(lengths, CURVES * scale, 1200 * POINT, least * POINT) // POINT
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


def _limit(sizes, room, most, least):
    """The largest limit on each with which all of them have room."""
    limit = most
    while limit > least and sum(min(size, limit) for size in sizes) > room:
        limit = max(limit * 3 // 4, least)
    return limit
