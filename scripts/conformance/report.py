"""The report: docs/conformance.md, from the outcomes."""

import collections
import os
import pathlib

from outcome import CRASHED, ERROR, FAILED, PASSED, SKIPPED, TIMEOUT

RATINGS = {
    "Y": "passes on any NVMe/TCP target",
    "C": "passes on a target set up for it, as the embedded one is here",
    "P": "partly: only warns, races, or compares timing",
    "S": "skips itself",
    "N": "takes what a TCP port has not, or fails on purpose",
    "-": "not rated",
}
OUTCOMES = (PASSED, FAILED, ERROR, SKIPPED, CRASHED, TIMEOUT)


def is_regression(case, outcome):
    """A test that should have passed and did not, or one that took the interpreter down with it or hung."""
    if outcome.outcome in (CRASHED, TIMEOUT):
        return True
    return case.facts.rating in ("Y", "C") and outcome.outcome != PASSED


def is_fine(case, outcome):
    """Nothing to look at again."""
    if case.facts.meant_to_fail:
        return outcome.outcome in (FAILED, ERROR)
    return outcome.outcome in (PASSED, SKIPPED) and not is_regression(case, outcome)


def _cell(text):
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")


def _table(head, rows):
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def _row(case, outcome):
    said = "failed, as meant" if case.facts.meant_to_fail and is_fine(case, outcome) else outcome.outcome
    return [f"`{case.id}`", said, f"{outcome.seconds:.1f}", case.facts.rating, _cell(outcome.why)]


def render(cases, outcomes, title, about):
    """The report as text; cases without an outcome were not run."""
    ran = [(case, outcomes[case.id]) for case in cases if case.id in outcomes]
    counts = collections.Counter((case.facts.rating, outcome.outcome) for case, outcome in ran)
    totals = []
    for rating, meaning in RATINGS.items():
        row = [counts[rating, outcome] for outcome in OUTCOMES]
        if any(row):
            totals.append([f"{rating}: {meaning}", *map(str, row), str(sum(row))])
    row = [sum(counts[rating, outcome] for rating in RATINGS) for outcome in OUTCOMES]
    totals.append(["all", *map(str, row), str(sum(row))])

    regressions = [_row(case, outcome) for case, outcome in ran if is_regression(case, outcome)]
    head = ("test", "outcome", "seconds", "rating", "why")
    text = [f"# {title}", "", about, "", "## Totals", "", *_table(("rating", *OUTCOMES, "sum"), totals), ""]
    if len(ran) < len(cases):
        text += [f"{len(cases) - len(ran)} of {len(cases)} tests have not been run.", ""]
    text += ["## Regressions", "", "Tests rated Y or C that did not pass, and any that crashed or hung.", ""]
    text += _table(head, regressions) if regressions else ["None."]
    text += ["", "## All tests", "", *_table(head, [_row(case, outcome) for case, outcome in ran]), ""]
    return "\n".join(text)


def write(file, text):
    """Replace a file in one step."""
    file = pathlib.Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(file.name + ".partial")
    partial.write_text(text)
    os.replace(partial, file)
