"""What is collected while tests run: a pytest plugin of its own, there only when a report was asked for.

What belongs to a test travels on its reports, as the attribute `nvme`, so that it arrives where they are put together
also when pytest-xdist runs the tests in other processes.
"""

import bisect
import datetime
import json
import os
import pathlib
import platform
import re
import time

import pytest

import nvme as d

from . import budget, compare, page

# Commands that are kept of a test that fails.
KEPT = 64

# As many workers of a test keep their curves: the page shows no more of them.
WITH_CURVES = 64
CURVES = ("iops_over_time", "percentiles", "histogram")

CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f]")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

# What an identity is made of; the rest of a survey is details.
IDENTITY = ("address", "model", "serial", "firmware", "subnqn")


class Recorder:
    """Collects a session, and writes the report at its end."""

    def __init__(self, config, path, baseline):
        self.config = config
        self.path = pathlib.Path(path)
        self.baseline = baseline
        self.begin = time.time()
        self.tests = {}
        self.devices = {}
        # Their start, and all of each as JSON, which takes a third of what Python makes of it.
        self.workers = []
        # The firmware by model and serial number, of controllers that were described already.
        self.known = {}
        self.written = None

    # In the process that runs a test.

    def pytest_configure(self):
        """Workers report when they are closed."""
        d._nvme.observe_workers(self._worker)

    def pytest_unconfigure(self):
        """Nothing is held after the session."""
        d._nvme.observe_workers(None)

    def _worker(self, record):
        """In the order of their start; beyond those that the page shows, without curves."""
        worker = json.loads(record)["started"], record
        place = bisect.bisect(self.workers, worker)
        self.workers.insert(place, worker)
        if len(self.workers) > WITH_CURVES:
            place = max(place, WITH_CURVES)
            started, record = self.workers[place]
            without = {**json.loads(record), **{curve: [] for curve in CURVES}}
            self.workers[place] = started, json.dumps(without)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self):
        """Before each test."""
        self.workers.clear()
        d._seed = None

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item, call):
        """After each phase of a test, while its fixtures still are there."""
        outcome = yield
        report = outcome.get_result()
        found = {"start": call.start, "seed": d._seed, "workers": [text for _, text in self.workers]}
        self.workers.clear()
        failed = report.failed or hasattr(report, "wasxfail")
        found["devices"] = [self._describe(one) for one in d._nvme.survey() if one["model"]]
        if failed:
            found["commands"] = d._nvme.last_commands(KEPT)
        report.nvme = found

    def _describe(self, device):
        """What a controller says about itself: in full once, and then when its firmware has changed."""
        described = {key: device[key] for key in IDENTITY}
        key = device["model"], device["serial"]
        if self.known.get(key) != device["firmware"]:
            self.known[key] = device["firmware"]
            described["identify"] = d.decode(device["identify"], "identify controller").as_dict()
        return described

    # In the process that puts reports together.

    def pytest_runtest_logreport(self, report):
        """Take in one phase of a test."""
        if not hasattr(report, "nvme") or hasattr(self.config, "workerinput"):
            return
        test = self._test(report.nodeid)
        found = report.nvme
        # pytest keeps its reports.
        del report.nvme
        test["start"] = min(test["start"] or found["start"], found["start"])
        test["seconds"] += report.duration
        test["seed"] = found["seed"] if found["seed"] is not None else test["seed"]
        test["workers"] += found["workers"]
        for device in found["devices"]:
            identity = {key: device[key] for key in IDENTITY}
            # By what does not change, of which targets that come and go have the same. The newest wins: firmware may
            # have been activated.
            if "identify" in device:
                self.devices[device["model"], device["serial"]] = device
            if identity not in test["devices"]:
                test["devices"].append(identity)
        outcome = _outcome(report)
        if _rank(outcome) > _rank(test["outcome"]):
            test["outcome"] = outcome
        if report.failed or hasattr(report, "wasxfail"):
            test["commands"] = found.get("commands") or test["commands"]
        if report.longrepr and report.outcome != "passed":
            test["message"] = _plain(_reason(report))
        # Each phase has the sections of those before it.
        test["log"] = [[title, _plain(text)] for title, text in report.sections if text.strip()]

    def pytest_warning_recorded(self, warning_message, nodeid):
        """Take in a warning of a test; those of the collection belong to none."""
        if nodeid and not hasattr(self.config, "workerinput"):
            where = f"{os.path.basename(warning_message.filename)}:{warning_message.lineno}"
            text, kind = _plain(str(warning_message.message)), warning_message.category.__name__
            self._test(nodeid)["warnings"].append({"text": text, "category": kind, "where": where})

    def _test(self, nodeid):
        if nodeid not in self.tests:
            self.tests[nodeid] = {
                "id": nodeid,
                "outcome": "",
                "start": 0.0,
                "seconds": 0.0,
                "seed": None,
                "devices": [],
                "message": "",
                "warnings": [],
                "log": [],
                "commands": [],
                "workers": [],
            }
        return self.tests[nodeid]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self):
        """Write the report, where the reports of all tests are."""
        if hasattr(self.config, "workerinput"):
            return
        session = self.session()
        data = self.path.with_suffix(".json")
        with data.open("w", encoding="utf-8", errors="backslashreplace") as file:
            json.dump(session, file)
        comparison = compare.compare(session, self.baseline) if self.baseline else None
        text = budget.fit(session, lambda session: page.render(session, comparison))
        self.path.write_text(text, encoding="utf-8", errors="backslashreplace")
        self.written = (self.path, data)

    def pytest_terminal_summary(self, terminalreporter):
        """Say where it is."""
        if self.written:
            html, data = self.written
            size = html.stat().st_size / 1024
            terminalreporter.write_line(f"NVMe report: {html} ({size:.0f} KiB), the data in {data}")

    def session(self):
        """Everything, as the JSON file has it."""
        tests = [test for test in self.tests.values() if test["outcome"]]
        for test in tests:
            # They came as they were closed.
            workers = map(json.loads, test["workers"])
            test["workers"] = sorted(workers, key=lambda worker: worker["started"])
        outcomes = [test["outcome"] for test in tests]
        return {
            "format": 1,
            "created": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "seconds": time.time() - self.begin,
            "command": _command_line(self.config),
            "host": {
                "name": platform.node(),
                "kernel": platform.release(),
                "cores": os.cpu_count(),
                "python": platform.python_version(),
                "pytest": pytest.__version__,
                "spdk": d.spdk_version,
            },
            "summary": {outcome: outcomes.count(outcome) for outcome in ORDER if outcome in outcomes},
            "devices": list(self.devices.values()),
            "tests": tests,
        }


# From what matters least to what matters most.
ORDER = ("passed", "skipped", "xfailed", "xpassed", "failed", "error")


def _rank(outcome):
    """Outcomes that other plugins make up say nothing."""
    return ORDER.index(outcome) if outcome in ORDER else -1


def _outcome(report):
    """What a phase says about its test; nothing, unless it is the call or went wrong."""
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    if report.when == "call" or not report.passed:
        return "error" if report.failed and report.when != "call" else report.outcome
    return ""


def _reason(report):
    if report.skipped and isinstance(report.longrepr, tuple):
        return report.longrepr[2]
    return report.longreprtext


def _plain(text):
    """Without escape sequences of terminals, and with characters that every file can hold."""
    return CONTROLS.sub("\N{REPLACEMENT CHARACTER}", ESCAPES.sub("", text))


def _command_line(config):
    return " ".join(["pytest", *map(str, config.invocation_params.args)])
