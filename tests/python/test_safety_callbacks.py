"""Callbacks: who keeps them, what they may raise, what they may do."""

import pytest


def test_nobody_else_keeps_an_inline_callback(safely):
    said = safely("""
        import weakref
        done, alive = [], weakref.WeakSet()
        class Callback:
            def __call__(self, cpl):
                done.append(cpl[3] >> 17)
        def new():
            callback = Callback()
            alive.add(callback)
            return callback
        for turn in range(200):
            for lba in range(50):
                nvme0n1.read(qpair, d.Buffer(512), lba, cb=new() if lba % 2 else lambda cpl: done.append(0))
            gc.collect()
            qpair.waitdone(50)
        print(len(done), set(done), len(alive))
        nvme0n1.read(qpair, buf, 0, cb=new())
        gc.collect()
        print(len(alive))
        qpair.delete()
        print(len(alive))
    """)
    assert said == "10000 {0} 0\n1\n0\n"


@pytest.mark.parametrize(
    "raised, warning",
    [
        ("AssertionError('no')", "ASSERT: no"),
        ("TypeError('sorry')", "callback: sorry"),
    ],
)
def test_an_exception_that_becomes_a_warning(safely, raised, warning):
    said = safely(f"""
        def callback(*arguments):
            raise {raised}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for ask in (lambda: nvme0n1.read(qpair, buf, 0, cb=callback), lambda: nvme0.getfeatures(7, cb=callback)):
                ask().waitdone()
        print([str(warning.message) for warning in caught])
        nvme0n1.read(qpair, buf, 0).waitdone()
    """)
    assert said == f"{[warning] * 2}\n"


@pytest.mark.parametrize("raised", ["ValueError('lost')", "TimeoutError('lost')", "StopIteration('lost')"])
def test_an_exception_that_cannot_be_raised(safely, raised):
    said = safely(f"""
        done = []
        def callback(cpl):
            done.append(cpl)
            raise {raised}
        for lba in range(3):
            nvme0n1.read(qpair, buf, lba, cb=callback)
        qpair.waitdone(3)
        print(len(done))
    """)
    assert said == "3\n"
    assert safely.stderr.count("Exception ignored in") == 3 and "lost" in safely.stderr


@pytest.mark.parametrize("raised", ["KeyboardInterrupt", "SystemExit", "GeneratorExit"])
def test_an_exception_that_is_not_the_callbacks_to_swallow(safely, raised):
    said = safely(f"""
        done = []
        def callback(cpl):
            raise {raised}
        nvme0n1.read(qpair, buf, 0, cb=callback)
        nvme0n1.read(qpair, buf, 1, cb=done.append)
        try:
            qpair.waitdone(2)
        except {raised}:
            print("raised")
        qpair.waitdone(1)
        nvme0.getfeatures(7).waitdone()
        print(len(done))
    """)
    assert said == "raised\n1\n"


def test_warnings_that_are_errors_end_the_wait_and_nothing_else(safely):
    said = safely("""
        warnings.simplefilter("error")
        beyond = nvme0n1.id_data(7, 0)
        try:
            nvme0n1.read(qpair, buf, beyond).waitdone()
        except UserWarning as warning:
            print(warning)
        nvme0n1.read(qpair, buf, 0).waitdone()
        print("on")
    """)
    assert said == "ERROR status: 00/80\non\n"


@pytest.mark.parametrize(
    "act", ["qpair.delete()", "nvme0.reset()", "pcie.close()", "nvme0n1.close()", "d.Controller(pcie)"]
)
def test_a_callback_that_takes_something_away(safely, act):
    """The wait it runs in ends, at once; what is left works or says that it is gone."""
    said = safely(f"""
        def callback(cpl):
            {act}
        for lba in range(8):
            nvme0n1.read(qpair, buf, lba, cb=callback if lba == 3 else None)
        begin = time.monotonic()
        try:
            qpair.waitdone(8)
        except (AssertionError, ConnectionError) as error:
            print(error, file=sys.stderr)
        print(time.monotonic() - begin < 5)
        pcie.close()
        again = d.Controller(d.Pcie(address))
        queue = d.Qpair(again, 8)
        d.Namespace(again).read(queue, buf, 0).waitdone()
        print("on")
    """)
    assert said == "True\non\n"


def test_a_callback_that_does_the_same_to_its_own_admin_queue(safely):
    said = safely("""
        for act in (nvme0.reset, pcie.close):
            nvme0.getfeatures(7, cb=lambda cpl: act())
            nvme0.getfeatures(7)
            try:
                nvme0.waitdone(2)
            except (AssertionError, ConnectionError) as error:
                print(type(error).__name__)
        print("on")
    """)
    assert said == "AssertionError\nAssertionError\non\n"


def test_what_a_callback_may_do(safely):
    said = safely("""
        def callback(cpl):
            queue = d.Qpair(nvme0, 8)
            d.Namespace(nvme0)
            nvme0[0x1c]
            nvme0n1.read(queue, buf, 0)
            thread = threading.Thread(target=lambda: print("thread", queue.waitdone() >= 0))
            thread.start()
            thread.join()
            queue.delete()
            print(nvme0n1.ioworker(io_size=8, io_count=10).start().close().io_count_read)
            gc.collect()
        nvme0n1.read(qpair, buf, 0, cb=callback).waitdone()
        left = 2000
        def again(cpl):
            global left
            left -= 1
            if left:
                nvme0n1.read(qpair, buf, 0, cb=again)
        nvme0n1.read(qpair, buf, 0, cb=again)
        qpair.waitdone(2000)
        print(left)
    """)
    assert said == "thread True\n10\n0\n"


def test_a_callback_whose_end_uses_the_module(safely):
    said = safely(
        """
        class Callback:
            def __call__(self, cpl):
                pass
            def __del__(self):
                try:
                    qpair.waitdone()
                except BaseException as error:
                    print(type(error).__name__)
        nvme0n1.read(qpair, buf, 0, cb=Callback()).waitdone()
        nvme0n1.read(qpair, buf, 0, cb=Callback())
        nvme0.timeout = 0
        qpair.delete()
        print("on")
    """,
        timeout=100,
    )
    assert said.endswith("AssertionError\non\n")
