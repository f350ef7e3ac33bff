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
        assert nvme0.addr == "127.0.0.1"
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
        ret.mine = None if False else True
        yield ret
        ret.close()
"""


def test_a_conftest_with_option_and_fixtures_keeps_its_own(session):
    conftest = CONFTEST.replace("        ret.mine = None if False else True\n", "")
    test = """
        def test_theirs(pciaddr, pcie, nvme0, nvme0n1):
            assert pciaddr == ""
            assert nvme0.addr == "127.0.0.1"
    """
    finished = session({"conftest.py": conftest, "test_it.py": test})
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
