"""The report: docs/conformance.md, from the outcomes."""

import collections
import os
import pathlib

from outcome import CRASHED, ERROR, FAILED, PASSED, SKIPPED, TIMEOUT

ABOUT = (
    "`driver_test.py`, `scripts/test_examples.py`, and for PCIe the tests in `scripts/psd.py` and `scripts/zns.py` of "
    "pynvme {}, unmodified: over TCP on the embedded NVMe/TCP target ({}), and over PCIe on QEMU's controller, in the "
    "lab. `make conformance` writes this page, and `scripts/conformance/run.py` says how the tests are kept apart; "
    "ratings are what studying the tests says about the transport."
)
NAMES = {"tcp": "TCP", "pcie": "PCIe"}
RATINGS = {
    "Y": "passes on any NVMe/TCP target, on QEMU's controller",
    "C": "passes where that is set up for it, as it is here",
    "P": "partly: only warns, races, or compares timing",
    "S": "skips itself",
    "N": "takes what there is not, or fails on purpose",
    "?": "not rated",
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


def _said(case, outcome):
    """The cells of a case on one transport, but for the reason."""
    said = "failed, as meant" if case.facts.meant_to_fail and is_fine(case, outcome) else outcome.outcome
    return [case.facts.rating, said, f"{outcome.seconds:.1f}"]


def _totals(ran):
    counts = collections.Counter((case.facts.rating, outcome.outcome) for case, outcome in ran)
    rows = []
    for rating, meaning in RATINGS.items():
        row = [counts[rating, outcome] for outcome in OUTCOMES]
        if any(row):
            rows.append([f"{rating}: {meaning}", *map(str, row), str(sum(row))])
    row = [sum(counts[rating, outcome] for rating in RATINGS) for outcome in OUTCOMES]
    return _table(("rating", *OUTCOMES, "sum"), [*rows, ["all", *map(str, row), str(sum(row))]])


def _section(transport):
    """Totals and regressions of one transport."""
    ran = [(case, transport.outcomes[case.id]) for case in transport.cases if case.id in transport.outcomes]
    text = [f"## {NAMES[transport.on]}", "", *_totals(ran), ""]
    if len(ran) < len(transport.cases):
        text += [f"{len(transport.cases) - len(ran)} of {len(transport.cases)} tests have not been run.", ""]
    regressions = [(case, outcome) for case, outcome in ran if is_regression(case, outcome)]
    text += ["Regressions, which are tests rated Y or C that did not pass, and any that crashed or hung:"]
    if not regressions:
        return [*text[:-1], text[-1] + " none.", ""]
    rows = [[f"`{case.id}`", *_said(case, outcome), _cell(outcome.why)] for case, outcome in regressions]
    return [*text, "", *_table(("test", "rating", "outcome", "seconds", "why"), rows), ""]


def render(ids, transports, title, about):
    """The report as text; cases without an outcome were not run."""
    text = [f"# {title}", "", about, ""]
    for transport in transports:
        text += _section(transport)
    head, rows = ["test"], []
    for transport in transports:
        head += [NAMES[transport.on], "outcome", "seconds"]
    by_id = [{case.id: case for case in transport.cases} for transport in transports]
    for id in ids:
        row, why = [f"`{id}`"], []
        for transport, known in zip(transports, by_id):
            outcome = transport.outcomes.get(id)
            row += _said(known[id], outcome) if outcome else ["", "", ""]
            if outcome and outcome.why:
                why.append(
                    f"{NAMES[transport.on]}: {_cell(outcome.why)}"
                    if len(transports) > 1
                    else _cell(outcome.why)
                )
        if any(row[1:]):
            rows.append([*row, "; ".join(why)])
    text += ["## All tests", "", *_table((*head, "why"), rows), ""]
    return "\n".join(text)


def write(file, text):
    """Replace a file in one step."""
    file = pathlib.Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(file.name + ".partial")
    partial.write_text(text)
    os.replace(partial, file)
