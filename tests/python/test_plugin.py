"""The pytest plugin: its fixtures, the embedded target, and conftest files of others."""

import pathlib
import subprocess
import sys
import textwrap

import pytest


@pytest.fixture
def session(tmp_path):
    """Run pytest on files of one's own."""

    def session(files, *arguments):
        for name, text in files.items():
            (tmp_path / name).write_text(textwrap.dedent(text))
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    return session


ALL_FIXTURES = """
    def test_fixtures(pciaddr, pcie, nvme0, nvme0n1, qpair, buf, verify):
        assert pciaddr.startswith("127.0.0.1:")
        assert nvme0.addr.startswith("127.0.0.1:")
        nvme0n1.read(qpair, buf, 0, 8).waitdone()
        print("pid", __import__("nvme.pytest_plugin").pytest_plugin._embedded._target.pid)
"""


def test_all_fixtures_on_the_embedded_target(session):
    finished = session({"test_it.py": ALL_FIXTURES}, "-s")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    pid = int(finished.stdout.split("pid ")[1].split()[0])
    assert not pathlib.Path(f"/proc/{pid}").exists()


def test_an_address_is_used(session, pciaddr):
    test = """
        def test_address(pciaddr, nvme0, request):
            assert pciaddr == request.config.getoption("--pciaddr") != ""
    """
    assert session({"test_it.py": test}, f"--pciaddr={pciaddr}").returncode == 0


CONFTEST = """
    import pytest
    import nvme as d

    def pytest_addoption(parser):
        parser.addoption("--pciaddr", action="store", default="", help="as the original has it")

    @pytest.fixture(scope="session")
    def pciaddr(request):
        return request.config.getoption("--pciaddr")

    @pytest.fixture(scope="function")
    def pcie(pciaddr):
        ret = d.Pcie(pciaddr)
        yield ret
        ret.close()
"""


def test_a_conftest_with_option_and_fixtures_keeps_its_own(session):
    test = """
        def test_theirs(pciaddr, pcie, nvme0, nvme0n1):
            assert pciaddr == ""
            assert nvme0.addr.startswith("127.0.0.1:")
    """
    finished = session({"conftest.py": CONFTEST, "test_it.py": test})
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_two_sessions_at_once(tmp_path):
    test = tmp_path / "test_it.py"
    test.write_text(
        "def test_load(nvme0n1):\n    assert nvme0n1.ioworker(io_size=8, time=2).start().close().io_count_read > 1000\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)]
    both = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for one in both:
        output = one.communicate(timeout=60)[0]
        assert one.returncode == 0, output


def test_scripts_are_seeded_timed_and_skipped_when_empty(session):
    test = """
        import logging
        import random
        import nvme as d

        drawn = random.Random()

        def test_empty(pciaddr):
            pass

        def test_seeded(caplog, request):
            caplog.set_level(logging.INFO)
            said = [r.getMessage() for r in caplog.get_records("setup")]
            assert len(said) == 1 and said[0].startswith("setup random seed: 0x")
            drawn.seed(int(said[0].split()[-1], 16))
            assert random.random() == drawn.random()

        def test_not_empty():
            first = 1
            second = 2
            third = 3
            pass
    """
    finished = session({"test_it.py": test}, "-o", "log_cli=true", "-o", "log_cli_level=INFO", "-rs")
    assert finished.returncode == 0, finished.stdout
    assert "2 passed, 1 skipped" in finished.stdout and "empty test function" in finished.stdout
    assert finished.stdout.count("test duration: ") == 2


def test_reports_are_kept_for_fixtures(session):
    test = """
        import pytest
        import nvme

        @pytest.fixture
        def looker(request):
            yield
            print("went:", request.node.rep_setup.passed, request.node.rep_call.failed)

        def test_fails(looker):
            assert False
    """
    assert "went: True True" in session({"test_it.py": test}, "-s").stdout


@pytest.mark.parametrize(
    "name, said",
    [
        ("aer", "aer fixture is replaced by admin command nvme0.aer()"),
        ("tcg", "AttributeError: module 'nvme' has no attribute 'Tcg'"),
    ],
)
def test_fixtures_that_say_no(session, name, said):
    finished = session({"test_it.py": f"def test_it({name}):\n    print('ran')\n    print('ran')\n"})
    assert finished.returncode == 1 and said in finished.stdout and "1 error" in finished.stdout


def test_projects_of_others_are_left_alone(session):
    """With a fixture of a name of ours, an empty test, a doctest, and random numbers of their own."""
    test = """
        import logging
        import random
        import unittest
        import pytest

        random.seed(5)
        STATE = random.getstate()

        @pytest.fixture
        def buf():
            return "theirs"

        def test_empty():
            pass

        def test_theirs(buf, request, caplog):
            assert buf == "theirs"
            assert random.getstate() == STATE
            assert not caplog.get_records("setup")
            assert not hasattr(request.node, "rep_setup")

        class TestOldStyle(unittest.TestCase):
            def test_empty(self):
                pass

        def documented():
            '''
            >>> 1 + 1
            2
            '''

        def test_nothing_was_started():
            import os
            children = os.listdir("/proc/self/task")
            assert open("/proc/self/task/" + children[0] + "/children").read() == ""
            assert len(children) == 1
    """
    finished = session(
        {"test_it.py": test}, "--doctest-modules", "-o", "log_cli=true", "-o", "log_cli_level=INFO"
    )
    assert finished.returncode == 0, finished.stdout
    assert "5 passed" in finished.stdout and "skipped" not in finished.stdout
    assert "seed" not in finished.stdout and "duration" not in finished.stdout


@pytest.mark.parametrize(
    "line", ["import nvme", "import nvme as d", "from nvme import Buffer", "from nvme import *"]
)
def test_every_way_to_import_counts(session, line):
    test = f"{line}\n\ndef test_empty():\n    pass\n"
    assert "1 skipped" in session({"test_it.py": test}).stdout


def test_a_script_fixture_of_theirs_is_the_only_one(session):
    theirs = """
    @pytest.fixture(autouse=True)
    def script():
        print("their script")
        yield
    """
    test = """
        import nvme

        def test_empty(pcie):
            pass
    """
    finished = session({"conftest.py": CONFTEST + theirs, "test_it.py": test}, "-s", "-o", "log_cli=true")
    assert finished.returncode == 0 and "1 passed" in finished.stdout, finished.stdout
    assert finished.stdout.count("their script") == 1 and "test duration" not in finished.stdout
