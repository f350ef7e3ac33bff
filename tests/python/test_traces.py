"""The acceptance traces that need no PCIe: what scripts of the original observe, literally."""

import logging
import os
import signal
import threading
import time

import nvme as d
import pytest


def token(buf, block=0):
    """The token of a block that was written."""
    return buf.data(block * 512 + 511, block * 512 + 504)


def lines(capfd):
    """What the driver has said on standard error."""
    return capfd.readouterr().err.splitlines()


def next_event(target):
    """Make the target raise an event: its second namespace goes."""
    target.rpc("nvmf_subsystem_remove_ns", {"nqn": target.subnqn, "nsid": 2})


@pytest.fixture
def own():
    """A target of the test's own, with two namespaces, and a controller of it."""
    with d.Target(megabytes=16, namespaces=2) as target:
        pcie = d.Pcie(target.address)
        yield target, d.Controller(pcie)
        pcie.close()


# Notice, Namespace Attribute Changed, log page 04h.
NAMESPACE_CHANGED = 0x40002


@pytest.mark.parametrize("with_callback", [False, True])
def test_1_event_first(own, caplog, with_callback):
    """An event does not count, is reported, and another request follows it."""
    target, nvme0 = own
    caplog.set_level(logging.INFO)
    events = []
    if with_callback:
        nvme0.aer(cb=lambda cpl: events.append(cpl[0]))
    feature = nvme0.getfeatures(7).waitdone()
    requests = sum("ASYNC" in entry["command"] for entry in nvme0.cmdlog_entries())
    next_event(target)
    time.sleep(0.2)
    nvme0.getfeatures(7)
    # The request of the default initialisation was there first, and its event is the first.
    with pytest.warns(
        UserWarning, match=f"^AER notification is triggered: 0x{NAMESPACE_CHANGED:x}$"
    ) as warned:
        assert nvme0.waitdone() == feature
    assert len(warned) == 1
    assert f"AER triggered, dword0: 0x{NAMESPACE_CHANGED:x}" in caplog.text
    assert "process one more command in lieu of aer completion" in caplog.text
    after = nvme0.cmdlog_entries()
    assert sum("ASYNC" in entry["command"] for entry in after) == requests + 1
    outstanding = [entry for entry in after if entry["completion"] is None]
    assert len(outstanding) == 1 + with_callback


def test_2_event_request_aborted(nvme0):
    aborted = []
    nvme0.aer(cb=lambda cdw0, status: aborted.append(status >> 1 & 0x7FF))
    cid = nvme0.latest_cid
    with pytest.warns(UserWarning, match="^ERROR status: 00/07$") as warned:
        nvme0.abort(cid).waitdone()
        # The request may come back after the abort.
        nvme0.getfeatures(7).waitdone()
    assert len(warned) == 1
    assert aborted == [0x007]
    nvme0.timeout = 1
    started = time.monotonic()
    with pytest.raises(TimeoutError) as raised:
        nvme0.waitdone()
    assert str(raised.value) == "pynvme timeout in driver"
    assert 19 < time.monotonic() - started < 25


@pytest.mark.parametrize("expected", [1, 2])
def test_3_callback_chain(nvme0n1, qpair, expected):
    buf, back = d.Buffer(512), d.Buffer(512)
    done = []

    def written(cpl):
        done.append("write")
        nvme0n1.read(qpair, back, 7, cb=lambda cpl: done.append("read"))

    nvme0n1.write(qpair, buf, 7, cb=written)
    qpair.waitdone(expected)
    assert done == ["write", "read"][:expected]
    qpair.waitdone(2 - expected)
    assert done == ["write", "read"]


def test_4_reentry(nvme0, nvme0n1, qpair):
    buf = d.Buffer(512)

    def again(cpl):
        nvme0n1.read(qpair, buf, 1).waitdone()

    with pytest.warns(UserWarning, match=r"ASSERT: cannot re-entry waitdone\(\)"):
        nvme0n1.read(qpair, buf, 0, cb=again).waitdone()
    qpair.waitdone()

    asks = [lambda: nvme0.id_data(1), lambda: nvme0.mdts, lambda: nvme0.supports(2), lambda: nvme0n1.capacity]
    for ask in asks:
        with pytest.warns(UserWarning, match=r"ASSERT: cannot re-entry waitdone\(\)"):
            nvme0n1.read(qpair, buf, 0, cb=lambda cpl, ask=ask: ask()).waitdone()


@pytest.fixture
def stop(own):
    """Stop the target; the function returned resumes it in half a second."""
    target, _ = own
    timer = threading.Timer(0.5, os.kill, (target.pid, signal.SIGCONT))

    def stop():
        os.kill(target.pid, signal.SIGSTOP)
        return timer.start

    yield stop
    timer.cancel()
    os.kill(target.pid, signal.SIGCONT)


def test_5_drive_timeout(own, stop):
    _, nvme0 = own
    nvme0.timeout = 10
    completions, resume = [], stop()

    def done(cdw0, status):
        completions.append((cdw0, status, time.monotonic()))
        resume()

    nvme0.getfeatures(7, cb=done)
    cid = nvme0.latest_cid
    with pytest.warns(UserWarning, match="drive timeout") as warned:
        assert nvme0.waitdone() == 0xFFFFFFFF
    ended = time.monotonic()
    assert [str(warning.message) for warning in warned] == [
        f"drive timeout: qpair: 0, cid: {cid}",
        "ERROR status: 07/ff",
    ]
    ((cdw0, status, when),) = completions
    assert (cdw0, status) == (0xFFFFFFFF, 0xFFFF)
    # The callback comes with the timeout, the end with the target's answer.
    assert ended - when > 0.4
    assert nvme0.cmdlog_entries(1)[0]["cqe"] == [0xFFFFFFFF] * 4
    # Everything is as before, and the timeout stays.
    assert nvme0.timeout == 10
    nvme0.timeout = 10000
    assert nvme0.getfeatures(7).waitdone() != 0xFFFFFFFF


def test_5_drive_timeout_of_io(own, stop):
    _, nvme0 = own
    nvme0n1 = d.Namespace(nvme0)
    qpair = d.Qpair(nvme0, 8)
    buf = d.Buffer(512)
    nvme0.timeout = 50
    completions, resume = [], stop()

    def done(cpl):
        completions.append(cpl)
        if len(completions) == 3:
            resume()

    for lba in range(3):
        nvme0n1.read(qpair, buf, lba, cb=done)
    with pytest.warns(UserWarning, match="^drive timeout: qpair: 1, cid: ") as warned:
        qpair.waitdone(3)
    assert len(warned) == 6
    nvme0.timeout = 10000
    nvme0n1.read(qpair, buf, 0).waitdone()


def test_6_queue_full(nvme0, nvme0n1, buf):
    qpair = d.Qpair(nvme0, 4)
    for lba in range(3):
        nvme0n1.read(qpair, buf, lba)
    with pytest.raises(AssertionError, match="error in submitting read write commands: -22"):
        nvme0n1.read(qpair, buf, 3)
    qpair.waitdone(3)
    qpair.delete()


def test_7_mismatch(nvme0n1, qpair, verify, capfd):
    assert verify
    foreign = d.Buffer(512, pvalue=0x5A5A5A5A, ptype=32)
    back = d.Buffer(512)
    nvme0n1.send_cmd(1, qpair, foreign).waitdone()
    for read in (
        lambda: nvme0n1.read(qpair, back, 0),
        lambda: nvme0n1.send_cmd(2, qpair, back),
    ):
        back[:] = bytes(512)
        with pytest.warns(UserWarning, match="^ERROR status: 07/81$"):
            read().waitdone()
        assert back[:] == foreign[:]
    lines(capfd)
    qpair.cmdlog(1)
    said = lines(capfd)
    assert any("SUCCESS (00/00)" in line for line in said), said
    nvme0n1.send_cmd(1, qpair, d.Buffer(512)).waitdone()
    nvme0n1.read(qpair, back, 0).waitdone()
    assert back[:] == bytes(512)


def test_8_conflict(nvme0, nvme0n1, verify):
    qpair = d.Qpair(nvme0, 1024)
    bufs = [d.Buffer(512) for _ in range(1000)]
    for buf in bufs:
        nvme0n1.write(qpair, buf, 0)
    qpair.waitdone(1000)
    tokens = [token(buf) for buf in bufs]
    assert all(after > before for before, after in zip(tokens, tokens[1:]))
    back = d.Buffer(512)
    nvme0n1.read(qpair, back, 0).waitdone()
    assert token(back) == tokens[-1]
    qpair.delete()


def test_18_session_buffer(nvme0n1, qpair, buf):
    buf.offset = 3000
    try:
        nvme0n1.read(qpair, buf, 0, 8).waitdone()
    finally:
        buf.offset = 0
