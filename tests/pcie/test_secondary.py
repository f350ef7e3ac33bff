"""Processes that share a controller: a child that was spawned attaches to what its parent has open."""

import gc
import json
import multiprocessing
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import nvme as d
import pytest

ADDRESS = "0000:01:00.0"

spawn = multiprocessing.get_context("spawn")


@pytest.fixture
def device():
    """A controller and a namespace, whose reads are verified."""
    pcie = d.Pcie(ADDRESS)
    nvme0 = d.Controller(pcie)
    namespace = d.Namespace(nvme0)
    assert namespace.verify_enable()
    yield pcie, nvme0, namespace
    pcie.close()


class Child:
    """A process that runs one function of this file, with a pipe to it."""

    def __init__(self, target):
        self.pipe, theirs = spawn.Pipe()
        self.process = spawn.Process(target=target, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def says(self, seconds=120):
        """What it sends next."""
        assert self.pipe.poll(seconds), "the child says nothing"
        return self.pipe.recv()

    def ends(self):
        """With which status."""
        self.process.join(60)
        return self.process.exitcode


def opened():
    pcie = d.Pcie(ADDRESS)
    nvme0 = d.Controller(pcie, True)
    return pcie, nvme0, d.Namespace(nvme0)


def files_left():
    """Of this process's environment."""
    places = [pathlib.Path("/dev/hugepages"), pathlib.Path("/run/dpdk")]
    return [file for place in places if place.exists() for file in place.glob("nvme-*")]


def sends_both_kinds(pipe):
    pcie, nvme0, namespace = opened()
    qpair = d.Qpair(nvme0, 8)
    buf = d.Buffer(4096)
    for lba in range(0, 800, 8):
        namespace.write(qpair, buf, lba, 8).waitdone()
        nvme0.getfeatures(7).waitdone()
        namespace.read(qpair, buf, lba, 8).waitdone()
    pipe.send((nvme0.id_data(63, 24, str), qpair.sqid, nvme0.latest_cid))
    pipe.recv()
    qpair.delete()
    namespace.close()
    pcie.close()


def test_child_and_parent_use_one_controller(device):
    _, nvme0, namespace = device
    with namespace.ioworker(io_size=8, region_start=8000, time=10, qdepth=8) as worker:
        time.sleep(1)
        child = Child(sends_both_kinds)
        while not child.pipe.poll(0):
            nvme0.getfeatures(7).waitdone()
        model, sqid, _ = child.says()
        assert model == nvme0.id_data(63, 24, str)
        # The worker has the first one; no two queues have the same.
        mine = d.Qpair(nvme0, 8)
        assert len({1, sqid, mine.sqid}) == 3
        # What the child wrote is verified here.
        buf = d.Buffer(4096)
        for lba in range(0, 800, 8):
            namespace.read(mine, buf, lba, 8).waitdone()
        child.pipe.send(None)
        assert child.ends() == 0
    assert worker.close().error == 0


def writes_and_waits(pipe):
    pcie, nvme0, namespace = opened()
    qpair = d.Qpair(nvme0, 8)
    buf = d.Buffer(512)
    namespace.write(qpair, buf, 0, 1).waitdone()
    pipe.send(buf.data(511, 504))
    while pipe.recv() != "end":
        namespace.read(qpair, buf, 1, 1).waitdone()
        pipe.send(buf.data(511, 504))
    qpair.delete()
    pcie.close()


def test_tokens_and_checksums_are_common(device):
    _, nvme0, namespace = device
    qpair = d.Qpair(nvme0, 8)
    child = Child(writes_and_waits)
    theirs = child.says()
    buf = d.Buffer(512)
    namespace.write(qpair, buf, 1, 1).waitdone()
    # No block has the token of another.
    assert buf.data(511, 504) > theirs
    child.pipe.send("read")
    assert child.says() == buf.data(511, 504)
    namespace.read(qpair, buf, 0, 1).waitdone()
    assert buf.data(511, 504) == theirs
    child.pipe.send("end")
    assert child.ends() == 0


def rpc(method, *params):
    with socket.socket(socket.AF_UNIX) as console:
        console.connect("/var/tmp/pynvme.sock")
        console.settimeout(30)
        by_name = params and isinstance(params[0], dict)
        params = params[0] if by_name else list(params)
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        console.sendall(json.dumps(request).encode())
        return json.loads(console.makefile().readline())["result"]


def test_consoles_see_the_childs_queues_as_well(device):
    _, nvme0, _ = device
    mine = d.Qpair(nvme0, 8)
    child = Child(writes_and_waits)
    child.says()
    rows = rpc("list_all_qpair")
    assert [row["qid"] for row in rows] == [1, mine.sqid + 1, mine.sqid + 2]
    assert len({row["qpair"] for row in rows}) == 3
    assert all(row["ctrlr"] == ADDRESS for row in rows)
    child.pipe.send("read")
    child.says()
    texts = rpc("get_cmdlog", rows[-1]["qpair"])
    assert "[cmd" in texts[0] and "Read" in texts[0], texts[0]
    assert "Write" in texts[2], texts[2]
    assert rpc("get_iostat")[1] >= 2
    counts = rpc("nvme_queues")
    queues = [(row["controller"], row["qid"]) for row in counts["queues"]]
    assert queues == [(0, 0), (0, mine.sqid), (0, mine.sqid + 1)] and len(counts["controllers"]) == 1
    theirs = counts["queues"][-1]
    assert theirs["queue"] == rows[-1]["qpair"] and theirs["completed"] >= 2
    (news,) = rpc("nvme_cmdlog_since", {"queues": [[theirs["queue"], 0, []]]})["queues"]
    assert news["next"] == theirs["completed"]
    assert [sqe[:2] for _, _, sqe, _, _ in news["commands"]][:2] == ["02", "01"]
    child.pipe.send("end")
    assert child.ends() == 0
    assert len(rpc("list_all_qpair")) == 2


def uses_until_it_fails(pipe):
    _, nvme0, namespace = opened()
    qpair = d.Qpair(nvme0, 8)
    buf = d.Buffer(512)
    pipe.send("ready")
    try:
        while True:
            namespace.read(qpair, buf, 0, 1).waitdone()
    except Exception as error:
        pipe.send((type(error).__name__, str(error)))


@pytest.mark.parametrize("what", ["reset", "close"])
def test_child_ends_when_the_parent_takes_it_back(device, what):
    pcie, nvme0, namespace = device
    child = Child(uses_until_it_fails)
    assert child.says() == "ready"
    begin = time.monotonic()
    {"reset": nvme0.reset, "close": pcie.close}[what]()
    assert time.monotonic() - begin < 5
    name, text = child.says()
    assert name in ("AssertionError", "TimeoutError", "OSError", "RuntimeError"), (name, text)
    assert "closed" in text or "deleted" in text, text
    assert child.ends() == 0
    if what == "reset":
        qpair = d.Qpair(nvme0, 8)
        namespace.read(qpair, d.Buffer(512), 0, 1).waitdone()


def forks_and_uses_until_it_fails(pipe):
    pcie, nvme0, namespace = opened()
    child = os.fork()
    if child == 0:
        # As at its end: what it has copies of is dropped.
        del pcie, nvme0, namespace
        gc.collect()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    qpair = d.Qpair(nvme0, 8)
    buf = d.Buffer(512)
    pipe.send("ready")
    try:
        while True:
            namespace.read(qpair, buf, 0, 1).waitdone()
    except Exception as error:
        pipe.send((type(error).__name__, str(error)))


def test_a_fork_of_a_child_does_not_leave_for_it(device):
    """A reset waits for the child, which would lose its memory otherwise."""
    _, nvme0, namespace = device
    child = Child(forks_and_uses_until_it_fails)
    assert child.says() == "ready"
    nvme0.reset()
    _, text = child.says()
    assert "closed" in text or "deleted" in text, text
    assert child.ends() == 0
    namespace.read(d.Qpair(nvme0, 8), d.Buffer(512), 0, 1).waitdone()


def hangs(pipe):
    _, nvme0, namespace = opened()
    qpairs = [d.Qpair(nvme0, 8) for _ in range(4)]
    worker = namespace.ioworker(io_size=8, time=60, qdepth=16).start()
    pipe.send([qpair.sqid for qpair in qpairs])
    worker.close()


def test_child_is_killed(device):
    _, nvme0, namespace = device
    for _ in range(5):
        child = Child(hangs)
        qids = child.says()
        time.sleep(0.5)
        os.kill(child.process.pid, signal.SIGKILL)
        stat = pathlib.Path(f"/proc/{child.process.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.01)
        # Not waited for yet: its queues are given back all the same.
        qpair = d.Qpair(nvme0, 8)
        assert qpair.sqid <= min(qids)
        qpair.delete()
        nvme0.getfeatures(7).waitdone()
        nvme0.reset()
        qpair = d.Qpair(nvme0, 8)
        buf = d.Buffer(4096)
        for lba in range(0, 160, 8):
            namespace.read(qpair, buf, lba, 8).waitdone()
        qpair.delete()
        assert child.ends() == -signal.SIGKILL


def wants_what_is_the_owners(pipe):
    pcie, nvme0, _ = opened()
    said = []
    for call in (nvme0.reset, pcie.reset, pcie.flr):
        try:
            call()
            said.append(None)
        except Exception as error:
            said.append(str(error))
    pipe.send(said)
    pcie.close()


def test_a_reset_is_the_owners(device):
    child = Child(wants_what_is_the_owners)
    said = child.says()
    assert "reset it where it was initialised" in said[0]
    assert all(f"process {os.getpid()}" in text for text in said[1:]), said
    assert child.ends() == 0


def opens_what_is_closed(pipe):
    try:
        pcie = d.Pcie("0000:02:00.0")
        d.Controller(pcie, True)
    except Exception as error:
        pipe.send((type(error).__name__, str(error)))


def test_only_what_the_parent_has_open(device):
    child = Child(opens_what_is_closed)
    name, text = child.says()
    assert name == "NvmeEnumerateError"
    assert "has not opened it" in text and "NVME_SHARING=0" in text
    assert child.ends() == 0


# It has no ancestor that could own its environment once its shell has ended.
ORPHAN = """
import os, sys, time
import nvme as d
while os.getppid() != 1:
    time.sleep(0.01)
pcie = d.Pcie("0000:02:00.0")
d.Controller(pcie)
print(os.getpid(), flush=True)
if sys.argv[1] == "killed":
    os.kill(os.getpid(), 9)
"""


def orphan(how):
    """Runs one that opens a controller; the files of its environment that are there when it has ended."""
    shell = ["sh", "-c", '"$0" -c "$1" "$2" &', sys.executable, ORPHAN, how]
    # Its output ends when it does.
    done = subprocess.run(shell, stdout=subprocess.PIPE, text=True, timeout=120)
    pid = done.stdout.strip()
    assert pid.isdigit(), done
    return [file for file in files_left() if file.name.startswith(f"nvme-{pid}-")]


def test_nothing_is_left_behind():
    assert orphan("ends") == []
    # Who is killed cannot clean up; who comes next does.
    left = orphan("killed")
    assert {file.parent.name for file in left} == {"dpdk", "hugepages"}
    assert orphan("ends") == []
    assert not any(file.exists() for file in left)


# The last here: the pages may stay with this process, which processes of their own would miss.
def test_a_child_comes_when_the_parent_has_taken_the_hugepages(device):
    """Its memory is its parent's anyway."""
    pages = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")
    taken = []
    while int(pages.read_text()) > 20:
        assert len(taken) < 1000
        taken.append(d.Buffer(2 << 20))
    child = Child(writes_and_waits)
    child.says()
    child.pipe.send("end")
    assert child.ends() == 0
