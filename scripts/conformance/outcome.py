"""What became of a test: read from pytest's report, or from how its process ended."""

import dataclasses
import re
import signal
import xml.etree.ElementTree as ET

PASSED, FAILED, ERROR, SKIPPED, CRASHED, TIMEOUT = (
    "passed",
    "failed",
    "error",
    "skipped",
    "crashed",
    "timeout",
)


@dataclasses.dataclass
class Outcome:
    """The outcome of one case."""

    id: str
    outcome: str
    seconds: float
    why: str = ""


def shorten(text, width=160):
    """A text as one line."""
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 1] + "…"


def _reason(message):
    """What pytest says without what differs from run to run and how a comparison came about."""
    return re.sub(r" at 0x[0-9a-f]+", "", message.strip().partition("\n +")[0])


def _line(details, file):
    """Where in the test's file it ended, from pytest's traceback."""
    lines = re.findall(rf"^(?:\S*/)?{re.escape(file)}:(\d+):", details or "", re.MULTILINE)
    return f" (line {lines[-1]})" if lines else ""


def read_report(report, cases):
    """Outcomes by case from a JUnit file of pytest; none if it was never finished."""
    by_name, outcomes = {case.name: case for case in cases}, {}
    try:
        root = ET.parse(report).getroot()
    except (OSError, ET.ParseError):
        return {}
    for entry in root.iter("testcase"):
        case = by_name.get(entry.get("name"))
        if case is None:
            continue
        outcome, why = PASSED, ""
        for child in entry:
            if child.tag in ("failure", "error", "skipped"):
                outcome = {"failure": FAILED, "error": ERROR, "skipped": SKIPPED}[child.tag]
                said = _reason(child.get("message") or child.text or "")
                why = shorten(said) + _line(
                    child.text if outcome != SKIPPED else "", case.id.partition("::")[0]
                )
                break
        before = outcomes.get(case.id)
        # A failure of the test and one of its clean-up are two entries: the first one counts.
        if before is None or before.outcome == PASSED:
            outcomes[case.id] = Outcome(case.id, outcome, float(entry.get("time", 0)), why)
    return outcomes


def _frame(output, file):
    """The innermost frame in the test's file that faulthandler wrote, or the innermost at all."""
    frames = re.findall(r'^  File "([^"]+)", line (\d+) in (\S+)', output, re.MULTILINE)
    ours = [frame for frame in frames if frame[0].endswith(file)] or frames
    return f", in {ours[0][2]} (line {ours[0][1]})" if ours else ""


def of_ended(case, ended):
    """The outcome of a case whose process left no report."""
    file = case.id.partition("::")[0]
    if ended.timed_out:
        where = _frame(ended.output, file)
        return Outcome(case.id, TIMEOUT, ended.seconds, f"no end within {ended.seconds:.0f} s{where}")
    if ended.crashed:
        try:
            name = signal.Signals(-ended.status).name
        except ValueError:
            name = f"signal {-ended.status}"
        return Outcome(case.id, CRASHED, ended.seconds, name + _frame(ended.output, file))
    last = [line for line in ended.output.splitlines() if line.strip()]
    said = shorten(last[-1]) if last else "it printed nothing"
    return Outcome(case.id, CRASHED, ended.seconds, f"ended with status {ended.status}: {said}")
