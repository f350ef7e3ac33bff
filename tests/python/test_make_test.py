"""scripts/run-tests, which `make test TESTS=…` runs, and what VSCode runs instead."""

import json
import os
import pathlib
import re
import subprocess
import textwrap

import pytest

ROOT = pathlib.Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not (ROOT / ".venv/bin/python").exists(), reason="these scripts use the environment of make setup"
)

TEST = """
    import sys
    import nvme as d

    def test_both_streams(nvme0, request):
        print("address", nvme0.addr.split(":")[0], repr(request.config.getoption("--pciaddr")))
        print("to the terminal")
        print("to the log alone", file=sys.stderr)

    def test_fails():
        assert "wrong" == "right"
"""


@pytest.fixture
def script(tmp_path):
    file = tmp_path / "test_it.py"
    file.write_text(textwrap.dedent(TEST))
    return file


@pytest.fixture
def run():
    """Run one of the scripts; the log it leaves is read and removed."""
    logs = []

    def run(command, *arguments, log, **environment):
        logs.append(ROOT / log)
        (ROOT / log).write_text("of an earlier run\n")
        environment = {**os.environ, "PYTEST_ADDOPTS": "-p no:cacheprovider", **environment}
        done = subprocess.run(
            [ROOT / command, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            cwd="/",
        )
        return done, (ROOT / log).read_text()

    yield run
    for log in logs:
        log.unlink(missing_ok=True)


# An address that neither a person nor another test has a log of; the device is the embedded one all the same.
CONFTEST = """
import pytest

@pytest.fixture(scope="session")
def pciaddr(request):
    return ""
"""


@pytest.mark.parametrize("address", ["192.0.2.7", "192.0.2.7:4421", "0000:7f:1f.7"])
def test_output_goes_where_it_should(run, script, address):
    if address.startswith("0000") and os.geteuid() != 0:
        pytest.skip("an SSD takes root")
    (script.parent / "conftest.py").write_text(CONFTEST)
    done, log = run("scripts/run-tests", str(script), log=f"test_{address}.log", pciaddr=address)
    assert done.returncode == 1, "pytest's own"
    assert "of an earlier run" not in log
    assert f"address 127.0.0.1 '{address}'" in done.stdout and "to the terminal" in done.stdout
    assert "to the log alone" not in done.stdout + done.stderr
    assert "to the terminal" in log
    assert log.index("to the log alone") < log.index("1 failed, 1 passed")
    assert f"test_{address}.log" in done.stderr


def test_without_an_address(run, script):
    done, log = run("scripts/run-tests", f"{script}::test_both_streams", log="test_embedded.log", pciaddr="")
    assert done.returncode == 0 and "address 127.0.0.1 ''" in done.stdout and "1 passed" in log


def test_why_nothing_ran_is_seen(run):
    done, _ = run("scripts/run-tests", "no_such_test.py", log="test_192.0.2.8.log", pciaddr="192.0.2.8")
    assert done.returncode == 4 and "file or directory not found: no_such_test.py" in done.stderr


def test_what_vscode_runs(run, script):
    done, log = run(".vscode/pytest.sudo.sh", "--pciaddr=", "-s", str(script), log="test.log")
    assert done.returncode == 1 and "1 failed, 1 passed" in done.stdout
    assert "to the log alone" in log and "1 failed, 1 passed" in log and "of an earlier run" not in log
    done, _ = run(".vscode/pytest.sudo.sh", "--pciaddr=", "--collect-only", "-q", str(script), log="test.log")
    assert "test_it.py::test_fails" in done.stdout


def test_the_settings_name_what_exists():
    settings = json.loads((ROOT / ".vscode/settings.json").read_text())
    assert settings["python.testing.pytestEnabled"] and not settings["python.testing.unittestEnabled"]
    script = ROOT / settings["python.testing.pytestPath"]
    assert os.access(script, os.X_OK)
    launch = json.loads((ROOT / ".vscode/launch.json").read_text())
    assert any(entry.get("sudo") for entry in launch["configurations"])
    for file in (ROOT / ".vscode").glob("*.json"):
        assert not re.search(r'"/|(?<![\w.])/(home|root|usr|opt|tmp)/', file.read_text()), (
            f"{file}: an absolute path"
        )


@pytest.mark.parametrize(
    "arguments, verbs",
    [
        ([], ["cargo test", "pytest tests/python"]),
        (
            ["TESTS=a.py::test_b[1]", "pciaddr=192.0.2.7:4421"],
            ["192.0.2.7:4421", "scripts/run-tests a.py::test_b[1]"],
        ),
    ],
)
def test_make_runs_all_or_what_is_named(arguments, verbs):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", "--dry-run", "test", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0 and all(verb in done.stdout for verb in verbs), done.stdout + done.stderr
    assert ("cargo test" in done.stdout) == (not arguments)
