"""python in_lab.py FILE: runs units of cases in the lab's guest; lab.py writes the file and reads the standard output.

That is a line of JSON when a unit begins, and one with its outcomes when it has ended. A device that is not in order
after a unit ends the run: the next one is to find a device as a user would.
"""

import contextlib
import dataclasses
import json
import pathlib
import sys
import types

import isolate
from cases import Case, Facts, environment
from forks import Forks
from outcome import PASSED, SKIPPED, shorten
from runner import Runner

HERE = pathlib.Path(__file__).resolve().parent

# Looking through all that is installed for plugins takes seconds here, as does looking at tests that do not run.
PLUGINS = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "nvme.pytest_plugin,narrow"}

# Seconds in which a device shows that it is in order.
USABLE = 90


def say(**what):
    print(json.dumps(what), flush=True)


def unusable(address, driver, thorough, start):
    """What is wrong with the device, or nothing."""
    device = pathlib.Path("/sys/bus/pci/devices", address)
    if not device.exists():
        return "the device is gone"
    bound = device / "driver"
    if not bound.exists() or bound.resolve().name != driver:
        return f"the device is bound to {bound.resolve().name if bound.exists() else 'no driver'}, not to {driver}"
    if not thorough:
        return ""
    command = [sys.executable, "-m", "usable", address]
    ended = isolate.run(command, cwd=HERE, limit=USABLE, start=start)
    said = ended.output.strip().splitlines() or ["it says nothing"]
    return (
        "" if ended.status == 0 else f"after it, {shorten(said[-1]) if not ended.timed_out else 'all hangs'}"
    )


def main(file):
    work = json.loads(pathlib.Path(file).read_text())
    address, folder = work["address"], pathlib.Path(work["folder"])
    variables = {**environment(work["cache"]), **PLUGINS}
    driver = pathlib.Path("/sys/bus/pci/devices", address, "driver").resolve().name
    outcomes = []
    with Forks(variables) as forks:
        device = contextlib.nullcontext(types.SimpleNamespace(address=address))
        runner = Runner(
            folder,
            work["logs"],
            lambda _, outcome: outcomes.append(outcome),
            variables,
            lambda _: device,
            forks.start,
        )
        for unit in work["units"]:
            cases = [Case(case["id"], Facts(**case["facts"])) for case in unit]
            # Together first, then each again by itself: no unit takes longer.
            say(begin=cases[0].id, seconds=cases[0].facts.limit * (len(cases) + 1) + USABLE)
            outcomes.clear()
            runner.unit(cases)
            passed = all(outcome.outcome in (PASSED, SKIPPED) for outcome in outcomes)
            trouble = unusable(address, driver, not passed, forks.start)
            say(outcomes=[dataclasses.asdict(outcome) for outcome in outcomes], unusable=trouble)
            if trouble:
                break


if __name__ == "__main__":
    main(sys.argv[1])
