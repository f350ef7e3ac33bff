"""Importing starts nothing; the environment starts with the first use and leaves the process as it was."""

import re


def test_both_transports_are_linked(run):
    script = """
        import nvme
        print(nvme.transport_available("PCIE"), nvme.transport_available("TCP"), nvme.transport_available("X"))
    """
    assert run(script).stdout == "True True False\n"


def test_importing_starts_nothing_and_is_quick(run):
    script = """
        import os, threading, time
        files = set(os.listdir("/proc/self/fd"))
        begin = time.process_time()
        import nvme
        took = time.process_time() - begin
        print(threading.active_count(), len(os.listdir("/proc/self/task")))
        print(sorted(set(os.listdir("/proc/self/fd")) - files))
        print(took)
    """
    runs = [run(script).stdout.splitlines() for _ in range(3)]
    assert runs[0][0] == "1 1"
    assert len(eval(runs[0][1])) <= 1, runs[0][1]
    assert min(float(lines[2]) for lines in runs) < 1, runs


def test_importing_needs_no_root(run):
    script = """
        import os
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        import nvme
        print(nvme.__version__, nvme.Buffer)
    """
    # Where the interpreter itself cannot be read by others, importing as somebody else cannot work.
    finished = run(script)
    if "Permission denied" in finished.stderr or "No module named" in finished.stderr:
        finished = run(script.replace("import os\n", "import os, nvme\n"))
    assert finished.stdout.startswith("2.3.2"), finished.stderr


def test_the_star_brings_what_scripts_lean_on(run):
    script = """
        from nvme import *
        for name in "Buffer Pcie Tcp Controller Subsystem Qpair Namespace srand os time random logging warnings".split():
            globals()[name]
    """
    finished = run(script)
    assert finished.returncode == 0, finished.stderr


def test_affinity_and_signals_stay_as_they_are(run):
    script = """
        import os, signal
        import nvme
        def state():
            return os.sched_getaffinity(0), [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGALRM, signal.SIGTERM)]
        before = state()
        nvme.Buffer()
        assert state() == before
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        nvme.Buffer()
        print(len(os.sched_getaffinity(0)))
    """
    finished = run(script)
    assert finished.stdout == "1\n", finished.stderr


def test_a_second_start_says_what_to_do(run):
    script = """
        import nvme
        nvme.Buffer()
        try:
            nvme.environment(hugepages=False, megabytes=64)
        except nvme.NvmeEnumerateError as error:
            print(error)
    """
    assert "start it once" in run(script).stdout


def test_ordinary_memory_is_said_once(run, pciaddr):
    """As nobody, without hugepages: TCP works, and one line says what does not."""
    script = """
        import os, sys
        import nvme as d
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        pcie = d.Pcie(sys.argv[1])
        nvme0 = d.Controller(pcie)
        nvme0n1 = d.Namespace(nvme0)
        qpair = d.Qpair(nvme0, 16)
        buf = d.Buffer(512)
        buf[10:16] = b"nobody"
        nvme0n1.write(qpair, buf, 3).waitdone()
        again = d.Buffer(512)
        nvme0n1.read(qpair, again, 3).waitdone()
        print(again[10:16], nvme0n1.ioworker(io_size=8, time=1).start().close().io_count_read > 100)
        runs = d.environment()
        print(runs["hugepages"], runs["pci"], runs["memory"] > len(buf))
        qpair.delete()
        pcie.close()
    """
    finished = run(script, pciaddr)
    assert finished.stdout == "b'nobody' True\nFalse False True\n", finished.stderr
    said = [line for line in finished.stderr.splitlines() if "ordinary memory" in line]
    assert len(said) == 1 and re.search(r"WARNING .*not root.*nr_hugepages", said[0]), finished.stderr


def test_a_fork_is_told_to_use_spawn(run):
    script = """
        import os
        import nvme
        nvme.Buffer()
        pid = os.fork()
        if pid == 0:
            try:
                nvme.Buffer()
            except nvme.NvmeEnumerateError as error:
                os._exit(0 if "spawn" in str(error) else 1)
            os._exit(2)
        print(os.waitpid(pid, 0)[1])
    """
    assert run(script).stdout == "0\n"
