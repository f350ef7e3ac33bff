"""Ctrl-C while something is waited for, also when nobody will ever answer."""

import os
import select
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from conftest import OPEN

WAITS = {
    "waitdone": "nvme0n1.read(qpair, buf, 0).waitdone()",
    "admin": "nvme0.getfeatures(7).waitdone()",
    "identify": "nvme0.id_data(3)",
    "register": "nvme0[0x1c]",
    "qpair": "d.Qpair(nvme0, 8)",
    "connect": "d.Pcie(address, timeout=60)",
    "worker": "nvme0n1.ioworker(io_size=8, time=60).start().close()",
    "with": "with nvme0n1.ioworker(io_size=8, time=60): time.sleep(60)",
    "reset": "nvme0.reset()",
}


# With what they need, and no target to continue.
ALONE = {
    "rpc": (
        "target = d.Target(megabytes=16); os.kill(target.pid, signal.SIGSTOP)",
        "target.rpc('spdk_get_version')",
    ),
    "send": (
        """
        def drain(listener):
            taken, into = listener.accept()[0], bytearray(1 << 20)
            while taken.recv_into(into):
                pass
        listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=drain, args=(listener,), daemon=True).start()
        connection = wire.Connection(f"127.0.0.1:{listener.getsockname()[1]}", timeout=60)
        frames = bytes(64 << 20)
        """,
        "connection.send_in_pieces(frames, 64)",
    ),
    "dump": ("buf = d.Buffer(512 << 20)", "buf.dump()"),
}


@pytest.mark.parametrize("what", ALONE)
def test_ctrl_c_ends_what_takes_its_time(what):
    needed, call = ALONE[what]
    script = f"""
import os, signal, socket, threading, nvme as d
from nvme import wire
{textwrap.dedent(needed)}
try:
    print("waiting", flush=True)
    {call}
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "waiting\n"
        time.sleep(0.4)
        child.send_signal(signal.SIGINT)
        assert select.select([child.stdout], [], [], 5)[0], "still waiting"
        assert child.communicate(timeout=30)[0] == "interrupted\n"
        assert child.returncode == 0
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("what", WAITS)
def test_ctrl_c_ends_it_at_once(what, own_target):
    script = OPEN + textwrap.dedent(f"""
        print("ready", flush=True)
        input()
        try:
            print("waiting", flush=True)
            {WAITS[what]}
        except (KeyboardInterrupt, AssertionError) as error:
            interrupt = error if isinstance(error, KeyboardInterrupt) else error.__context__
            print(type(interrupt).__name__, flush=True)
        input()
        # Whatever was interrupted, the module works on; the controller after a reset at the latest.
        try:
            nvme0.reset()
        except d.NvmeEnumerateError:
            pcie.close()
            nvme0 = d.Controller(d.Pcie(address))
        nvme0.getfeatures(7).waitdone()
        queue = d.Qpair(nvme0, 8)
        d.Namespace(nvme0).read(queue, buf, 0).waitdone()
        print("on")
    """)
    child = subprocess.Popen(
        [sys.executable, "-c", script, own_target.address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout.readline() == "ready\n"
        os.kill(own_target.pid, signal.SIGSTOP)
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == "waiting\n"
        time.sleep(0.4)
        child.send_signal(signal.SIGINT)
        assert select.select([child.stdout], [], [], 5)[0], "still waiting"
        assert child.stdout.readline() == "KeyboardInterrupt\n"
        os.kill(own_target.pid, signal.SIGCONT)
        assert child.communicate("\n", timeout=30)[0] == "on\n"
        assert child.returncode == 0
    finally:
        os.kill(own_target.pid, signal.SIGCONT)
        child.kill()
        child.wait()


def test_a_handler_of_the_scripts_own_runs(safely):
    said = safely("""
        class Alarm(Exception):
            pass
        def handler(number, frame):
            raise Alarm
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        begin = time.monotonic()
        try:
            nvme0.waitdone()
        except Alarm:
            print("alarm", time.monotonic() - begin < 5)
        nvme0.getfeatures(7).waitdone()
    """)
    assert said == "alarm True\n"
