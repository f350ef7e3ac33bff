"""What came of the runs, from pytest's XML, as a page."""

import collections
import dataclasses
import re
import xml.etree.ElementTree as ET

# What pytest says before it.
BEFORE_THE_REASON = re.compile(r'^(failed on (setup|teardown) with ")?(Failed: )?')

HEAD = """# Results of the NVMe/TCP suite

Written by `make tcp-suite`, which runs [nvme.suites.tcp](tcp-suite.md) on two targets that this project has not
written. A test that fails has found a violation of the specification it names; the bytes sent and received are in
[tcp-suite.md](tcp-suite.md#what-was-found), and in a capture of every run.
"""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Of one test on one target."""

    chapter: str
    function: str
    parameters: str
    kind: str  # passed, failed, not applicable
    reason: str = ""
    sections: tuple = ()


@dataclasses.dataclass(frozen=True)
class Run:
    """On one target."""

    target: str
    seconds: float
    verdicts: list


def read(file):
    """A run, from its XML."""
    suite = ET.parse(file).getroot().find("testsuite")
    said = {one.get("name"): one.get("value") for one in suite.iterfind("properties/property")}
    return Run(said["target"], float(suite.get("time")), [_verdict(case) for case in suite.iter("testcase")])


def _verdict(case):
    chapter = case.get("classname").rsplit(".", 1)[-1].removeprefix("test_")
    function, _, parameters = case.get("name").rstrip("]").partition("[")
    kind, reason = "passed", ""
    for tag, name in (("skipped", "not applicable"), ("failure", "failed"), ("error", "failed")):
        if (found := case.find(tag)) is not None:
            kind, reason = name, BEFORE_THE_REASON.sub("", found.get("message").split("\n")[0])
            break
    sections = tuple(
        one.get("value") for one in case.iterfind("properties/property") if one.get("name") == "section"
    )
    return Verdict(chapter, function, parameters, kind, reason, sections)


def page(runs):
    """Both tables."""
    lines = [HEAD]
    for number, run in enumerate(runs, 1):
        lines.append(f"{number}. {run.target}: {len(run.verdicts)} tests in {run.seconds:.0f} s")
    lines += ["", "## By chapter", "", *_chapters(runs), "", "## What failed", "", *_failures(runs), ""]
    return "\n".join(lines)


def _chapters(runs):
    """How many passed, failed, and did not apply."""
    kinds = ("passed", "failed", "not applicable")
    columns = [f"{number}: {kind}" for number in range(1, len(runs) + 1) for kind in kinds]
    yield "| chapter | " + " | ".join(columns) + " |"
    yield "|---|" + "---|" * len(columns)
    counts = [collections.Counter((v.chapter, v.kind) for v in run.verdicts) for run in runs]
    for chapter in sorted({v.chapter for run in runs for v in run.verdicts}):
        cells = [str(count[chapter, kind]) for count in counts for kind in kinds]
        yield f"| `test_{chapter}` | " + " | ".join(cells) + " |"
    totals = [sum(n for (_, k), n in count.items() if k == kind) for count in counts for kind in kinds]
    yield "| all | " + " | ".join(map(str, totals)) + " |"


def _failures(runs):
    """Tests of one function with one outcome share a line."""
    yield "| test | part of the specification | 1 | 2 |"
    yield "|---|---|---|---|"
    found = {}
    for column, run in enumerate(runs):
        for verdict in run.verdicts:
            place = found.setdefault(
                (verdict.chapter, verdict.function, verdict.parameters), [None] * len(runs)
            )
            place[column] = verdict
    groups = {}
    for (chapter, function, parameters), verdicts in found.items():
        if any(verdict and verdict.kind == "failed" for verdict in verdicts):
            sections = next(verdict.sections for verdict in verdicts if verdict)
            cells = tuple(_cell(verdict) for verdict in verdicts)
            groups.setdefault((chapter, function, sections, cells), []).append(parameters)
    for (_, function, sections, cells), parameters in sorted(groups.items(), key=lambda item: item[0][:2]):
        which = f"`{function}`" + (
            ": " + ", ".join(f"`{_escaped(one)}`" for one in parameters) if any(parameters) else ""
        )
        yield f"| {which} | {'; '.join(sections)} | " + " | ".join(cells) + " |"


def _cell(verdict):
    if verdict is None:
        return ""
    return f"**{_escaped(_general(verdict.reason))}**" if verdict.kind == "failed" else verdict.kind


def _general(reason):
    """Without what differs from run to run, and from one alignment to the next."""
    reason = re.sub(r"\b(cqe|data)=[0-9a-f]+", r"\1=…", reason)
    return re.sub(r"\b(HPDA) \d+", r"\1 …", reason)


def _escaped(text):
    return text.replace("|", "\\|").replace("<", "\\<")
