"""Forks and spawned processes: the parent's device stays the parent's."""

import sys

import pytest

# What a child tries with objects of its parent.
USES = """
uses = [
    lambda: nvme0n1.read(qpair, buf, 0),
    lambda: nvme0n1.read(qpair, buf, 0).waitdone(),
    lambda: qpair.waitdone(),
    lambda: nvme0.getfeatures(7).waitdone(),
    lambda: nvme0[0x1c],
    lambda: nvme0.id_data(3),
    lambda: nvme0.reset(),
    lambda: d.Qpair(nvme0, 8),
    lambda: d.Namespace(nvme0),
    lambda: d.Pcie(address),
    lambda: d.Buffer(),
]
"""

# The parent goes on after its child.
AFTER = """
assert os.waitpid(pid, 0)[1] == 0
buf[:] = b"parent"
nvme0n1.write(qpair, buf, 5).waitdone()
back = d.Buffer(512)
nvme0n1.read(qpair, back, 5).waitdone()
nvme0.getfeatures(7).waitdone()
assert back[500] == buf[500] and nvme0[0x1c] & 1 == 1
d.Qpair(nvme0, 8).delete()
print("on")
"""


@pytest.mark.parametrize(
    "end", ["os._exit(0)", "sys.exit(0)", "del buf, qpair, nvme0n1, nvme0, pcie; sys.exit(0)"]
)
@pytest.mark.parametrize("busy", [False, True])
def test_a_child_that_uses_nothing(safely, end, busy):
    said = safely(
        f"""
        for lba in range(20 * {busy}):
            nvme0n1.read(qpair, buf, lba)
        worker = nvme0n1.ioworker(io_size=8, time=1).start() if {busy} else None
        pid = os.fork()
        if pid == 0:
            {end}
        qpair.waitdone(20 * {busy})
        if worker:
            assert worker.close().error == 0
    """.replace("\n        ", "\n")
        + AFTER
    )
    assert said == "on\n"


def test_a_child_that_uses_the_device(safely):
    said = safely(
        USES
        + """
worker = nvme0n1.ioworker(io_size=8, time=1).start()
pid = os.fork()
if pid == 0:
    for number, use in enumerate(uses):
        try:
            use()
        except (AssertionError, d.NvmeEnumerateError, d.QpairCreationError, d.NamespaceCreationError) as error:
            if "spawn" not in str(error):
                print(number, "says", error, flush=True)
        except Exception as error:
            print(number, "raises", repr(error), flush=True)
        else:
            print(number, "works", flush=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nvme0n1.ioworker(io_size=8, time=1).start().close()
        worker.close()
    print(*(str(warning.message) for warning in caught), sep="\\n", flush=True)
    for close in (qpair.delete, nvme0n1.close, pcie.close):
        close()
    sys.exit(0)
"""
        + AFTER
    )
    assert said.splitlines() == [
        "ioworker host ERROR -1: init fail in pyx",
        "ioworker host ERROR -7: sudden terminated",
        "on",
    ]


def test_a_child_in_a_wait(safely):
    """A fork from a callback and from beside a waiting thread."""
    said = safely(
        """
thread = threading.Thread(target=lambda: qpair.waitdone())
thread.start()
time.sleep(0.1)
pid = os.fork()
if pid == 0:
    sys.exit(0)
nvme0n1.read(qpair, buf, 0)
thread.join()
"""
        + AFTER
        + """
def callback(cpl):
    global pid
    pid = os.fork()
    if pid == 0:
        os._exit(0)
nvme0n1.read(qpair, buf, 0, cb=callback).waitdone()
"""
        + AFTER
    )
    assert said == "on\non\n"


MAIN = """
import multiprocessing, os, sys
import nvme as d

def child(address, results):
    try:
        pcie = d.Pcie(address)
        nvme0 = d.Controller(pcie, True)
        nvme0n1 = d.Namespace(nvme0)
        qpair, buf = d.Qpair(nvme0, 8), d.Buffer(512)
        nvme0n1.read(qpair, buf, 77).waitdone()
        results.put((os.getpid(), qpair.sqid, bytes(buf[16:21])))
        qpair.delete()
        nvme0n1.close()
        pcie.close()
    except Exception as error:
        results.put(repr(error))

if __name__ == "__main__":
    address, method = sys.argv[1:]
    pcie = d.Pcie(address)
    nvme0 = d.Controller(pcie)
    nvme0n1 = d.Namespace(nvme0)
    qpair, buf = d.Qpair(nvme0, 8), d.Buffer(512)
    buf[16:] = b"hello"
    nvme0n1.write(qpair, buf, 77).waitdone()
    context = multiprocessing.get_context(method)
    results = context.Queue()
    processes = [context.Process(target=child, args=(nvme0.addr, results)) for _ in range(2)]
    [process.start() for process in processes]
    for process in processes:
        result = results.get(timeout=30)
        print(result if isinstance(result, str) else result[1:])
        nvme0n1.read(qpair, buf, 77).waitdone()
    [process.join(30) for process in processes]
    print([process.exitcode for process in processes], nvme0.getfeatures(7).waitdone() > 0)
"""


@pytest.fixture
def processes(run, pciaddr, tmp_path):
    """Run MAIN, whose children are made in one way."""

    def processes(method):
        script = tmp_path / "main.py"
        script.write_text(MAIN)
        return run(
            "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:], timeout=50))",
            sys.executable,
            str(script),
            pciaddr,
            method,
        )

    return processes


def test_spawned_children_have_associations_of_their_own(processes):
    finished = processes("spawn")
    assert finished.stdout == "(1, b'hello')\n(1, b'hello')\n[0, 0] True\n", finished.stderr


def test_forked_children_are_told_to_be_spawned(processes):
    finished = processes("fork")
    lines = finished.stdout.splitlines()
    assert lines[2] == "[0, 0] True", finished.stderr
    assert all("NvmeEnumerateError" in line and "spawn" in line for line in lines[:2]), lines
