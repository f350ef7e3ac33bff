"""Who lives how long: buffers of commands in flight, objects that go in every order."""

import itertools

import pytest


def test_a_buffer_stays_until_its_command_is_done(safely):
    """Reads into buffers that are gone; whoever gets that memory next keeps what is in it."""
    said = safely("""
        pattern = d.Buffer(4096, pvalue=0xA5A5A5A5, ptype=32)
        nvme0n1.send_cmd(1, qpair, pattern, 1, 0, 0, 7).waitdone()
        for turn in range(100):
            for _ in range(60):
                nvme0n1.send_cmd(2, qpair, d.Buffer(4096), 1, 0, 0, 7)
            others = [d.Buffer(4096, pvalue=0x11111111, ptype=32) for _ in range(100)]
            gc.collect()
            qpair.waitdone(60)
            assert all(other[:] == b"\\x11" * 4096 for other in others)
        print("kept")
    """)
    assert said == "kept\n"


@pytest.mark.parametrize("gone", ["qpair.delete()", "nvme0.reset()", "pcie.close()"])
def test_also_when_the_queue_goes(safely, gone):
    said = safely(f"""
        pattern = d.Buffer(4096, pvalue=0xA5A5A5A5, ptype=32)
        nvme0n1.send_cmd(1, qpair, pattern, 1, 0, 0, 7).waitdone()
        for _ in range(60):
            nvme0n1.send_cmd(2, qpair, d.Buffer(4096), 1, 0, 0, 7)
        {gone}
        others = [d.Buffer(4096, pvalue=0x11111111, ptype=32) for _ in range(200)]
        time.sleep(0.3)
        assert all(other[:] == b"\\x11" * 4096 for other in others)
        print("kept")
    """)
    assert said == "kept\n"


def test_admin_data_too(safely):
    said = safely("""
        for turn in range(20):
            for _ in range(50):
                nvme0.identify(d.Buffer(4096))
            others = [d.Buffer(4096, pvalue=0x11111111, ptype=32) for _ in range(60)]
            gc.collect()
            nvme0.waitdone(50)
            assert all(other[:] == b"\\x11" * 4096 for other in others)
        print("kept")
    """)
    assert said == "kept\n"


def test_a_freed_buffer_gives_its_memory_back(safely):
    said = safely("""
        for _ in range(20000):
            d.Buffer(1 << 20)
        for _ in range(200):
            nvme0n1.read(qpair, d.Buffer(1 << 20), 0, 8).waitdone()
        print("on")
    """)
    assert said == "on\n"


NAMES = ["pcie", "nvme0", "nvme0n1", "qpair", "buf"]


def test_objects_go_in_every_order(safely):
    """Each with and without commands in flight, and with a collection after each."""
    said = safely(
        """
        import itertools
        names = arguments
        pcie.close()
        del pcie, nvme0, nvme0n1, qpair, buf
        count = 0
        for order in itertools.permutations(names):
            here = {"pcie": d.Pcie(address)}
            here["nvme0"] = d.Controller(here["pcie"])
            here["nvme0n1"] = d.Namespace(here["nvme0"])
            here["qpair"] = d.Qpair(here["nvme0"], 8)
            here["buf"] = d.Buffer(4096)
            if count % 2:
                for lba in range(5):
                    here["nvme0n1"].read(here["qpair"], here["buf"], lba)
                here["nvme0"].getfeatures(7)
            for name in order:
                del here[name]
                gc.collect()
            count += 1
        print(count)
        """,
        *NAMES,
        timeout=60,
    )
    assert said == f"{len(list(itertools.permutations(NAMES)))}\n"


def test_what_is_left_of_a_chain_works(safely):
    """Every object keeps alive what it needs."""
    said = safely("""
        del pcie
        gc.collect()
        nvme0n1.read(qpair, buf, 0).waitdone()
        del nvme0
        gc.collect()
        nvme0n1.read(qpair, buf, 0).waitdone()
        worker = nvme0n1.ioworker(io_size=8, io_count=100).start()
        del nvme0n1
        gc.collect()
        print(worker.close().io_count_read, qpair.sqid)
    """)
    assert said == "100 1\n"


def test_a_worker_that_nobody_keeps_ends(safely):
    said = safely("""
        for _ in range(3):
            nvme0n1.ioworker(io_size=8, time=60).start()
            gc.collect()
        queues = [d.Qpair(nvme0, 8) for _ in range(3)]
        print([queue.sqid for queue in queues])
    """)
    assert said == "[2, 3, 4]\n"


def test_cycles_are_collected(safely):
    """A script's callback that holds its queue, which holds the callback."""
    said = safely("""
        import weakref
        class Script:
            def __init__(self):
                self.queue = d.Qpair(nvme0, 8)
                nvme0n1.read(self.queue, buf, 0, cb=self.done).waitdone()
            def done(self, cpl):
                pass
        scripts = weakref.WeakSet(Script() for _ in range(5))
        gc.collect()
        print(len(scripts))
    """)
    assert said == "0\n"
