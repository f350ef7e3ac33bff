"""A session set against an earlier one: what goes better or worse, by test and by worker."""

import json

# What is drawn of a worker that was before.
CURVES = ("started", "interval", "iops_over_time", "percentiles", "histogram")

# A ratio nearer to 1 than this is not worth a colour.
NOISE = 0.05


class BaselineError(Exception):
    """The earlier report cannot be used."""


def load(path):
    """Read an earlier report's JSON file."""
    try:
        with open(path, encoding="utf-8") as file:
            session = json.load(file)
    except (OSError, ValueError) as error:
        raise BaselineError(f"{path}: {error}") from error
    try:
        if session["format"] != 1:
            raise ValueError
        session["path"] = str(path)
        _check(session)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BaselineError(
            f"{path} is no report: --nvme-baseline takes the JSON file that --nvme-report leaves"
        ) from None
    return session


def _check(session):
    """Look at all that a comparison needs, so that none fails when the tests have run."""
    same = {"iops": 0, "latency_mean": 0, "percentiles": []}
    tests = [
        {**test, "workers": [{**same, "workload": worker["workload"]} for worker in test["workers"]]}
        for test in session["tests"]
    ]
    compare({"tests": tests, "devices": []}, session)


def compare(now, before):
    """What changed; workers of the session get the curves of those they are compared with."""
    old = {test["id"]: test for test in before["tests"]}
    new = {test["id"]: test for test in now["tests"]}
    bad = ("failed", "error")
    both = [(old[name], new[name]) for name in new if name in old]
    workers = [pair for was, test in both for pair in _workers(was, test)]
    return {
        "path": before["path"],
        "created": before["created"],
        "devices": _devices(now, before),
        "broken": [test["id"] for was, test in both if test["outcome"] in bad and was["outcome"] not in bad],
        "fixed": [test["id"] for was, test in both if was["outcome"] in bad and test["outcome"] not in bad],
        "missing": [name for name in old if name not in new],
        "added": [name for name in new if name not in old],
        "workers": workers,
    }


def _devices(now, before):
    """What devices say about themselves, where it is not the same: of address, which may be any port, nothing."""

    def said(session, key):
        return sorted({device[key] for device in session["devices"]})

    keys = ("model", "serial", "firmware")
    changes = ((key, said(before, key), said(now, key)) for key in keys)
    return [
        {"what": key, "was": ", ".join(was), "now": ", ".join(new)} for key, was, new in changes if was != new
    ]


def _workers(was, test):
    """Workers in the order they were started, as long as they have the same to do."""
    for number, (before, worker) in enumerate(zip(was["workers"], test["workers"])):
        if before["workload"] != worker["workload"]:
            continue
        worker["before"] = {key: before[key] for key in CURVES}
        yield {
            "test": test["id"],
            "number": number + 1,
            "workload": worker["workload"],
            "iops": _change(before["iops"], worker["iops"], better=1),
            "mean": _change(before["latency_mean"], worker["latency_mean"], better=-1),
            "p99": _change(percentile(before, 99), percentile(worker, 99), better=-1),
            "p999": _change(percentile(before, 99.9), percentile(worker, 99.9), better=-1),
        }


def _change(was, now, better):
    ratio = now / was if was else None
    verdict = ""
    if ratio is not None and abs(ratio - 1) > NOISE:
        verdict = "better" if (ratio - 1) * better > 0 else "worse"
    return {"was": was, "now": now, "ratio": ratio, "verdict": verdict}


def percentile(worker, percent):
    """The latency within which so many percent of a worker's commands completed; 0 if it had none."""
    points = worker["percentiles"]
    return next((us for at, us in points if at >= percent), points[-1][1] if points else 0.0)
