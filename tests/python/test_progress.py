"""How far things are: bars on a terminal, lines elsewhere, nothing that scripts would stumble over."""

import logging
import os
import pty
import re
import select
import subprocess
import sys
import textwrap
import time

import pytest
from nvme import _progress

pytest.importorskip("rich")

WAIT = """
    import sys
    import nvme as d
    nvme0 = d.Controller(d.Pcie(sys.argv[1]))
    seconds = int(sys.argv[2])
    result = d.Namespace(nvme0).ioworker(io_size=8, time=seconds, iops=1000, qdepth=8).start().close()
    print(result.io_count_read)
"""

SANITIZE = """
    import sys, time
    from nvme import _progress
    def log(progress, state):
        return progress.to_bytes(2, "little") + bytes([state, 0])
    _progress.observe("a", 0x81, log(0xffff, 1))
    print("nothing yet", flush=True)
    _progress.observe("a", 0x81, log(0x4000, 2))
    _progress.observe("a", 0x81, log(0x8000, 2))
    _progress.observe("a", 0x81, log(0xffff, 1))
    _progress.observe("a", 0x06, bytes([2, 42, 0, 0]))
    _progress.observe("a", 0x06, bytes([0, 0, 0, 0]))
"""

TWO = """
    import sys, time
    from nvme import _progress
    def look(controller, percent):
        _progress.observe(controller, 0x06, bytes([2, percent, 0, 0]))
    look("a", 11)
    look("b", 22)
    _progress.observe("a", 0x06, bytes(4))
    print("printed", file=sys.stdout, flush=True)
    look("b", 33)
    _progress.PATIENCE = 0
    time.sleep(0.1)
    task = _progress.Task()
    assert _progress._screen.users == 1, "nobody looks at b any more"
    look("c", 44)
"""


def on_a_terminal(script, *arguments, **environment):
    """Run a script whose standard error is a terminal; returns what it printed, and what the terminal got."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "NVME_RPC_SOCKET": "", "TERM": "xterm", **environment}
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        stdout=subprocess.PIPE,
        stderr=follower,
        text=True,
        env=environment,
    ) as process:
        os.close(follower)
        seen, end = b"", time.monotonic() + 60
        while time.monotonic() < end:
            try:
                if select.select([leader], [], [], 0.2)[0]:
                    seen += os.read(leader, 4096)
            except OSError:  # the script has closed it
                break
        printed = process.stdout.read()
        assert process.wait(10) == 0, seen.decode()
    os.close(leader)
    return printed, seen.decode()


def test_a_bar_while_a_worker_runs(pciaddr):
    printed, seen = on_a_terminal(WAIT, pciaddr, "6")
    assert 5700 <= int(printed) <= 6300
    assert "ioworker on queue 1" in seen and " commands" in seen
    percentages = [int(found) for found in re.findall(r"(\d+) %", seen)]
    assert percentages == sorted(percentages) and 10 <= percentages[0] < 70 < percentages[-1]
    # It is erased when it is over, and the cursor is back.
    assert "\x1b[2K" in seen.split("commands")[-1] and "\x1b[?25h" in seen


def test_no_bar_where_nobody_wants_one(pciaddr):
    printed, seen = on_a_terminal(WAIT, pciaddr, "2", NVME_PROGRESS="0")
    assert int(printed) > 1900 and "ioworker" not in seen


def test_nothing_where_nobody_watches(run, pciaddr):
    finished = run(WAIT, pciaddr, "2")
    assert finished.returncode == 0 and "ioworker" not in finished.stderr + finished.stdout


def test_operations_that_go_on_behind_their_command():
    printed, seen = on_a_terminal(SANITIZE)
    assert printed == "nothing yet\n"
    before, after = seen.split("50 %", 1)
    assert "Sanitize Status" in before and "25 %" in before
    assert "42 %" in after and "Self-test" in after


def test_bars_that_nobody_ends():
    printed, seen = on_a_terminal(TWO)
    assert printed == "printed\n" and "printed" not in seen
    assert all(f"{percent} %" in seen for percent in (11, 22, 33, 44))
    # The cursor is back, also after the last bar, which is there to the end.
    assert seen.rindex("\x1b[?25h") > max(seen.rindex("\x1b[?25l"), seen.rindex("44 %"))


@pytest.fixture
def impatient(monkeypatch):
    """Lines come after every second that is told."""
    monkeypatch.setattr(_progress, "LINE_PERIOD", 1)


def test_lines_are_messages_of_the_log_under_pytest(impatient, caplog, capsys):
    caplog.set_level(logging.INFO)
    task = _progress.Task()
    for tenth in range(25):
        task.update("Format NVM", tenth / 10, None, "")
    task.update("Format NVM", 3.2, 0.5, "7 of 14 completed")
    task.end()
    assert caplog.messages == [
        "Format NVM: 1 s",
        "Format NVM: 2 s",
        "Format NVM: 3 s, 50 %, 7 of 14 completed",
    ]
    assert capsys.readouterr() == ("", "")


def test_lines_of_plain_scripts_are_on_standard_error(run):
    script = """
        from nvme import _progress
        _progress.LINE_PERIOD = 1
        task = _progress.Task()
        task.update("Format NVM", 1.5, None, "")
        task.end()
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    finished = run(script, env=environment)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "Format NVM: 2 s\n")
