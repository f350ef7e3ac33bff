"""The types that come with the module say what the module does, and a strict type checker is content with them."""

import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("mypy")

HERE = pathlib.Path(__file__).parent
ALLOWLIST = HERE.parent.parent / "scripts" / "stubtest-allowlist.txt"


@pytest.fixture
def mypy(tmp_path):
    """Run a tool of mypy; returns the finished process."""

    def mypy(tool, *arguments):
        return subprocess.run(
            [sys.executable, "-m", tool, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=240,
            cwd=tmp_path,
        )

    return mypy


def test_the_types_are_those_of_the_module(mypy):
    checked = mypy("mypy.stubtest", "nvme", "--allowlist", ALLOWLIST)
    assert checked.returncode == 0, checked.stdout


def test_every_exception_to_that_is_explained():
    explained = False
    for line in ALLOWLIST.read_text().splitlines():
        explained = line.startswith("#") or (explained and line != "")
        assert explained or line == "", f"{line} has no comment above it"


def test_a_script_with_types(mypy):
    checked = mypy("mypy", "--strict", "--python-version", "3.10", HERE / "typing_sample.py")
    assert checked.returncode == 0, checked.stdout


MISTAKES = """\
d.Buffer("4096")
d.Qpair(None, 8)
n.read(q, b, "first")
n.read(q, b, 0, cb=5)
n.read(q, b, 0, cb=lambda a, b, c: None)
b[1.5]
b.data(0, 0, bytes)
n.ioworker(io_size=8, seconds=1)
n.ioworker(time=1).close().mistyped
c.cmdlog_entries()[0]["mistyped"]
c.cap = 1
n.id_data(7, 0, str) + 1
""".splitlines()


def test_mistakes_are_found(mypy, tmp_path):
    head = "import nvme as d\ndef f(c: d.Controller, q: d.Qpair, n: d.Namespace, b: d.Buffer) -> None:\n"
    script = tmp_path / "mistakes.py"
    script.write_text(head + "".join(f"    {mistake}\n" for mistake in MISTAKES))
    checked = mypy("mypy", "--strict", script)
    missed = [
        m for number, m in enumerate(MISTAKES, 3) if f"mistakes.py:{number}: error" not in checked.stdout
    ]
    assert not missed, checked.stdout
