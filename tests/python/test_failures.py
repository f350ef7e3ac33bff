"""Devices that are not there and targets that do not answer."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import warnings

import nvme as d
import pytest


@pytest.fixture
def closed_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    return port


@pytest.fixture
def silent_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def own_target():
    target = d.Target(megabytes=16)
    yield target
    target.stop()


def fails(within, make, match):
    begin = time.monotonic()
    with pytest.raises(d.NvmeEnumerateError, match=match) as caught:
        make()
    assert time.monotonic() - begin < within
    assert str(caught.value).startswith("fail to create the controller")


@pytest.mark.parametrize(
    "address, match",
    [
        ("0000:00:00.0", "lspci|hugepages"),
        ("ff:1f.7", "lspci|hugepages"),
        ("no-such-host.invalid", "cannot resolve|did not finish"),
        ("not an address", "no address"),
        ("127.0.0.1:99999", "no port"),
        ("a" * 400, "too long"),
    ],
)
def test_addresses_that_lead_nowhere(address, match):
    fails(20, lambda: d.Pcie(address, timeout=5), match)


def test_an_empty_address_without_a_default(run):
    finished = run("import nvme; nvme.Pcie('')")
    assert "NvmeEnumerateError" in finished.stderr and "embedded target" in finished.stderr


def test_a_closed_port(closed_port):
    fails(15, lambda: d.Tcp("127.0.0.1", closed_port), "start the target")


def test_a_silent_port(silent_port):
    fails(20, lambda: d.Tcp("127.0.0.1", silent_port, timeout=1), "did not finish within|NVMe/TCP")


def test_an_unknown_subsystem(pciaddr):
    fails(20, lambda: d.Pcie(pciaddr, nqn="nqn.2014-08.org.example:nobody"), "check the NQN")


def test_a_stopped_target(own_target):
    pcie = d.Pcie(own_target.address, timeout=4)
    nvme0 = d.Controller(pcie)
    os.kill(own_target.pid, signal.SIGSTOP)
    try:
        fails(20, lambda: d.Pcie(own_target.address, timeout=1), "did not finish within")
        begin = time.monotonic()
        with pytest.raises(d.QpairCreationError, match="did not finish within"):
            d.Qpair(nvme0, 8)
        pcie.close()
        assert time.monotonic() - begin < 25
    finally:
        os.kill(own_target.pid, signal.SIGCONT)


def test_waitdone_gives_up(own_target):
    pcie = d.Pcie(own_target.address)
    nvme0 = d.Controller(pcie)
    nvme0.timeout = 0
    os.kill(own_target.pid, signal.SIGSTOP)
    nvme0.getfeatures(7)
    begin = time.monotonic()
    with pytest.raises(TimeoutError, match="pynvme timeout in driver"):
        nvme0.waitdone()
    assert 19 < time.monotonic() - begin < 25
    os.kill(own_target.pid, signal.SIGCONT)
    nvme0.waitdone()
    pcie.close()


def test_a_killed_target(own_target):
    pcie = d.Pcie(own_target.address)
    nvme0 = d.Controller(pcie)
    nvme0n1 = d.Namespace(nvme0)
    qpair = d.Qpair(nvme0, 8)
    worker = nvme0n1.ioworker(io_size=8, time=60).start()
    own_target.stop()
    with pytest.warns(UserWarning, match="ioworker host ERROR"):
        worker.close()
    with pytest.raises(ConnectionError, match="disconnected"), warnings.catch_warnings():
        # Whether the queue is known to be gone when the first one is sent is a matter of luck.
        warnings.simplefilter("ignore")
        for _ in range(2):
            nvme0n1.read(qpair, d.Buffer(512), 0).waitdone()
    pcie.close()


def test_what_a_killed_target_had_is_aborted(own_target):
    pcie = d.Pcie(own_target.address)
    nvme0 = d.Controller(pcie)
    nvme0n1 = d.Namespace(nvme0)
    qpair = d.Qpair(nvme0, 8)
    os.kill(own_target.pid, signal.SIGSTOP)
    nvme0n1.read(qpair, d.Buffer(512), 0)
    os.kill(own_target.pid, signal.SIGKILL)
    with pytest.warns(UserWarning, match="ERROR status: 00/08"):
        qpair.waitdone()
    with pytest.raises(ConnectionError, match="disconnected"):
        qpair.waitdone()
    pcie.close()


def test_others_are_not_held_up(nvme0n1, qpair, silent_port):
    buf, failed = d.Buffer(512), []

    def connect():
        try:
            d.Tcp("127.0.0.1", silent_port, timeout=1.5)
        except d.NvmeEnumerateError as error:
            failed.append(error)

    def slowest():
        """How long a read takes at most while another thread connects."""
        waiting, slowest = threading.Thread(target=connect), 0
        waiting.start()
        while waiting.is_alive():
            begin = time.monotonic()
            nvme0n1.read(qpair, buf, 0).waitdone()
            slowest = max(slowest, time.monotonic() - begin)
        return slowest

    # A machine that has other things to do holds up one of them, but hardly each.
    assert any(slowest() < 0.5 for _ in range(3))
    assert failed


@pytest.mark.parametrize("what", ["waitdone", "connect", "worker"])
def test_ctrl_c_ends_any_wait(what, pciaddr, silent_port):
    script = """if True:
        import sys
        import nvme as d
        what, address, silent = sys.argv[1:]
        pcie = d.Pcie(address)
        nvme0 = d.Controller(pcie)
        namespace = d.Namespace(nvme0)
        try:
            print("ready", flush=True)
            if what == "waitdone":
                d.Qpair(nvme0, 8).waitdone()
            elif what == "connect":
                d.Tcp("127.0.0.1", int(silent), timeout=60)
            else:
                namespace.ioworker(io_size=8, time=60).start().close()
        except KeyboardInterrupt:
            print("interrupted")
    """
    child = subprocess.Popen(
        [sys.executable, "-c", script, what, pciaddr, str(silent_port)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.3)
    begin = time.monotonic()
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=50)[0] == "interrupted\n"
    assert child.returncode == 0 and time.monotonic() - begin < 20


def test_nobody_reads_the_log(pciaddr):
    """A pipe whose reader is gone, as behind `2>&1 | head`, ends no test."""
    script = """
        import sys, time, warnings
        import nvme as d

        warnings.simplefilter("ignore")
        pcie = d.Pcie(sys.argv[1])
        nvme0 = d.Controller(pcie)
        time.sleep(0.5)
        for _ in range(10):
            nvme0.send_cmd(0xFF).waitdone()
            nvme0.cmdlog(1)
        pcie.close()
        print("went on")
        """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), pciaddr],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "NVME_RPC_SOCKET": ""},
    )
    child.stderr.close()
    assert child.stdout.read() == b"went on\n"
    assert child.wait(30) == 0
    child.stdout.close()
