"""Workers end cleanly whatever happens to them or to the script, and leave nothing behind."""

import gc
import os
import signal
import threading
import time
import warnings

import nvme as d
import pytest
from conftest import eventually


def threads():
    """Native worker threads of this process."""
    names = []
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/comm") as comm:
                names.append(comm.read().strip())
        except (FileNotFoundError, ProcessLookupError):
            pass
    return [name for name in names if name.startswith("ioworker")]


@pytest.fixture(autouse=True)
def nothing_is_left(nvme0):
    """No thread runs on, and the first queue identifier is free."""
    yield
    # The kernel lists a thread for a moment after its end.
    eventually(lambda: threads() == [])
    qpair = d.Qpair(nvme0, 4)
    assert qpair.sqid == 1
    qpair.delete()


def test_work_goes_on_beside_it(nvme0, nvme0n1, buf):
    qpair = d.Qpair(nvme0, 8)
    with nvme0n1.ioworker(io_size=8, time=1):
        for _ in range(20):
            nvme0n1.read(qpair, buf, 0).waitdone()
            nvme0.getfeatures(7).waitdone()
    qpair.delete()


def test_a_worker_before_its_start(nvme0n1):
    worker = nvme0n1.ioworker(io_size=8, time=1)
    with pytest.raises(AssertionError, match="call start"):
        worker.close()
    worker.start()
    with pytest.raises(AssertionError, match="a worker starts once"):
        worker.start()
    assert worker.close().io_count_read > 0


def test_two_threads_close_it(nvme0n1):
    worker, results = nvme0n1.ioworker(io_size=8, time=1).start(), []
    closers = [threading.Thread(target=lambda: results.append(worker.close())) for _ in range(4)]
    for closer in closers:
        closer.start()
    for closer in closers:
        closer.join()
    assert len(results) == 4 and all(result is results[0] for result in results)


def test_with_and_an_exception(nvme0n1):
    begin = time.monotonic()
    with pytest.raises(AssertionError, match="ioworker exits with exception: sorry") as caught:
        with nvme0n1.ioworker(io_size=8, time=60) as worker:
            raise ValueError("sorry")
    assert isinstance(caught.value.__context__, ValueError)
    assert time.monotonic() - begin < 20
    assert not worker.running
    with pytest.raises(AssertionError, match="was stopped"):
        worker.close()


def test_a_forgotten_worker(nvme0n1):
    nvme0n1.ioworker(io_size=8, time=60).start()
    gc.collect()
    eventually(lambda: threads() == [])


def test_an_error_of_the_device(nvme0n1):
    """Acceptance trace 13, with a read behind the end: this device has no uncorrectable blocks."""
    beyond = nvme0n1.id_data(7, 0)
    rows, seconds = [None] * 3, []
    worker = nvme0n1.ioworker(
        io_sequence=[(0, 1, 0, 8), (0, 2, beyond, 1), (60_000_000, 2, 0, 1)],
        qdepth=2,
        output_cmdlog_list=rows,
        output_io_per_second=seconds,
    ).start()
    with pytest.warns(UserWarning, match="ioworker host ERROR") as caught:
        result = worker.close()
    assert [str(warning.message) for warning in caught] == [
        "ioworker host ERROR -6: io cmd error",
        "ioworker device respond an ERROR status: 00/80",
    ]
    assert result.error == 0x080 and result.mseconds < 10_000, "nothing is sent after an error"
    assert rows == [(0, 0, 0), (0, 8, 1), (beyond, 1, 2)]


def test_reset_under_load(nvme0, nvme0n1):
    """Acceptance trace 16."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seconds, rows = [], [None] * 10
        begin = time.monotonic()
        with nvme0n1.ioworker(
            io_size=8, time=100, output_io_per_second=seconds, output_cmdlog_list=rows
        ) as worker:
            eventually(lambda: worker.completed > 0)
            time.sleep(1.2)
            nvme0.reset()
        assert time.monotonic() - begin < 60
        result = worker.close()
        assert result.error == 0 and result.io_count_read > 0 and len(seconds) == result.mseconds // 1000 >= 1
        assert all(row[1:] == (8, 2) or row[1] < 8 for row in rows)
        assert nvme0n1.ioworker(io_size=8, io_count=100).start().close().io_count_read == 100


def test_the_device_is_closed_under_it(pciaddr):
    pcie = d.Pcie(pciaddr)
    worker = d.Namespace(d.Controller(pcie)).ioworker(io_size=8, time=100).start()
    eventually(lambda: worker.completed > 0)
    pcie.close()
    result = worker.close()
    assert result.error == 0 and result.io_count_read > 0


def test_a_killed_target():
    target = d.Target(megabytes=16)
    pcie = d.Pcie(target.address)
    nvme0n1 = d.Namespace(d.Controller(pcie))
    worker = nvme0n1.ioworker(io_size=8, time=100).start()
    eventually(lambda: worker.completed > 0)
    os.kill(target.pid, signal.SIGKILL)
    begin = time.monotonic()
    with pytest.warns(UserWarning, match="ioworker host ERROR -7: sudden terminated"):
        result = worker.close()
    assert time.monotonic() - begin < 30 and result.io_count_read > 0
    with pytest.warns(UserWarning, match="ioworker host ERROR -1"):
        nvme0n1.ioworker(io_size=8, time=1).start().close()
    pcie.close()
    target.stop()


def ctrl_c_while_a_worker_runs():
    """Ctrl-C in a moment, as soon as there is one."""

    def interrupt():
        eventually(threads)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()


def test_ctrl_c_in_close(nvme0n1):
    worker = nvme0n1.ioworker(io_size=8, time=60).start()
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        ctrl_c_while_a_worker_runs()
        worker.close()
    assert time.monotonic() - begin < 20
    assert worker.running, "it can still be closed"
    del worker


def test_ctrl_c_in_with(nvme0n1):
    worker = nvme0n1.ioworker(io_size=8, time=60)
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        ctrl_c_while_a_worker_runs()
        with worker:
            pass
    assert time.monotonic() - begin < 20 and not worker.running


SCRIPT = """
    import time
    import nvme as d

    target = d.Target(megabytes=16)
    nvme0n1 = d.Namespace(d.Controller(d.Pcie(target.address)))
"""


def test_the_interpreter_exits_while_workers_run(run):
    begin = time.monotonic()
    finished = run(
        SCRIPT
        + """
    workers = [nvme0n1.ioworker(io_size=8, time=1000).start() for _ in range(4)]
    workers.append(workers)
    time.sleep(0.2)
    """
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert time.monotonic() - begin < 60


def test_fw_debug_ends_the_process(run):
    finished = run(
        SCRIPT
        + """
    import logging
    logging.basicConfig(level=logging.INFO)
    assert nvme0n1.ioworker(io_size=8, io_count=10, fw_debug=True).start().close().io_count_read == 10
    nvme0n1.ioworker(io_sequence=[(0, 2, 1 << 40, 1)], fw_debug=True).start().close()
    print("not reached")
    """
    )
    assert finished.returncode == (-6 & 0xFF) and "not reached" not in finished.stdout
    assert "force terminate with ioworker error -6" in finished.stderr


def test_many_short_workers(nvme0n1):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(100):
        with nvme0n1.ioworker(io_size=8, lba_random=False, io_count=1, qdepth=16):
            pass
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_sixteen_workers(nvme0n1):
    workers = [nvme0n1.ioworker(io_size=8, time=4, qdepth=8).start() for _ in range(16)]
    assert len(workers) == 16
    assert all(worker.close().io_count_read > 0 for worker in workers)


def test_the_main_thread_keeps_its_cores(nvme0n1):
    before = os.sched_getaffinity(0)
    with nvme0n1.ioworker(io_size=8, time=1):
        assert os.sched_getaffinity(0) == before
    assert os.sched_getaffinity(0) == before
