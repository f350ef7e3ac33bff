"""pytest --nvme-report: what is in the page and in the JSON beside it, and how large they get."""

import copy
import json
import re
import subprocess
import sys
import textwrap

import nvme as d
import pytest
from nvme.report import budget, compare, page, recorder

TEST = r"""
    import logging
    import sys
    import warnings
    import nvme as d
    import pytest

    def test_passes(nvme0n1, qpair, buf):
        logging.info("hello from the log")
        d.srand(0xBEEF)
        nvme0n1.read(qpair, buf, 0).waitdone()

    def test_loaded(nvme0n1):
        with nvme0n1.ioworker(io_size=8, qdepth=16, time=2), nvme0n1.ioworker(io_size=1, qdepth=4, time=2):
            logging.info("both run")

    def test_fails(nvme0, nvme0n1, qpair, buf):
        print("\x1b[31mprinted </script><script>alert(1)</script>\x00")
        nvme0.getfeatures(7).waitdone()
        for lba in range(100):
            nvme0n1.read(qpair, buf, lba).waitdone()
        nvme0n1.read(qpair, buf, 1 << 40).waitdone()
        assert False, "<b>refused</b>"

    @pytest.mark.skip(reason="not today")
    def test_skipped():
        first = 1
        second = 2
        third = 3

    @pytest.mark.xfail(reason="known to fail")
    def test_known(nvme0):
        assert nvme0.mdts == 1

    @pytest.fixture
    def broken():
        raise RuntimeError("no such thing")

    def test_error(broken):
        print("not reached")
        print("not reached")
        print("not reached")
"""


@pytest.fixture(scope="module")
def run_session(tmp_path_factory, pciaddr):
    """Run pytest in a folder of its own; returns the folder and what was printed."""

    def run_session(test, *arguments, address=pciaddr, check=True, conftest=""):
        folder = tmp_path_factory.mktemp("session")
        (folder / "conftest.py").write_text(textwrap.dedent(conftest))
        (folder / "test_it.py").write_text(textwrap.dedent(test))
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            f"--pciaddr={address}",
            *arguments,
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
        if check:
            assert (folder / "report.html").exists(), done.stdout + done.stderr
        return folder, done

    return run_session


@pytest.fixture(scope="module")
def reported(run_session):
    """One session with everything in it: its page, its data, and what was printed."""
    folder, done = run_session(TEST, "--nvme-report=report.html", "-o", "log_level=INFO")
    data = json.loads((folder / "report.json").read_text())
    return (folder / "report.html").read_text(), data, done.stdout


@pytest.fixture
def tests(reported):
    """The tests of that session, by name."""
    return {test["id"].split("::")[1]: test for test in reported[1]["tests"]}


def test_outcomes_and_where_it_is(reported, tests):
    assert {name: test["outcome"] for name, test in tests.items()} == {
        "test_passes": "passed",
        "test_loaded": "passed",
        "test_fails": "failed",
        "test_skipped": "skipped",
        "test_known": "xfailed",
        "test_error": "error",
    }
    _, data, said = reported
    assert data["summary"] == {"passed": 2, "skipped": 1, "xfailed": 1, "failed": 1, "error": 1}
    assert re.search(r"NVMe report: .*report\.html \(\d+ KiB\), the data in .*report\.json", said)


def test_what_a_test_leaves(tests):
    passes, fails = tests["test_passes"], tests["test_fails"]
    assert passes["seed"] == 0xBEEF and fails["seed"] not in (None, 0xBEEF)
    assert any("hello from the log" in text for _, text in passes["log"])
    assert 0 < passes["seconds"] < 20 and passes["message"] == ""
    assert tests["test_loaded"]["seconds"] >= 2
    assert [(warning["text"], warning["category"]) for warning in fails["warnings"]] == [
        ("ERROR status: 00/80", "UserWarning")
    ]
    assert fails["warnings"][0]["where"].startswith("test_it.py:")
    assert "<b>refused</b>" in fails["message"]
    assert ["Captured stdout call", "printed </script><script>alert(1)</script>\ufffd\n"] in fails["log"]
    assert tests["test_skipped"]["message"] == "Skipped: not today"
    assert "no such thing" in tests["test_error"]["message"]


def test_the_device(reported, tests):
    (device,) = reported[1]["devices"]
    assert device["model"] and device["firmware"] and device["serial"] and ":" in device["address"]
    fields = {field["name"]: field["value"] for field in device["identify"]["fields"]}
    assert fields["MN"] == device["model"] and fields["SUBNQN"] == device["subnqn"]
    assert (
        tests["test_passes"]["devices"][0]["model"] == device["model"]
        and tests["test_skipped"]["devices"] == []
    )


def test_the_last_commands_of_a_failure(tests):
    commands = tests["test_fails"]["commands"]
    assert len(commands) == 64 and tests["test_passes"]["commands"] == []
    last = commands[-1]
    assert last["line"].startswith("Read: CID") and f"SLBA {1 << 40}" in last["line"]
    assert last["status"] == "LBA OUT OF RANGE (00/80)" and not last["success"]
    assert {"name": "SLBA", "title": "Starting LBA", "value": 1 << 40, "meaning": None} in last["command"][
        "fields"
    ]
    assert last["completion"]["name"] == "LBA Out of Range" and last["latency_us"] > 0
    assert [command["at"] for command in commands] == sorted(command["at"] for command in commands)
    # Those that went well long before are lines.
    assert commands[0]["command"] is None and commands[0]["line"].startswith("Read")


def test_workers(tests):
    first, second = tests["test_loaded"]["workers"]
    assert first["workload"] == "Read, 8 blocks, random, queue depth 16, 2 s"
    assert second["workload"] == "Read, 1 block, random, queue depth 4, 2 s"
    assert tests["test_loaded"]["start"] < first["started"] <= second["started"]
    for worker in (first, second):
        assert worker["commands"] == {"Read": worker["ios"]} and worker["errors"] == 0
        assert sum(count for _, _, count in worker["histogram"]) == worker["ios"] > 1000
        assert sum(worker["iops_over_time"]) <= worker["ios"] and len(worker["iops_over_time"]) >= 2
        latencies = [us for _, us in worker["percentiles"]]
        assert latencies == sorted(latencies) and latencies[-1] == worker["latency_max"]
        assert worker["percentiles"][-1][0] == 100
        assert worker["failure"] is None and ":" in worker["address"] and worker["nsid"] == 1


def test_records_are_what_close_returned(nvme0n1):
    seen = []
    d._nvme.observe_workers(lambda record: seen.append(json.loads(record)))
    try:
        result = nvme0n1.ioworker(io_size=8, io_count=500).start().close()
        nvme0n1.ioworker(io_size=8, io_count=500, lba_align=[1, 2]).start().close()
        nvme0n1.ioworker(io_sequence=[(0, 2, 1 << 40, 8)]).start().close()
    except UserWarning:
        pass
    finally:
        d._nvme.observe_workers(None)
    assert seen[0]["ios"] == result.io_count_read == 500 and seen[0]["iops"] == result.iops
    assert (seen[1]["ios"], seen[1]["failure"]) == (0, "size and align not match")
    assert "LBA OUT OF RANGE" in seen[2]["failure"] and seen[2]["workload"].startswith("sequence of 1")
    nvme0n1.ioworker(io_size=8, io_count=5).start().close()
    assert len(seen) == 3
    with pytest.raises(AssertionError):
        d._nvme.observe_workers("nothing to call")


def test_the_page_needs_nothing_from_elsewhere(reported):
    html = reported[0]
    assert "default-src 'none'" in html
    assert not re.search(r"<(script|img|iframe|object)[^>]*\ssrc=|<link|@import|url\(", html)
    # What tests printed cannot become part of the page.
    assert "<b>refused" not in html and "alert(1)</script>" not in html and "&lt;script&gt;alert(1)" in html
    assert html.count("</script>") == html.count("<script") == 3


def test_an_earlier_report_to_compare_with(run_session, tmp_path):
    folder, _ = run_session(TEST, "--nvme-report=report.html")
    session = json.loads((folder / "report.json").read_text())
    by_name = {test["id"].split("::")[1]: test for test in session["tests"]}
    by_name["test_fails"]["outcome"] = "passed"
    by_name["test_known"]["outcome"] = "failed"
    by_name["test_loaded"]["workers"][0]["iops"] *= 20
    session["devices"][0]["firmware"] = "0.9"
    session["tests"].append({**by_name["test_passes"], "id": "test_it.py::test_gone"})
    old = tmp_path / "old.json"
    old.write_text(json.dumps(session))

    folder, done = run_session(TEST, "--nvme-report=report.html", f"--nvme-baseline={old}")
    html = (folder / "report.html").read_text()
    assert f"Compared with {old}" in html, done.stdout
    assert re.search(r"Fail now</span> <a href=\"#t\d\">test_fails</a>", html)
    assert re.search(r"Pass now</span> <a href=\"#t\d\">test_known</a>", html)
    assert re.search(r"Did not run</span> test_gone", html)
    assert "Firmware: 0.9 →" in html
    assert re.search(r'<td class="num worse">[\d,]+ <small>-\d\d\.\d %', html)
    assert '"before":{"started":1' in html


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--nvme-baseline=old.json"], "say where to with --nvme-report"),
        (["--nvme-report=r.html", "--nvme-baseline=none.json"], "none.json"),
        (["--nvme-report=r.html", "--nvme-baseline=test_it.py"], "test_it.py"),
        (["--nvme-report=r.json"], "name an HTML file"),
        (["--nvme-report=/proc/nothing/r.html"], "/proc/nothing"),
    ],
)
def test_what_stands_in_the_way_is_said_first(run_session, arguments, said):
    _, done = run_session("def test_it():\n    assert True\n", *arguments, check=False)
    assert done.returncode == 4 and said in done.stderr and "passed" not in done.stdout


def test_without_jinja_it_says_what_to_install(run_session):
    hidden = "import sys; sys.modules['jinja2'] = None; import pytest; sys.exit(pytest.main(sys.argv[1:]))"
    command = [sys.executable, "-c", hidden, "-p", "no:cacheprovider", "--nvme-report=r.html", "--co", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 4 and "pip install jinja2" in done.stderr


def test_projects_of_others_can_have_reports(run_session):
    folder, done = run_session("def test_it():\n    assert True\n", "--nvme-report=report.html")
    assert "1 passed" in done.stdout and "No device was open" in (folder / "report.html").read_text()
    folder, done = run_session("first = 1\n", "--nvme-report=report.html")
    assert "No test ran" in (folder / "report.html").read_text()


def test_commands_of_all_queues_and_some_of_them_in_full(nvme0, nvme0n1, qpair, buf):
    nvme0.getfeatures(7).waitdone()
    with pytest.warns(UserWarning, match="00/80"):
        for _ in range(20):
            nvme0n1.read(qpair, buf, 1 << 40).waitdone()
    for lba in range(10):
        nvme0n1.read(qpair, buf, lba).waitdone()
    commands = d._nvme.last_commands(31)
    assert [command["qid"] for command in commands] == [0] + [qpair.sqid] * 30
    assert [command["at"] for command in commands] == sorted(command["at"] for command in commands)
    in_full = [place for place, command in enumerate(commands) if command["command"]]
    assert in_full == [*range(5, 21), *range(27, 31)]
    assert all((command["completion"] is None) == (command["command"] is None) for command in commands)
    assert len(d._nvme.last_commands(3)) == 3 and d._nvme.last_commands(0) == []


def test_a_device_is_described_once(nvme0):
    one = recorder.Recorder(None, "r.html", None)
    (device,) = d._nvme.survey()
    first, second = one._describe(device), one._describe(device)
    assert "identify" not in second and first == {**second, "identify": first["identify"]}
    assert first["identify"]["name"] == "Identify Controller"
    other = one._describe({**device, "firmware": "2.0"})
    back = one._describe(device)
    assert other["firmware"] == "2.0" and "identify" in other and back == first


def test_beyond_what_the_page_shows_workers_have_no_curves():
    one = recorder.Recorder(None, "r.html", None)
    for at in [*range(1, 100), 0]:
        one._worker(json.dumps({"started": at, "iops": at, **{curve: [[1, 2]] for curve in recorder.CURVES}}))
    workers = [json.loads(text) for _, text in one.workers]
    assert [worker["iops"] for worker in workers] == list(range(100))
    assert [bool(worker["histogram"]) for worker in workers] == [True] * 64 + [False] * 36


def test_reports_are_not_kept_with_what_was_found(run_session):
    conftest = """
        def pytest_terminal_summary(terminalreporter):
            kept = terminalreporter.stats["passed"] + terminalreporter.stats["failed"]
            print("kept", len(kept), sum(hasattr(report, "nvme") for report in kept))
    """
    _, done = run_session(TEST, "--nvme-report=report.html", conftest=conftest)
    assert "kept 3 0" in done.stdout


def test_outcomes_of_other_plugins_say_nothing():
    assert recorder._rank("rerun") == recorder._rank("") < recorder._rank("passed") < recorder._rank("error")


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        {"format": 2},
        {"format": 1, "tests": []},
        {"format": 1, "tests": [{}], "devices": [], "created": ""},
        {"format": 1, "tests": [{"id": "a", "outcome": "passed", "workers": [{"workload": "w"}]}]},
        {
            "format": 1,
            "tests": [{"id": "a", "outcome": "passed", "workers": 7}],
            "devices": [],
            "created": "",
        },
        {"format": 1, "tests": [], "devices": [{"model": "m"}], "created": ""},
    ],
)
def test_what_is_no_report_is_none_to_compare_with(tmp_path, wrong):
    file = tmp_path / "old.json"
    file.write_text(json.dumps(wrong))
    with pytest.raises(compare.BaselineError, match="no report"):
        compare.load(file)


def test_a_report_is_one_to_compare_with(reported, tmp_path):
    file = tmp_path / "old.json"
    file.write_text(json.dumps(reported[1]))
    assert compare.load(file) == {**reported[1], "path": str(file)}


LIMIT = 5_000_000


def long_worker(worker, seconds, name):
    """As one that ran for so long: noise does not compress, and latencies spread over all bars."""
    worker = copy.deepcopy(worker)
    worker["workload"] = name
    worker["iops_over_time"] = [123456.789 + (at * 7919) % 10007 for at in range(seconds)]
    worker["percentiles"] = [(100 - 100 / 2 ** (at / 4), 10.123456 * 1.1**at) for at in range(130)] + [
        (100, 3e6)
    ]
    worker["histogram"] = [(1.12**at, 1.12 ** (at + 1), 1000003 * at) for at in range(192)]
    return worker


def test_ten_minutes_with_four_workers_are_small(reported):
    session = copy.deepcopy(reported[1])
    loaded = next(test for test in session["tests"] if test["workers"])
    loaded["workers"] = [long_worker(loaded["workers"][0], 600, f"worker {at}") for at in range(4)]
    comparison = compare.compare(session, {**copy.deepcopy(session), "path": "old.json"})
    size = len(budget.fit(session, lambda session: page.render(session, comparison)).encode())
    assert size < 300_000
    # Nothing of it was cut.
    assert [len(worker["iops_over_time"]) for worker in loaded["workers"]] == [600] * 4


def test_a_page_stays_small_whatever_happened(reported):
    session = copy.deepcopy(reported[1])
    some = {test["id"].split("::")[1]: test for test in session["tests"]}
    session["tests"] = []
    for at in range(200):
        fails = {**copy.deepcopy(some["test_fails"]), "id": f"test_it.py::test_fails[{at}]"}
        fails["log"] = [["Captured log call", f"line {at}\n" * 20_000]]
        loaded = {**copy.deepcopy(some["test_loaded"]), "id": f"test_it.py::test_loaded[{at}]"}
        loaded["workers"] = [long_worker(loaded["workers"][0], 3000, f"worker {n}") for n in range(4)]
        session["tests"] += [fails, loaded]
        fails["message"] = "why\n" * 10_000
        fails["warnings"] = fails["warnings"] * 200
    before = copy.deepcopy(session["tests"][1]["workers"][0])
    assert len(budget.fit(session, page.render).encode()) < LIMIT
    assert 3 <= len(session["tests"][0]["warnings"]) <= 100 and session["tests"][0]["warned"] == 200
    assert len(session["tests"][0]["commands"]) >= budget.LEAST_COMMANDS
    after = session["tests"][1]["workers"][0]
    assert sum(n for _, _, n in after["histogram"]) == sum(n for _, _, n in before["histogram"])
    assert after["interval"] * len(after["iops_over_time"]) >= 3000
    assert after["percentiles"][-1] == [100, 3e6]
    log = session["tests"][0]["log"][0][1]
    assert log.startswith("line 0") and log.endswith("line 0\n") and "characters are left out" in log


def test_a_page_of_very_many_tests_says_how_many_are_left_out(reported):
    session = copy.deepcopy(reported[1])
    some = {test["id"].split("::")[1]: test for test in session["tests"]}
    workers = [long_worker(some["test_loaded"]["workers"][0], 20, f"worker {at}") for at in range(3)]
    session["tests"] = []
    for at in range(10_000):
        passes = {
            **some["test_passes"],
            "id": f"test_it.py::test_passes[{at}, with parameters whose names are long, as they often are]",
            "log": [["Captured", "x" * 400]],
        }
        passes["workers"] = copy.deepcopy(workers) if at % 50 == 0 else []
        passes["warnings"] = (
            [{"text": "w" * 100_000, "category": "W", "where": "here"}] if at % 100 == 0 else []
        )
        session["tests"].append(passes)
    fails = {**copy.deepcopy(some["test_fails"]), "id": "test_it.py::test_fails"}
    session["tests"].append(fails)
    names = {test["id"] for test in session["tests"]}
    html = budget.fit(session, page.render)
    assert 3_000_000 < len(html.encode()) < LIMIT
    left_out = 10_001 - len(session["tests"])
    assert left_out > 100 and f"and {left_out:,} tests more, see the JSON file" in html
    assert session["tests"][-1]["id"] == fails["id"] and session["tests"][-1]["commands"]
    kept = [test["id"] for test in session["tests"]]
    assert len(set(kept)) == len(kept) and set(kept) <= names


def test_what_is_cut_twice_says_how_much_is_left_out():
    empty = {"message": "", "outcome": "failed", "warnings": [], "commands": [], "workers": []}
    tests = [{**empty, "log": [["Captured", "x" * 100_000]], "warnings": []} for _ in range(100)]
    sizes = iter([LIMIT, LIMIT, 0])
    budget.fit({"tests": tests}, lambda _: "x" * next(sizes))
    ((_, text),) = tests[0]["log"]
    left_out = [int(number) for number in re.findall(r"(\d+) characters are left out", text)]
    assert left_out == [100_000 - text.count("x")] and text.count("x") < 1000


def test_ratios():
    worker = {
        "iops": 100.0,
        "latency_mean": 10.0,
        "percentiles": [(50, 10.0), (99, 20.0), (99.9, 30.0), (100, 40.0)],
    }
    worker |= {"started": 0, "interval": 1, "iops_over_time": [], "histogram": [], "workload": "w"}
    slower = {
        **copy.deepcopy(worker),
        "iops": 90.0,
        "latency_mean": 10.2,
        "percentiles": [(50, 5.0), (100, 10.0)],
    }
    was, now = ({"id": "a", "outcome": "passed", "workers": [one]} for one in (worker, slower))
    empty = {"devices": [], "path": "p", "created": "c"}
    (row,) = compare.compare({**empty, "tests": [now]}, {**empty, "tests": [was]})["workers"]
    assert row["iops"]["verdict"] == "worse" and row["iops"]["ratio"] == pytest.approx(0.9)
    assert row["mean"]["verdict"] == "" and row["p99"] == {
        "was": 20.0,
        "now": 10.0,
        "ratio": 0.5,
        "verdict": "better",
    }
    assert compare.percentile({"percentiles": []}, 99) == 0
