"""The interpreter ends: with commands in flight, workers, waiting threads, and targets that do not answer."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from conftest import OPEN

# What goes on when the script ends.
STATES = {
    "nothing": "",
    "in flight": "[nvme0n1.read(qpair, d.Buffer(4096), lba, cb=print) for lba in range(60)]; nvme0.getfeatures(7)",
    "worker": "worker = nvme0n1.ioworker(io_size=8, time=60).start()",
    "forgotten worker": "nvme0n1.ioworker(io_size=8, time=60).start()",
    "daemon": "threading.Thread(target=qpair.waitdone, daemon=True).start(); time.sleep(0.2)",
    "admin daemon": "threading.Thread(target=nvme0.waitdone, daemon=True).start(); time.sleep(0.2)",
    "worker's daemon": "threading.Thread(target=nvme0n1.ioworker(io_size=8, time=60).start().close, daemon=True)"
    ".start(); time.sleep(0.2)",
    "busy daemon": """
def loop():
    while True:
        nvme0n1.read(qpair, buf, 0, cb=lambda cpl: None).waitdone()
threading.Thread(target=loop, daemon=True).start()
time.sleep(0.2)
""",
    "connecting daemon": """
def loop():
    while True:
        d.Pcie(address).close()
threading.Thread(target=loop, daemon=True).start()
time.sleep(0.2)
""",
    "cycle": "class Script: pass\nscript = Script()\nscript.all = [script, pcie, nvme0, nvme0n1, qpair, buf]",
    "kept for ever": "import builtins; builtins.kept = [pcie, nvme0, nvme0n1, qpair, buf]",
}

ENDS = {"the end": ("", 0), "sys.exit": ("sys.exit(3)", 3), "os._exit": ("os._exit(4)", 4)}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("end", ENDS)
def test_the_interpreter_ends(safely, state, end):
    text, code = ENDS[end]
    begin = time.monotonic()
    safely(f"{STATES[state]}\nprint('end', flush=True)\n{text}\n", code=code, timeout=20)
    assert time.monotonic() - begin < 15


def test_sys_exit_in_a_callback(safely):
    safely(
        """
        nvme0n1.read(qpair, buf, 1)
        nvme0n1.read(qpair, buf, 0, cb=lambda cpl: sys.exit(7))
        nvme0n1.read(qpair, buf, 2)
        qpair.waitdone(3)
    """,
        code=7,
    )


def test_an_exception_of_the_script(safely):
    safely(
        """
        nvme0n1.ioworker(io_size=8, time=60).start()
        nvme0n1.read(qpair, buf, 0)
        raise ValueError("the script's own")
    """,
        code=1,
    )
    assert safely.stderr.rstrip().endswith("ValueError: the script's own")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_from_outside(safely, number):
    safely(
        f"""
        nvme0n1.ioworker(io_size=8, time=60).start()
        nvme0n1.read(qpair, buf, 0)
        os.kill(os.getpid(), {int(number)})
        time.sleep(30)
    """,
        code=-number,
    )


@pytest.mark.parametrize("state", ["nothing", "in flight", "worker", "daemon"])
def test_the_target_is_stopped(own_target, state):
    """Nobody answers any more: the end is bounded."""
    script = OPEN + textwrap.dedent(STATES[state]) + "\nprint('ready', flush=True)\ninput()\n"
    child = subprocess.Popen(
        [sys.executable, "-c", script, own_target.address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert child.stdout.readline() == "ready\n"
        os.kill(own_target.pid, signal.SIGSTOP)
        begin = time.monotonic()
        child.communicate("\n", timeout=25)
        assert child.returncode == 0 and time.monotonic() - begin < 12
    finally:
        os.kill(own_target.pid, signal.SIGCONT)
        child.kill()
        child.wait()


def test_nothing_is_left_behind(safely):
    pid = safely("""
        nvme0n1.ioworker(io_size=8, time=60).start()
        print(os.getpid())
    """).strip()
    assert not os.path.exists(f"/var/run/dpdk/spdk_pid{pid}")
    for folder in ("/dev/hugepages", "/dev/shm"):
        assert not any(pid in name for name in (os.listdir(folder) if os.path.isdir(folder) else []))
