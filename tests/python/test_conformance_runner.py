"""The runner of pynvme's tests, on tests that do everything a test can do wrong. No device takes part."""

import json
import os
import pathlib
import re
import subprocess
import sys
import textwrap
import time

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "scripts/conformance"

SUITE = """
    import ctypes, os, subprocess, sys, time
    import pytest
    import nvme

    def test_pass():
        print(nvme.__file__)
        print(nvme.__file__)
        print(nvme.__file__)

    def test_fail():
        assert 1 + 1 == 3, "no | such\\nsum"

    def test_skip():
        pytest.skip("not today")

    def test_setup(missing_fixture):
        pytest.fail("it runs")
        pytest.fail("it runs")
        pytest.fail("it runs")

    def test_abort():
        os.abort()

    def test_segfault():
        ctypes.string_at(0)

    def test_exit():
        print("goodbye")
        os._exit(3)

    def test_hang():
        time.sleep(600)

    def test_deaf():
        import signal
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        while True:
            try:
                time.sleep(600)
            except BaseException:
                pass

    def test_flood():
        for _ in range(300):
            sys.stdout.write("x" * (1 << 20))
        raise RuntimeError("the end of the flood")

    def test_leaves_a_child():
        # In a session of its own, and it holds on to our stdout.
        child = subprocess.Popen(["sleep", "611"], start_new_session=True)
        open(LEFT, "w").write(str(child.pid))

    def test_hangs_with_a_child():
        child = subprocess.Popen(["sleep", "612"], start_new_session=True)
        open(LEFT, "w").write(str(child.pid))
        time.sleep(600)

    @pytest.mark.parametrize("n", range(6))
    def test_together(n):
        assert os.environ.setdefault("FIRST", str(os.getpid())) == str(os.getpid())
        if n == 2:
            os.abort()
        if n == 4:
            assert False, "four"

    def test_forks_a_child():
        # It has no environment of its own, and does not end.
        if os.fork() == 0:
            time.sleep(613)

    def test_is_the_main_program():
        import multiprocessing
        import __main__

        assert __main__.__spec__.name == "pytest.__main__"
        assert sys.path[0] == os.getcwd() and sys.stdin.read() == ""
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply(os.getsid, (0,)) == os.getpid() == os.getsid(0)

    SPOILED = []

    @pytest.mark.parametrize("n", range(3))
    def test_spoils_the_next(n):
        assert SPOILED == []
        SPOILED.append(n)

    def test_meant():
        assert False, "as meant"
"""

# Seconds for what hangs, of which half are for the start of Python; and for all the rest.
HANGS, LIMIT = 5, 60

RATINGS = f"""\
# comment
suite_test.py::test_pass\tY\tN\t-\t-\tany
suite_test.py::test_skip\tS\tN\t-\t-\tsan
suite_test.py::test_fail\tC\tN\t-\t-\tany
suite_test.py::test_setup\tN\tN\t-\t-\tPCIe
suite_test.py::test_hang\tN\tN\t{HANGS}\t-\tany
suite_test.py::test_deaf\tN\tN\t{HANGS}\t-\tany
suite_test.py::test_hangs_with_a_child\tN\tN\t{HANGS}\t-\tany
suite_test.py::test_together\tY\tN\t20\ttogether\tany
suite_test.py::test_spoils_the_next\tY\tN\t20\ttogether\tany
suite_test.py::test_flood\tP\tN\t60\t-\tany
suite_test.py::test_meant\tN\tN\t-\tmeant-to-fail\tany
"""


def is_alive(pid):
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def start(folder, *arguments, **options):
    command = [
        sys.executable,
        "-B",
        FOLDER / "run.py",
        "--on",
        "tcp",
        "--no-target",
        "--limit",
        str(LIMIT),
        "--folder",
        folder,
    ]
    command += ["--files", "suite_test.py", "--ratings", folder / "ratings.tsv", "--work", folder / "work"]
    command += ["--report", folder / "report.md", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)


def run(folder, *arguments):
    process = start(folder, *arguments)
    output = process.communicate(timeout=120)[0]
    results = json.loads((folder / "work/tcp.json").read_text())["tests"]
    return process.returncode, output, {r["id"].partition("::test_")[2]: r for r in results}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    text = f"LEFT = {str(folder / 'left')!r}\n" + textwrap.dedent(SUITE)
    (folder / "suite_test.py").write_text(text)
    (folder / "ratings.tsv").write_text(RATINGS)
    return folder


@pytest.fixture(scope="module")
def everything(folder):
    return run(folder, "--jobs", "2")


def test_every_outcome_is_told_apart(everything):
    _, output, results = everything
    found = {name: result["outcome"] for name, result in results.items()}
    assert found == {
        "pass": "passed",
        "fail": "failed",
        "skip": "skipped",
        "setup": "error",
        "abort": "crashed",
        "segfault": "crashed",
        "exit": "crashed",
        "hang": "timeout",
        "deaf": "timeout",
        "flood": "failed",
        "leaves_a_child": "passed",
        "hangs_with_a_child": "timeout",
        "together[0]": "passed",
        "together[1]": "passed",
        "together[2]": "crashed",
        "together[3]": "passed",
        "together[4]": "failed",
        "together[5]": "passed",
        "forks_a_child": "passed",
        "is_the_main_program": "passed",
        "spoils_the_next[0]": "passed",
        "spoils_the_next[1]": "passed",
        "spoils_the_next[2]": "passed",
        "meant": "failed",
    }
    assert f"{len(found)}/{len(found)}]" in output


def test_the_reasons_are_said(folder, everything):
    _, _, results = everything
    lines = (folder / "suite_test.py").read_text().splitlines()
    line = {
        n: lines.index(next(x for x in lines if n in x)) + 1
        for n in ("os.abort()", "time.sleep(600)", "1 + 1")
    }
    for name, said in {
        "fail": f"AssertionError: no | such sum assert (1 + 1) == 3 (line {line['1 + 1']})",
        "skip": "not today",
        "abort": f"SIGABRT, in test_abort (line {line['os.abort()']})",
        "exit": "ended with status 3: ",
        "flood": "RuntimeError: the end of the flood",
        "leaves_a_child": "left 1 process(es) behind: sleep 611",
        "forks_a_child": "left 1 process(es) behind: ",
    }.items():
        assert results[name]["why"].startswith(said), results[name]
    hung = rf"no end within \d+ s, in test_hang \(line {line['time.sleep(600)']}\)"
    assert re.fullmatch(hung, results["hang"]["why"]), results["hang"]
    assert "SIGSEGV" in results["segfault"]["why"]
    assert "missing_fixture" in results["setup"]["why"]


def test_limits_are_kept(everything):
    _, _, results = everything
    for name in ("hang", "deaf", "hangs_with_a_child"):
        assert HANGS <= results[name]["seconds"] < LIMIT / 2


def test_logs_are_kept_and_bounded(folder, everything):
    logs = {file.name: file.stat().st_size for file in (folder / "work/logs/tcp").iterdir()}
    assert "suite_test.py_test_abort.log" in logs and "suite_test.py_test_pass.log" not in logs
    assert max(logs.values()) < 1 << 20


@pytest.mark.parametrize("test", ["leaves_a_child", "hangs_with_a_child"])
def test_nothing_is_left_behind(folder, test):
    run(folder, "--tests", test)
    pid = (folder / "left").read_text()
    assert not is_alive(pid)


def test_a_forked_test_ends_like_a_started_one(folder, everything, monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import cases
    from forks import Forks
    from runner import Runner

    environment = {**cases.environment(folder / "work/pycache"), "PYTEST_PLUGINS": "narrow"}
    ratings = cases.read_ratings(folder / "ratings.tsv", "tcp", LIMIT)
    known = [
        cases.Case(id, ratings.get(id.partition("[")[0], cases.Facts(limit=LIMIT)))
        for id in cases.collect(folder, ["suite_test.py"], cases.environment(folder / "work/pycache"))
    ]
    outcomes = {}
    with Forks(environment) as forks:
        runner = Runner(
            folder,
            folder / "forked",
            lambda case, outcome: outcomes.update({case.name: outcome}),
            environment,
            None,
            forks.start,
        )
        for unit in cases.units(known):
            runner.unit(unit)
    _, _, results = everything
    assert {name.partition("test_")[2]: outcome.outcome for name, outcome in outcomes.items()} == {
        name: result["outcome"] for name, result in results.items()
    }
    for name in ("abort", "exit", "hang", "leaves_a_child"):
        # Where it stood, not for how long.
        forked, started = (
            re.sub(r"\d+ s,", "", why) for why in (outcomes[f"test_{name}"].why, results[name]["why"])
        )
        assert forked == started


def test_quick_cases_share_a_process_in_the_lab(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import cases

    def sizes(on):
        ratings = cases.read_ratings(FOLDER / "ratings.tsv", on)
        quick = [cases.Case(id, facts) for id, facts in ratings.items() if facts.quick]
        return [len(unit) for unit in cases.units(quick)]

    assert sizes("tcp") == []
    *full, last = sizes("pcie")
    assert set(full) == {cases.COMPANY} and 0 < last <= cases.COMPANY


def test_the_report(folder, everything):
    status, output, _ = everything
    assert status == 1
    text = (folder / "report.md").read_text()
    regressions = text.partition("Regressions")[2].partition("## All tests")[0]
    for name in ("fail", "abort", "hang", "together[2]", "together[4]"):
        assert f"test_{name}`" in regressions
    for name in ("pass", "skip", "setup", "flood", "meant", "together[0]"):
        assert f"test_{name}`" not in regressions
    assert "| `suite_test.py::test_meant` | N | failed, as meant |" in text
    assert "no \\| such sum" in text
    # passed, failed, error, skipped, crashed, timeout, sum
    assert "| all | 11 | 4 | 1 | 1 | 4 | 3 | 24 |" in text
    assert "13 regressions" not in output and "9 regressions" in output


def test_status_zero_and_the_filter(folder, everything):
    status, output, _ = run(folder, "--tests", "test_pass")
    assert status == 0 and "1 run, 1 fine, 0 regressions" in output


def test_only_what_failed_runs_again(folder, everything):
    _, output, results = run(folder, "--failed", "--tests", "together")
    assert "[  2/2]" in output and "test_together[2]" in output and "test_together[4]" in output
    assert len(results) == 24, "the others are still known"


def test_ctrl_c_ends_it(folder, everything):
    # Without a rating, which would end it soon.
    process = start(folder, "--tests", "hangs_with_a_child", "--ratings", os.devnull)
    left = folder / "left"
    left.unlink(missing_ok=True)
    until = time.monotonic() + 60
    while not (left.exists() and left.read_text()) and time.monotonic() < until:
        time.sleep(0.01)
    begin = time.monotonic()
    process.send_signal(2)
    output = process.communicate(timeout=LIMIT)[0]
    assert process.returncode == 1 and "interrupted" in output
    assert time.monotonic() - begin < LIMIT / 2
    assert not is_alive(left.read_text())


def test_a_module_of_theirs_is_refused(tmp_path):
    (tmp_path / "suite_test.py").write_text("def test_it():\n    assert True\n")
    (tmp_path / "ratings.tsv").write_text("")
    (tmp_path / "nvme").mkdir()
    (tmp_path / "nvme/__init__.py").write_text("spdk_version = 'none'\n")
    (tmp_path / "nvme/_nvme.py").write_text("")
    output = start(tmp_path).communicate(timeout=60)[0]
    assert "stands before the module to be tested" in output


def test_the_archive_is_verified(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import fetch

    (tmp_path / f"{fetch.NAME}-{fetch.VERSION}.tar.gz").write_bytes(b"something else")
    with pytest.raises(fetch.FetchError, match="has the sha256"):
        fetch.download(tmp_path)


def test_only_the_tests_are_unpacked(tmp_path, monkeypatch):
    import io
    import tarfile

    monkeypatch.syspath_prepend(FOLDER)
    import fetch

    root = f"{fetch.NAME}-{fetch.VERSION}"
    archive = tmp_path / "it.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in (*fetch.MEMBERS, "nvme.so", "../../escaped"):
            member = tarfile.TarInfo(f"{root}/{name}")
            member.size = len(name)
            tar.addfile(member, io.BytesIO(name.encode()))
    folder = fetch.unpack(archive, tmp_path / "out")
    found = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
    assert found == sorted(fetch.MEMBERS)
    assert (folder / "scripts/psd.py").read_text() == "scripts/psd.py"
    assert sorted(os.listdir(tmp_path)) == ["it.tar.gz", "out"]


def test_every_rating_can_be_read(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import cases

    examples = {"driver_test.py", "scripts/test_examples.py"}
    for on, files in {"tcp": examples, "pcie": examples | {"scripts/psd.py", "scripts/zns.py"}}.items():
        ratings = {
            id: facts
            for id, facts in cases.read_ratings(FOLDER / "ratings.tsv", on).items()
            if facts.rating != "-"
        }
        assert {facts.rating for facts in ratings.values()} == set("YCPSN")
        assert all(10 <= facts.limit / cases.SLOWER[on] <= 900 for facts in ratings.values())
        assert {name.partition("::")[0] for name in ratings} == files
        assert sum(facts.meant_to_fail for facts in ratings.values()) == 2


def test_reasons_do_not_change_from_run_to_run(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import outcome

    said = "AssertionError: <Qpair at 0x7f5745ee0130> is dead\nassert False == True\n +  where False = f()"
    assert outcome._reason(said) == "AssertionError: <Qpair> is dead\nassert False == True"
