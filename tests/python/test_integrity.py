"""Data integrity: what was written is what is read, or it is said."""

import nvme as d
import pytest

LBA = 40


@pytest.fixture
def other(pciaddr):
    """A second connection to the same medium, of which the driver under test knows nothing."""
    pcie = d.Pcie(pciaddr)
    nvme0 = d.Controller(pcie)
    qpair = d.Qpair(nvme0, 16)
    namespace = d.Namespace(nvme0)
    yield lambda lba, data: raw_write(namespace, qpair, lba, data)
    pcie.close()


def raw_write(namespace, qpair, lba, data):
    """Write bytes as they are."""
    buf = d.Buffer(len(data))
    buf[:] = data
    namespace.send_cmd(1, qpair, buf, cdw10=lba, cdw12=len(data) // 512 - 1).waitdone()


def written(namespace, qpair, lba, fill):
    """Write a block through the driver; the bytes that went out."""
    buf = d.Buffer(512, pvalue=fill, ptype=32)
    namespace.write(qpair, buf, lba).waitdone()
    return buf[:]


def flipped(right, stale, elsewhere):
    data = bytearray(right)
    data[300] ^= 0x04
    return bytes(data)


CORRUPTIONS = {
    "one flipped bit": (flipped, "crc mismatch: lba 0x28, expected crc 0x"),
    "a stale version": (lambda right, stale, elsewhere: stale, "crc mismatch: lba 0x28, expected crc 0x"),
    "another block's data": (
        lambda right, stale, elsewhere: elsewhere,
        "lba mismatch: lba 0x28, but got: 0x29",
    ),
    "zeros": (lambda right, stale, elsewhere: bytes(512), "crc mismatch: lba 0x28, expected crc 0x"),
}


@pytest.mark.parametrize("how", CORRUPTIONS)
@pytest.mark.parametrize("reader", ["helper", "raw", "in a larger read", "worker"])
def test_corruption_behind_the_back(nvme0n1, qpair, verify, other, capfd, how, reader):
    assert verify
    corrupt, said = CORRUPTIONS[how]
    stale = written(nvme0n1, qpair, LBA, 0x11111111)
    right = written(nvme0n1, qpair, LBA, 0x22222222)
    elsewhere = written(nvme0n1, qpair, LBA + 1, 0x33333333)
    back = d.Buffer(4096)
    nvme0n1.read(qpair, back, LBA).waitdone()
    capfd.readouterr()

    wrong = corrupt(right, stale, elsewhere)
    other(LBA, wrong)
    completions = []
    if reader == "worker":
        with pytest.warns(UserWarning, match="ioworker device respond an ERROR status: 07/81"):
            worker = nvme0n1.ioworker(
                io_size=1, lba_random=False, region_start=LBA - 1, region_end=LBA + 2, io_count=3, qdepth=2
            )
            assert worker.start().close().error == 0x781
    else:
        with pytest.warns(UserWarning, match="^ERROR status: 07/81$"):
            if reader == "helper":
                nvme0n1.read(qpair, back, LBA, cb=completions.append).waitdone()
                offset = 0
            elif reader == "raw":
                nvme0n1.send_cmd(2, qpair, back, cdw10=LBA, cb=completions.append).waitdone()
                offset = 0
            else:
                nvme0n1.read(qpair, back, LBA - 4, 8, cb=completions.append).waitdone()
                offset = 4 * 512
        # The data is there all the same, and the log has what the controller said.
        assert back[offset : offset + 512] == wrong
        assert completions[0][3] >> 17 & 0x7FF == 0x781
        assert qpair.cmdlog_entries(1)[0]["completion"].startswith("SUCCESS (00/00)")
    err = capfd.readouterr().err
    assert said in err, err
    assert "original cpl: SUCCESS (00/00)" in err

    # Without verification nobody minds, and a write cures it.
    nvme0n1.verify_enable(False)
    nvme0n1.read(qpair, back, LBA).waitdone()
    nvme0n1.verify_enable(True)
    written(nvme0n1, qpair, LBA, 0x44444444)
    nvme0n1.read(qpair, back, LBA).waitdone()


def test_deallocated_and_zeroed_blocks_can_hold_anything(nvme0n1, qpair, verify, other):
    for lba in range(8):
        written(nvme0n1, qpair, lba, lba)
    ranges = d.Buffer(4096)
    ranges.set_dsm_range(0, 0, 2)
    ranges.set_dsm_range(1, 1, 3)
    nvme0n1.dsm(qpair, ranges, 2).waitdone()
    nvme0n1.write_zeroes(qpair, 6, 2).waitdone()
    back = d.Buffer(512)
    for lba in (0, 1, 2, 3, 6, 7):
        other(lba, bytes([lba]) * 512)
        nvme0n1.read(qpair, back, lba).waitdone()
    for lba in (4, 5):
        other(lba, bytes([lba]) * 512)
        with pytest.warns(UserWarning, match="07/81"):
            nvme0n1.read(qpair, back, lba).waitdone()
        written(nvme0n1, qpair, lba, lba)


def test_only_what_the_table_covers(nvme0, qpair, other):
    namespace = d.Namespace(nvme0, 1, 100)
    namespace.verify_enable()
    back = d.Buffer(512)
    for lba in (99, 100):
        written(namespace, qpair, lba, 0x55555555)
        other(lba, bytes([7]) * 512)
    with pytest.warns(UserWarning, match="07/81"):
        namespace.read(qpair, back, 99).waitdone()
    namespace.read(qpair, back, 100).waitdone()
    written(namespace, qpair, 99, 0)
    namespace.close()


def test_a_second_object_shares_the_table_and_closing_forgets(nvme0, qpair, other):
    first, second = d.Namespace(nvme0), d.Namespace(nvme0)
    first.verify_enable()
    written(first, qpair, LBA, 1)
    first.close()
    back = d.Buffer(512)
    other(LBA, bytes([7]) * 512)
    with pytest.warns(UserWarning, match="07/81"):
        second.read(qpair, back, LBA).waitdone()
    second.close()
    assert second.verify_enable() is False
    third = d.Namespace(nvme0)
    third.verify_enable()
    third.read(qpair, back, LBA).waitdone()
    third.close()


def test_reset_keeps_the_table(nvme0, nvme0n1, verify, other):
    qpair = d.Qpair(nvme0, 4)
    written(nvme0n1, qpair, LBA, 1)
    nvme0.reset()
    with pytest.raises(AssertionError):
        nvme0n1.read(qpair, d.Buffer(512), LBA)
    qpair.delete()
    assert qpair.sqid == 0
    qpair = d.Qpair(nvme0, 4)
    back = d.Buffer(512)
    nvme0n1.read(qpair, back, LBA).waitdone()
    other(LBA, bytes([7]) * 512)
    with pytest.warns(UserWarning, match="07/81"):
        nvme0n1.read(qpair, back, LBA).waitdone()
    assert nvme0.timeout == 10000
    written(nvme0n1, qpair, LBA, 1)
    qpair.delete()


def test_uncorrectable_even_if_refused(nvme0n1, qpair, verify, capfd):
    written(nvme0n1, qpair, LBA, 1)
    with pytest.warns(UserWarning, match="ERROR status: 00/"):
        nvme0n1.write_uncorrectable(qpair, LBA).waitdone()
    with pytest.warns(UserWarning, match="07/81"):
        nvme0n1.read(qpair, d.Buffer(512), LBA).waitdone()
    assert "lba uncorrectable: lba 0x28" in capfd.readouterr().err
    written(nvme0n1, qpair, LBA, 1)
    nvme0n1.read(qpair, d.Buffer(512), LBA).waitdone()


def test_locks_of_deleted_queues_are_given_back(nvme0, nvme0n1, qpair, verify):
    for _ in range(20):
        doomed = d.Qpair(nvme0, 16)
        for _ in range(10):
            nvme0n1.write(doomed, d.Buffer(512), LBA)
        doomed.delete()
    written(nvme0n1, qpair, LBA, 1)


def test_a_failed_write_leaves_what_was_known(nvme0n1, qpair, verify):
    last = nvme0n1.id_data(7, 0) - 1
    written(nvme0n1, qpair, last, 1)
    with pytest.warns(UserWarning, match="ERROR status: 00/80"):
        nvme0n1.write(qpair, d.Buffer(1024), last, 2).waitdone()
    nvme0n1.read(qpair, d.Buffer(512), last).waitdone()


def test_a_queue_waits_for_blocks_that_another_holds(nvme0, nvme0n1, verify):
    """Nobody looks after the other queue but the wait itself."""
    first, second = d.Qpair(nvme0, 8), d.Qpair(nvme0, 8)
    back = d.Buffer(512)
    done = []
    nvme0n1.write(first, d.Buffer(512), LBA, cb=lambda cpl: done.append("write"))
    nvme0n1.read(second, back, LBA, cb=lambda cpl: done.append("read")).waitdone()
    # Callbacks run where their own queue is waited for.
    assert done == ["read"]
    first.waitdone()
    assert done == ["read", "write"]
    nvme0n1.write(first, d.Buffer(512), LBA)
    worker = nvme0n1.ioworker(io_size=1, region_start=LBA, region_end=LBA + 1, io_count=10)
    assert worker.start().close().io_count_read == 10
    first.waitdone()


def test_conflicts_of_every_kind_end(nvme0, nvme0n1, verify):
    queues = [d.Qpair(nvme0, 128) for _ in range(2)]
    buf = d.Buffer(8 * 512)
    ranges = d.Buffer(4096)
    ranges.set_dsm_range(0, LBA, 8)
    ranges.set_dsm_range(1, LBA + 4, 8)
    sends = [
        lambda queue, lba: nvme0n1.write(queue, d.Buffer(8 * 512), lba, 8),
        lambda queue, lba: nvme0n1.read(queue, buf, lba, 8),
        lambda queue, lba: nvme0n1.write_zeroes(queue, lba, 3),
        lambda queue, lba: nvme0n1.dsm(queue, ranges, 2),
    ]
    for step in range(200):
        sends[step % 4](queues[step // 4 % 2], LBA + step % 5)
    for queue in queues:
        queue.waitdone(100)
        queue.delete()


def test_a_namespace_of_16_tb_opens_at_once_and_takes_what_it_uses(run):
    """Its checksums would fill 128 GiB."""
    script = """
        import time
        import nvme as d

        with d.Target(megabytes=16, namespaces=2) as target:
            target.rpc("nvmf_subsystem_remove_ns", {"nqn": target.subnqn, "nsid": 2})
            blocks = 16 << 31
            target.rpc("bdev_null_create", {"name": "huge", "num_blocks": blocks, "block_size": 512})
            namespace = {"bdev_name": "huge", "nsid": 2}
            target.rpc("nvmf_subsystem_add_ns", {"nqn": target.subnqn, "namespace": namespace})
            pcie = d.Pcie(target.address)
            nvme0 = d.Controller(pcie)
            qpair, buf = d.Qpair(nvme0, 8), d.Buffer(512)

            def resident():
                return int(open("/proc/self/statm").read().split()[1]) * 4096

            before, begin = resident(), time.monotonic()
            namespace = d.Namespace(nvme0, 2)
            assert namespace.verify_enable() is True
            seconds = time.monotonic() - begin
            for lba in (0, blocks // 2, blocks - 1):
                namespace.write(qpair, buf, lba).waitdone()
            used = resident() - before
            print(seconds < 5, used < 16 << 20, (seconds, used))
            pcie.close()
        """
    finished = run(script)
    assert finished.stdout.startswith("True True"), finished.stdout + finished.stderr
