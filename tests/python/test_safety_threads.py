"""Waiting from other threads than the first, and from several at once."""


def test_another_thread_waits(safely):
    said = safely("""
        done = []
        for lba in range(10):
            nvme0n1.read(qpair, buf, lba, cb=lambda cpl: done.append(threading.current_thread().name))
        thread = threading.Thread(target=lambda: (qpair.waitdone(10), nvme0.getfeatures(7).waitdone()), name="other")
        thread.start()
        thread.join()
        print(set(done), len(done))
    """)
    assert said == "{'other'} 10\n"


def test_two_threads_on_two_queues(safely):
    said = safely("""
        counts = {}
        def work(name):
            queue, mine = d.Qpair(nvme0, 16), d.Buffer(512)
            def done(cpl):
                counts[name] = counts.get(name, 0) + 1
            for turn in range(300):
                for lba in range(10):
                    nvme0n1.read(queue, mine, lba, cb=done)
                queue.waitdone(10)
            queue.delete()
        threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        print(sorted(counts.items()))
    """)
    assert said == "[('a', 3000), ('b', 3000)]\n"


def test_two_threads_on_one_queue(safely):
    said = safely("""
        sys.setswitchinterval(1e-5)
        done = []
        def work():
            for turn in range(300):
                for lba in range(10):
                    nvme0n1.read(qpair, buf, lba, cb=done.append)
                qpair.waitdone(10)
        threads = [threading.Thread(target=work) for _ in range(2)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        print(len(done))
    """)
    assert said == "6000\n"


def test_two_threads_on_the_admin_queue(safely):
    said = safely("""
        done = []
        def work():
            for turn in range(300):
                nvme0.getfeatures(7, cb=done.append).waitdone()
                nvme0.id_data(3, 0)
        threads = [threading.Thread(target=work) for _ in range(2)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        print(len(done))
    """)
    assert said == "600\n"


def test_everything_at_once(safely):
    """Queues and devices come and go while others use them: exceptions, but nothing worse."""
    said = safely(
        """
        import collections
        sys.setswitchinterval(1e-5)
        warnings.simplefilter("ignore")
        end, count = time.monotonic() + 5, collections.Counter()
        shared = [qpair]
        def renew():
            old, shared[0] = shared[0], d.Qpair(nvme0, 8)
            old.delete()
        def read():
            nvme0n1.read(shared[0], buf, 0, cb=lambda cpl: None)
            shared[0].waitdone(0)
        def register():
            nvme0[0x1c]
        def identify():
            nvme0.id_data(63, 24, str)
        def namespace():
            d.Namespace(nvme0).close()
        def worker():
            nvme0n1.ioworker(io_size=1, io_count=50, qdepth=4).start().close()
        def connect():
            d.Pcie(address).close()
        def log():
            nvme0.cmdlog_entries(50)
            shared[0].cmdlog_entries(50)
        def loop(act):
            while time.monotonic() < end:
                try:
                    act()
                    count[act.__name__] += 1
                except (AssertionError, d.QpairCreationError) as error:
                    count["refused"] += 1
        acts = (renew, read, read, register, identify, namespace, worker, connect, log)
        threads = [threading.Thread(target=loop, args=(act,)) for act in acts]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        print(all(count[act.__name__] > 10 for act in acts), file=sys.stderr)
        pcie.close()
        print("on")
        """,
        timeout=60,
    )
    assert said == "on\n"


def test_a_queue_that_goes_while_a_thread_waits(safely):
    """The wait ends with an exception, soon."""
    said = safely("""
        raised = []
        def work(wait):
            try:
                wait()
            except (AssertionError, ConnectionError) as error:
                raised.append(type(error).__name__)
        for queue, act in (
            (d.Qpair(nvme0, 8), lambda: queue.delete()),
            (d.Qpair(nvme0, 8), nvme0.reset),
            (nvme0, nvme0.reset),
            (nvme0, pcie.close),
        ):
            thread = threading.Thread(target=work, args=(queue.waitdone,))
            thread.start()
            time.sleep(0.2)
            act()
            begin = time.monotonic()
            thread.join()
            assert time.monotonic() - begin < 6
            if act == nvme0.reset:
                nvme0.getfeatures(7).waitdone()
        print(len(raised))
    """)
    assert said == "4\n"


def test_python_runs_while_a_thread_waits(safely):
    said = safely("""
        thread = threading.Thread(target=lambda: (nvme0.waitdone(), print("done")), daemon=True)
        thread.start()
        begin, count = time.monotonic(), 0
        while time.monotonic() - begin < 1:
            count += 1
        print(count > 100_000, thread.is_alive())
        nvme0.getfeatures(7)
        thread.join()
    """)
    assert said == "True True\ndone\n"
