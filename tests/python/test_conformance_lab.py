"""What the conformance runner makes of guests that do everything a guest can do wrong. No guest is booted."""

import json
import pathlib
import sys

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "scripts/conformance"

HANGS, DIES = "hangs", "dies"


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs cases in scripted guests; returns what became of them, and what each guest was given."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setattr(sys, "path", list(sys.path))
    import cases
    import lab

    def run(ids, behaviour, together=()):
        """behaviour(case, ran): the outcome of a case, with what is wrong afterwards, where these ran before it."""
        given = []

        class Guest:
            def __init__(self, *_):
                self.units = json.loads((tmp_path / "in_lab.json").read_text())["units"]
                given.append([case["id"] for unit in self.units for case in unit])

            def __enter__(self):
                if behaviour is None:
                    raise lab.LabError("no QEMU", "fetch it")
                return self

            def __exit__(self, *_):
                pass

            def run(self, write, deadline):
                ran = []
                for unit in self.units:
                    write(b'{"begin": "it", "seconds": 5}\nnoise\n')
                    outcomes, trouble = [], ""
                    for case in unit:
                        outcome, trouble = behaviour(case["id"], ran)
                        if outcome == HANGS:
                            raise TimeoutError
                        if outcome == DIES:
                            raise lab.LabError("no more", "try again")
                        outcomes.append({"id": case["id"], "outcome": outcome, "seconds": 1.0, "why": ""})
                        ran.append(case["id"])
                    line = json.dumps({"outcomes": outcomes, "unusable": trouble}).encode() + b"\n"
                    write(line[:9])
                    write(line[9:])
                    if trouble:
                        break
                return 0

        monkeypatch.setattr(lab, "Guest", Guest)
        monkeypatch.setattr(lab, "LAB", tmp_path)
        (tmp_path / "setup").write_text("#!/bin/sh\n")
        (tmp_path / "setup").chmod(0o755)
        found = {}
        work = lab.Lab(tmp_path, tmp_path, lambda case, outcome: found.update({case.id: outcome}), tmp_path)
        known = [cases.Case(id, cases.Facts(together=id.partition("[")[0] in together)) for id in ids]
        try:
            work.run(known)
        finally:
            run.given = given
        return {id: outcome.outcome for id, outcome in found.items()}, found

    return run


def test_one_guest_runs_them_all(run):
    outcomes, _ = run("abc", lambda case, _: ("failed" if case == "b" else "passed", ""))
    assert outcomes == {"a": "passed", "b": "failed", "c": "passed"}
    assert run.given == [["a", "b", "c"]]


@pytest.mark.parametrize("how, outcome", [(HANGS, "timeout"), (DIES, "crashed")])
def test_the_next_guest_goes_on_after_the_case_that_ended_one(run, how, outcome):
    outcomes, _ = run("abc", lambda case, _: (how if case == "b" else "passed", ""))
    assert outcomes == {"a": "passed", "b": outcome, "c": "passed"}
    assert run.given == [["a", "b", "c"], ["c"]]


def test_cases_in_company_that_end_a_guest_run_one_by_one(run):
    ids = ["f[1]", "f[2]", "f[3]", "g"]
    outcomes, _ = run(ids, lambda case, _: (DIES if case == "f[2]" else "passed", ""), together=["f"])
    assert outcomes == {"f[1]": "passed", "f[2]": "crashed", "f[3]": "passed", "g": "passed"}


def test_a_case_that_spoils_the_device_is_told_from_one_that_finds_it_spoiled(run):
    # After b, the device works until it is used; e spoils it and shows it.
    def behaviour(case, ran):
        if case == "e":
            return "failed", "gone"
        return ("failed", "gone") if ran and ran[-1] == "b" else ("passed", "")

    outcomes, found = run("abcdef", behaviour)
    assert outcomes == dict.fromkeys("acdf", "passed") | {"b": "crashed", "e": "crashed"}
    assert found["b"].why == "passed, but afterwards: the next test found the device unusable"
    assert found["e"].why == "failed, but afterwards: gone"
    assert run.given[1:] == [list("cdef"), list("ef"), list("f")]


def test_a_lab_that_does_not_start_is_no_fault_of_a_test(run):
    with pytest.raises(RuntimeError, match=r"no test could begin: .*no QEMU"):
        run("a", None)
