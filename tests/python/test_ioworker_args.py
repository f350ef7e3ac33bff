"""Namespace.ioworker: what is checked, when, and in which words; host errors at close()."""

import warnings

import nvme as d
import pytest


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(qdepth=0), "qdepth should be in [2, 1024]"),
        (dict(qdepth=1), "qdepth should be in [2, 1024]"),
        (dict(qdepth=1025), "qdepth should be in [2, 1024]"),
        (dict(qdepth=-1), "qdepth should be in [2, 1024]"),
        (dict(region_start=5, region_end=5), "region end is not included"),
        (dict(region_start=6, region_end=5), "region end is not included"),
        (dict(time=3_600_001), "worker needs a rest :)"),
        (dict(time=365 * 86_400), "worker needs a rest :)"),
        (dict(read_percentage=101), "read percentage is less than 100"),
        (dict(iops=3, qdepth=4), "iops must be larger than qdepth"),
        (dict(op_percentage={2: 99}), "op_percentage definition error"),
        (dict(op_percentage={2: 50, 1: 61}), "op_percentage definition error"),
        (dict(op_percentage={2: 300, 1: 56}), "op_percentage definition error"),
        (dict(op_percentage={}), "op_percentage definition error"),
        (dict(lba_random=[1]), "lba_random is a percentage, int"),
        (dict(lba_random=101), "lba_random is a percentage, 0-100"),
        (dict(lba_random=-1), "lba_random is a percentage, 0-100"),
        (dict(time=0), "when to stop the ioworker?"),
        (dict(time=0, lba_random=False), "when to stop the ioworker?"),
        (dict(time=0, region_end=1000), "when to stop the ioworker?"),
        (dict(time=0, region_end=1000, lba_random=False, io_size=[8, 64]), "when to stop the ioworker?"),
        (dict(time=0, region_end=1000, lba_random=False, io_size=0), "io_size cannot be 0"),
        (dict(io_size=[8, 100], region_end=100), "region is smaller than IO"),
        (dict(io_size=range(8, 128, 8), region_end=100), "region is smaller than IO"),
        (dict(io_size={1: 1, 128: 1}, region_end=100), "region is smaller than IO"),
        (dict(lba_step=0x8000), "io size or step is too large"),
        (dict(lba_step=-0x8000), "io size or step is too large"),
        (dict(lba_step=-(1 << 63)), "io size or step is too large"),
        (dict(io_size=0), "io_size cannot be 0"),
        (dict(io_size=[0, 8]), "io_size cannot be 0"),
        (dict(io_size={0: 1}), "io_size cannot be 0"),
        (dict(io_size=[]), "io_size has no size"),
        (dict(lba_align=0), "lba_align cannot be 0"),
        (dict(lba_align=[0]), "lba_align cannot be 0"),
        (dict(output_cmdlog_list=[]), "output_cmdlog_list has room for 1 to 1048575 commands"),
        (
            dict(output_cmdlog_list=[None] * (1 << 20)),
            "output_cmdlog_list has room for 1 to 1048575 commands",
        ),
        # The first of several.
        (dict(qdepth=1, time=0, io_size=0), "qdepth should be in [2, 1024]"),
        (dict(read_percentage=101, iops=3), "read percentage is less than 100"),
        (dict(lba_random=101, time=0), "lba_random is a percentage, 0-100"),
        (dict(time=0, io_size=[0]), "when to stop the ioworker?"),
        (dict(lba_step=0x8000, io_size=0), "io size or step is too large"),
    ],
)
def test_wrong_arguments_raise_where_they_are_given(nvme0n1, arguments, message):
    with pytest.raises(AssertionError) as caught:
        nvme0n1.ioworker(**{"io_size": 8, "time": 1, **arguments})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "name", ["region_start", "region_end", "time", "iops", "io_count", "lba_start", "qprio", "pvalue"]
)
def test_numbers_out_of_range(nvme0n1, name):
    for value in (-1, 1 << 64):
        with pytest.raises(OverflowError):
            nvme0n1.ioworker(**{"io_size": 8, "time": 1, name: value})
    with pytest.raises((TypeError, ValueError)):
        nvme0n1.ioworker(**{"io_size": 8, "time": 1, name: "many"})


SECTIONS = [100] * 100


@pytest.mark.parametrize(
    "arguments, said",
    [
        (dict(io_size=[1, 8], lba_align=8), "size and align not match"),
        (dict(io_size=8, lba_align=[1, 8]), "size and align not match"),
        (dict(io_size={1: 10_000, 8: 1}), "please simplify the io_size ratios"),
        (dict(io_size={1: 0, 8: 0}), "weights of the io_sizes"),
        (dict(io_size=0x10000), "io_size is a 16bit-field in commands"),
        (dict(lba_align=0x10000), "io_size is a 16bit-field in commands"),
        (dict(distribution=SECTIONS, region_end=1000), "distribution has to be on the full region"),
        (dict(distribution=SECTIONS[1:]), "distribution on 100 equal sections"),
        (dict(distribution=[1] * 100), "distribute 10000 IO on 100 sections"),
        (dict(distribution=SECTIONS, lba_random=99), "distribution has to be all random IO"),
        (dict(io_sequence=[(0, 2, 0, 1)], iops=100), "run sequence instead of fixed iops workload"),
        (dict(io_sequence=[(0, 2, 0, 0)]), "step 0 of the sequence"),
        (dict(pvalue=101), "cannot be random"),
        (dict(region_start=1 << 40, region_end=1 << 41), "the region"),
        (dict(region_start=65, region_end=128, lba_align=64), "the region"),
        (dict(qprio=1), "cannot create a queue pair"),
    ],
)
def test_what_only_the_worker_finds_is_a_warning_of_close(nvme0, nvme0n1, capfd, arguments, said):
    worker = nvme0n1.ioworker(**{"io_size": 8, "time": 1, "qdepth": 8, **arguments}).start()
    with pytest.warns(UserWarning, match="ioworker host ERROR") as caught:
        result = worker.close()
    assert [str(warning.message) for warning in caught] == ["ioworker host ERROR -1: init fail in pyx"]
    assert said in capfd.readouterr().err
    assert (result.io_count_read, result.io_count_nonread, result.mseconds, result.error) == (0, 0, 0, 0)
    assert not worker.running and worker.close() is result
    nothing_is_left(nvme0)


def nothing_is_left(nvme0):
    """The first queue identifier is free."""
    qpair = d.Qpair(nvme0, 4)
    assert qpair.sqid == 1
    qpair.delete()


def test_larger_than_the_device_takes(nvme0, nvme0n1):
    """Acceptance trace 14."""
    most = nvme0.mdts // 512
    for arguments in (dict(io_size=most + 1, time=1), dict(io_sequence=[(0, 2, 0, most + 1)])):
        worker = nvme0n1.ioworker(qdepth=4, **arguments).start()
        with pytest.warns(UserWarning, match="ioworker host ERROR") as caught:
            result = worker.close()
        assert [str(warning.message) for warning in caught] == [
            "ioworker host ERROR -2: io_size is larger than MDTS",
            "ioworker device respond an ERROR status: 00/02",
        ]
        assert (result.error, result.io_count_read, result.io_count_nonread) == (2, 0, 0)
    nothing_is_left(nvme0)
    assert nvme0n1.ioworker(io_size=most, io_count=10, qdepth=4).start().close().io_count_read == 10


def test_too_many_queues(nvme0, nvme0n1):
    """Acceptance trace 15."""
    queues = []
    with pytest.raises(d.QpairCreationError):
        while True:
            queues.append(d.Qpair(nvme0, 4))
    operations = {2: 100}
    worker = nvme0n1.ioworker(io_size=8, time=1, op_percentage=operations).start()
    with pytest.warns(UserWarning, match="ioworker host ERROR") as caught:
        result = worker.close()
    assert [str(warning.message) for warning in caught] == ["ioworker host ERROR -1: init fail in pyx"]
    assert result.io_count_read == result.io_count_nonread == operations[2] == 0
    for queue in queues:
        queue.delete()
    nothing_is_left(nvme0)


def test_no_memory_for_the_buffers(run):
    finished = run(
        """
        import warnings
        import nvme as d

        d.environment(hugepages=False, megabytes=64)
        with d.Target(megabytes=16) as target:
            nvme0 = d.Controller(d.Pcie(target.address))
            worker = d.Namespace(nvme0).ioworker(io_size=256, qdepth=1024, time=1).start()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                result = worker.close()
            print([str(warning.message) for warning in caught], result.error)
            assert d.Qpair(nvme0, 8).sqid == 1
        """
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.strip() == "['ioworker host ERROR -5: buffer pool alloc fail'] 0"


def test_floats_are_truncated(nvme0n1):
    worker = nvme0n1.ioworker(
        io_size=8.0,
        lba_step=16.0,
        lba_align=1.0,
        lba_random=0.0,
        read_percentage=100.0,
        time=10.0,
        qdepth=4.0,
        region_start=0.0,
        region_end=1e6,
        io_count=100 / 8,
        lba_start=32.0,
        output_cmdlog_list=(rows := [None] * 12),
    )
    assert worker.start().close().io_count_read == 12
    assert rows == [(32 + 16 * at, 8, 2) for at in range(12)]
    sequence = [(0.0, 2.0, 8.0, 1.0), (1000.9, 2, 9, 1)]
    assert nvme0n1.ioworker(io_sequence=sequence).start().close().io_count_read == 2


def test_the_signature_is_the_original_s():
    assert d.Namespace.ioworker.__text_signature__.replace("$self, ", "").split(", ")[:4] == [
        "(io_size=8",
        "lba_step=None",
        "lba_align=None",
        "lba_random=True",
    ]


def test_warnings_as_errors_lose_nothing(nvme0, nvme0n1):
    worker = nvme0n1.ioworker(io_size=0x10000, time=1).start()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="init fail in pyx"):
            worker.close()
    assert worker.close().io_count_read == 0
    nothing_is_left(nvme0)
